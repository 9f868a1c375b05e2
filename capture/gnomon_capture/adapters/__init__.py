"""What puts a mirror into a server or around a model, without the serving code calling `record` itself.

Each adapter is a module of its own and needs none of the libraries that it adapts to.
"""

from gnomon_capture.adapters.asgi import ASGIMirror
from gnomon_capture.adapters.estimator import MirroredEstimator
from gnomon_capture.adapters.function import mirrored
from gnomon_capture.adapters.wsgi import WSGIMirror

__all__ = ["ASGIMirror", "MirroredEstimator", "WSGIMirror", "mirrored"]
