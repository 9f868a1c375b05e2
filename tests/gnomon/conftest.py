"""What the demo's tests share: its two models, trained once."""

from __future__ import annotations

import uuid
from pathlib import Path
from types import SimpleNamespace

import pytest
import skops.io
from broker import create_topic
from gnomon.demo import build_models


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """Both models trained once: the folder, the report, the lines of progress, the models still in memory."""
    folder = tmp_path_factory.mktemp("demo") / "models"
    in_memory, lines = {}, []
    dump = skops.io.dump

    def remembering(model, file):
        in_memory[Path(file).stem] = model
        dump(model, file)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(skops.io, "dump", remembering)
        report = build_models(folder, lines.append)
    return SimpleNamespace(folder=folder, report=report, lines=lines, in_memory=in_memory)


@pytest.fixture(scope="session")
def demo_models(built) -> Path:
    """The folder with `primary.skops`, `candidate.skops` and `broken.py`."""
    return built.folder


@pytest.fixture(scope="module")
def module_topic(bootstrap: str) -> str:
    """A topic of four partitions for all tests of a module."""
    name = f"gnomon-test-{uuid.uuid4().hex}"
    create_topic(bootstrap, name, 4)
    return name
