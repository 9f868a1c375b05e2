"""A model as the configuration names it: which file, of which bytes, and whether it may be loaded."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import msgspec

from gnomon_replay.errors import ModelError
from gnomon_replay.settings import Model

_LIMITS = ("memory_mb", "failures_in_a_row")  # of a run; they make no other model
_KINDS = {".skops": "skops", ".joblib": "joblib", ".pkl": "joblib"}


@dataclass(frozen=True)
class ModelFile:
    """Where a model lies and what its bytes are.

    Attributes:
        kind: `skops`, `joblib` or `callable`.
        path: the file, or for a callable the folder that its module is looked for in.
        target: as configured.
        sha256: of its bytes; of a callable, of its table in the configuration and its module's source in that
            folder, so that edited code is another model.
    """

    kind: str
    path: Path
    target: str
    sha256: str

    @property
    def digest(self) -> str:
        """What its pairs and positions are kept under."""
        return f"sha256:{self.sha256}"


def locate(model: Model, folder: Path) -> ModelFile:
    """Finds and checks a model, without loading it.

    Args:
        folder: the configuration's; `model.model` is relative to it.

    Raises:
        ModelError: no such file, another digest than pinned, or a file that runs code and is not allowed to.
    """
    target = model.model or ""
    kind = _KINDS.get(Path(target).suffix)
    if kind is None:
        module, _, name = target.partition(":")
        if not module or not name:
            raise ModelError(
                model.version, f"{target!r}: write file.skops, file.joblib or module:callable as its `model`"
            )
        given = msgspec.to_builtins(model).items()
        table = {key: value for key, value in given if value and key not in _LIMITS}
        encoded = msgspec.json.encode(table, order="sorted") + _source(folder, module)
        return ModelFile("callable", folder, target, hashlib.sha256(encoded).hexdigest())
    path = folder / target
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as exc:
        raise ModelError(model.version, f"{path} cannot be read ({exc.strerror}); check its `model`") from exc
    if model.sha256 is not None and model.sha256 != digest:
        raise ModelError(
            model.version,
            f"{path} has sha256 {digest}, not the pinned {model.sha256}; "
            "put the pinned file back, or pin the new one",
        )
    if kind == "joblib" and not model.allow_pickle and model.sha256 is None:
        raise ModelError(
            model.version,
            f'{path} runs code as it loads; set allow_pickle = true, or pin it by sha256 = "{digest}"',
        )
    return ModelFile(kind, path, target, digest)


def _source(folder: Path, module: str) -> bytes:
    """The bytes of a module's file, or of all files of a package, in this folder; nothing where it is installed
    elsewhere, of which the version speaks."""
    path = folder.joinpath(*module.split("."))
    files = [path.with_suffix(".py")] if path.with_suffix(".py").is_file() else sorted(path.rglob("*.py"))
    return b"".join(file.read_bytes() for file in files)
