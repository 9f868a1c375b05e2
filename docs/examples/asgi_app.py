"""A Starlette app whose predictions are mirrored.

    uvicorn asgi_app:app --app-dir docs/examples
    curl -d '{"user": "u1", "features": {"carrier": "UA", "dep_delay": 42}}' localhost:8000/predict

FastAPI takes the same `add_middleware`.
"""

import os

from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

import gnomon


async def predict(request):
    asked = await request.json()
    score = min(max(asked["features"]["dep_delay"] / 100, 0.0), 1.0)
    return JSONResponse({"label": "late" if score > 0.4 else "on_time", "score": score})


async def health(request):
    return JSONResponse({"up": True})


app = Starlette(routes=[Route("/predict", predict, methods=["POST"]), Route("/health", health)])
app.add_middleware(
    gnomon.ASGIMirror,
    mirror=gnomon.Mirror(os.environ.get("TRAFFIC", "spool:traffic"), service="arrival-delay"),
    owns_mirror=True,  # closed when the application shuts down
    paths=["/predict"],
    features="request.features",
    served={"label": "response.label", "score": "response.score"},
    version="3.2",
    key="request.user",
    request_id='request_headers["x-request-id"]',
)
