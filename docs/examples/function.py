"""Any function whose calls are mirrored.

python docs/examples/function.py
"""

import asyncio
import os

import gnomon

mirror = gnomon.Mirror(os.environ.get("TRAFFIC", "spool:traffic"), service="arrival-delay")


@gnomon.mirrored(mirror, version="3.2")
def predict(carrier, dep_delay, distance=1400):
    score = min(dep_delay / 100, 1.0)
    return {"label": "late" if score > 0.4 else "on_time", "score": score}


@gnomon.mirrored(mirror, payload=lambda text: {"text": text}, version="3.2")
async def classify(text):
    return "complaint" if "late" in text else "praise"


print(predict("UA", dep_delay=42))
print(asyncio.run(classify("my flight was late")))
mirror.close()
