"""A model as the configuration names it: which file, of which bytes, and whether it may be loaded."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from gnomon_replay import host
from gnomon_replay.errors import ModelError
from gnomon_replay.settings import Model, Task

_KINDS = {
    ".skops": "skops",
    ".joblib": "joblib",
    ".pkl": "joblib",
    ".pickle": "joblib",
    ".onnx": "onnx",
}
_RUNS_CODE = ("joblib", "mlflow")
_SHAPING = ("inputs", "dtypes", "classes", "fetch_features")
"""Keys of a model's table by which the same file answers otherwise."""

_PACING = ("batch_rows", "concurrency", "memory_mb", "failures_in_a_row")
"""Keys that say nothing about what the model is."""


@dataclass(frozen=True)
class ModelFile:
    """Where a model lies and what its bytes are.

    Attributes:
        kind: `skops`, `joblib`, `onnx`, `mlflow`, `callable` or `endpoint`.
        path: the file or folder; for a callable the folder that its module is looked for in.
        target: as configured.
        sha256: of its bytes, of its folder's files, or of a callable's source; the host loads no other.
        digest: what its pairs and positions are kept under: that of its bytes and of what shapes its input; of
            a callable or an endpoint, of its table in the configuration, and of the callable's source, so that
            edited code is another model.
    """

    kind: str
    path: Path
    target: str
    sha256: str
    digest: str


def locate(model: Model, folder: Path) -> ModelFile:
    """Finds and checks a model, without loading it.

    Args:
        folder: the configuration's; `model.model` is relative to it.

    Raises:
        ModelError: no such file, another digest than pinned, or a file that runs code and is not allowed to.
    """
    target = model.model or ""
    table = {key: value for key, value in msgspec.to_builtins(model).items() if value and key not in _PACING}
    if model.is_endpoint:
        return ModelFile("endpoint", folder, target, "", _digest(_encoded(table)))
    path = folder / target
    kind = "mlflow" if (path / "MLmodel").is_file() else _KINDS.get(Path(target).suffix)
    hook = b"" if model.fetch_features is None else host.source_of(str(folder), model.fetch_features)
    if kind is None:
        module, _, name = target.partition(":")
        if not module or not name:
            raise ModelError(
                model.version,
                f"{target!r}: write file.skops, file.joblib, file.onnx, an MLflow model's folder, "
                "module:callable or http://… as its `model`",
            )
        source = host.source_of(str(folder), target)
        digest = _digest(_encoded(table) + source + hook)
        found = ModelFile("callable", folder, target, hashlib.sha256(source).hexdigest(), digest)
        if model.sha256 is not None and not source:
            raise ModelError(
                model.version,
                f"{module} does not lie beside the configuration, so sha256 cannot pin it; leave it out",
            )
    else:
        try:
            sha256 = host.digest_of(str(path))
        except OSError as exc:
            raise ModelError(
                model.version, f"{path} cannot be read ({exc.strerror}); check its `model`"
            ) from exc
        shaping = {key: table[key] for key in _SHAPING if key in table}
        digest = _digest(sha256.encode() + _encoded(shaping) + hook) if shaping else f"sha256:{sha256}"
        found = ModelFile(kind, path, target, sha256, digest)
    if model.sha256 is not None and model.sha256 != found.sha256:
        raise ModelError(
            model.version,
            f"{path if kind else target} has sha256 {found.sha256}, not the pinned {model.sha256}; "
            "put the pinned one back, or pin the new one",
        )
    if kind in _RUNS_CODE and not model.allow_pickle and model.sha256 is None:
        raise ModelError(
            model.version,
            f'{path} runs code as it loads; set allow_pickle = true, or pin it by sha256 = "{found.sha256}"',
        )
    return found


def load_request(model: Model, file: ModelFile, folder: Path, task: Task) -> dict[str, Any]:
    """What a host is told to load."""
    return {
        "op": "load",
        "kind": file.kind,
        "path": str(file.path.absolute()),
        "sha256": file.sha256,
        "target": file.target,
        "folder": str(folder.absolute()),
        "trusted": list(model.trusted_types),
        "task": task,
        "inputs": list(model.inputs) or None,
        "dtypes": msgspec.to_builtins(model.dtypes),
        "fetch": model.fetch_features,
    }


def _encoded(table: dict[str, Any]) -> bytes:
    return msgspec.json.encode(table, order="sorted")


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
