"""One worker at a time where traffic is not shared out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from gnomon_capture.errors import UnavailableError
from gnomon_replay import alone as alone_module
from gnomon_replay.alone import alone

HOLD = """
import sys, time
from pathlib import Path
from gnomon_replay.alone import alone
with alone(Path(sys.argv[1]), ["sha256:a"], "spool:x"):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def holder(log: Path, seconds: float) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(log), str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_worker_is_refused_and_told_which_is_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alone_module, "PATIENCE_S", 0.2)
    first = holder(tmp_path / "e", 100)
    try:
        with (
            pytest.raises(
                UnavailableError, match=rf"another worker \(process {first.pid}\) already replays spool:x"
            ),
            alone(tmp_path / "e", ["sha256:b", "sha256:a"], "spool:x"),
        ):
            pass
        with alone(tmp_path / "e", ["sha256:b"], "spool:x"):
            pass  # another candidate's is free, also after the refusal
    finally:
        first.kill()
        first.communicate()
    with alone(tmp_path / "e", ["sha256:a"], "spool:x"):  # a worker that was killed holds nothing
        assert [path.read_text() for path in (tmp_path / "e").glob(".replay-a.lock")] == [str(os.getpid())]


def test_a_second_worker_waits_for_one_that_is_just_ending(tmp_path: Path) -> None:
    first = holder(tmp_path / "e", 0.5)
    with alone(tmp_path / "e", ["sha256:a"], "spool:x"):
        assert first.wait(10) == 0
    first.communicate()
