"""Keeps the log small beside a long replay: once an hour, or when files have gathered, `gnomon compact` runs.

In a process of its own, at low priority: the worker goes on, its memory stays its own, and killing either harms
nothing. Several workers may all do it; the second finds nothing to do.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from types import TracebackType

from gnomon_replay.errors import LogError
from gnomon_replay.maintenance import crowd

from gnomon.config import Config

CROWD = 200
"""So many files of `pairs` beyond one a day."""
LOOK_EVERY_S = 30.0
ENDING_S = 5.0
"""For a compaction to end when the replay does; it may be killed at any time."""


class Housekeeper:
    """Starts a compaction when it is due; a context manager. Not thread-safe."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._compacted = self._looked = time.monotonic()
        self._running: subprocess.Popen[bytes] | None = None
        self._open = contextlib.ExitStack()
        self._said = self._open.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - it is

    def __enter__(self) -> Housekeeper:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._running is not None:
            self._running.terminate()
            try:
                self._running.wait(ENDING_S)
            except subprocess.TimeoutExpired:
                self._running.kill()
                self._running.wait()
        self._open.close()

    def look(self) -> None:
        """To be called now and then, after a commit say; returns at once."""
        now = time.monotonic()
        if self._running is not None:
            self._finish()
        elif now - self._compacted >= self._config.replay.compact_every_s:
            self._start(now)
        elif now - self._looked >= LOOK_EVERY_S:
            self._looked = now
            try:
                crowded = crowd(self._config.log) >= CROWD
            except LogError:
                return  # the worker meets it too, and says so
            if crowded:
                self._start(now)

    def _start(self, now: float) -> None:
        self._compacted = self._looked = now
        command = [
            sys.executable,
            "-m",
            "gnomon.cli",
            "compact",
            "--config",
            str(self._config.path.absolute()),
        ]
        self._running = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._said,
            start_new_session=True,  # Ctrl-C is the replay's
        )
        with contextlib.suppress(OSError):  # it has ended already
            os.setpriority(os.PRIO_PROCESS, self._running.pid, 10)

    def _finish(self) -> None:
        if self._running is None or self._running.poll() is None:
            return
        if self._running.returncode:
            self._said.seek(0)
            text = self._said.read().decode(errors="replace").strip().splitlines()
            print(
                f"note: the log was not compacted: {text[-1] if text else 'no reason given'}", file=sys.stderr
            )
        self._said.seek(0)
        self._said.truncate()
        self._running = None
