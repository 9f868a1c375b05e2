"""Shadow-mode traffic replay and diff for machine-learning models.

Importing this loads nothing heavy, so that a serving process can; each name is fetched when it is used.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gnomon_capture import Mirror
    from gnomon_capture.adapters import ASGIMirror, MirroredEstimator, WSGIMirror, mirrored
    from gnomon_diff import judge

    from gnomon.openlog import compare, open_log

__version__ = _version("gnomon")

_HOMES = {
    "ASGIMirror": "gnomon_capture.adapters",
    "Mirror": "gnomon_capture",
    "MirroredEstimator": "gnomon_capture.adapters",
    "WSGIMirror": "gnomon_capture.adapters",
    "compare": "gnomon.openlog",
    "judge": "gnomon_diff",
    "mirrored": "gnomon_capture.adapters",
    "open_log": "gnomon.openlog",
}

__all__ = [
    "ASGIMirror",
    "Mirror",
    "MirroredEstimator",
    "WSGIMirror",
    "__version__",
    "compare",
    "judge",
    "mirrored",
    "open_log",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'gnomon' has no attribute {name!r}")
    try:
        return getattr(import_module(_HOMES[name]), name)
    except ModuleNotFoundError as exc:
        raise ImportError(f"gnomon.{name} needs {exc.name}: pip install 'gnomon[service]'") from exc


def __dir__() -> list[str]:
    return __all__
