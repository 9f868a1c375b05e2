"""A plain WSGI app whose predictions are mirrored, a whole batch a request.

    gunicorn wsgi_app:app --chdir docs/examples
    curl -d '{"instances": [{"dep_delay": 42}, {"dep_delay": 3}]}' localhost:8000/predict

In Flask: `app.wsgi_app = gnomon.WSGIMirror(app.wsgi_app, …)`.
"""

import json
import os

import gnomon


def serve(environ, start_response):
    asked = json.load(environ["wsgi.input"])
    labels = ["late" if row["dep_delay"] > 40 else "on_time" for row in asked["instances"]]
    start_response("200 OK", [("content-type", "application/json")])
    return [json.dumps({"predictions": labels}).encode()]


def records(exchange):
    """One record a row of the batch."""
    rows = zip(exchange.request["instances"], exchange.response["predictions"], strict=True)
    return [{"features": row, "served": {"label": label}} for row, label in rows]


mirror = gnomon.Mirror(os.environ.get("TRAFFIC", "spool:traffic"), service="arrival-delay")
app = gnomon.WSGIMirror(serve, mirror=mirror, paths=["/predict"], pick=records, version="3.2")
