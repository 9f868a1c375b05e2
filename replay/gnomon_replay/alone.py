"""One worker at a time, where traffic is not shared out.

A consumer group gives each worker its own partitions. A spool or files have no group: two workers would both
read all of it, and one of them be fenced at each commit. So each takes a lock first, in the log's folder. The
log itself does not depend on it: a rival on another machine, whose lock is not seen, is fenced as ever.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from gnomon_capture.errors import UnavailableError

from gnomon_replay.errors import LogError

PATIENCE_S = 10.0
"""How long to wait for a worker that is just ending."""
_PAUSE_S = 0.1


@contextlib.contextmanager
def alone(log: Path, digests: Sequence[str], traffic: str) -> Iterator[None]:
    """Holds the locks of these candidates in the log's folder, which is made if need be.

    Raises:
        UnavailableError: another worker holds one, and does not end within PATIENCE_S.
        LogError: the folder cannot be written.
    """
    deadline = time.monotonic() + PATIENCE_S
    with contextlib.ExitStack() as stack:
        for digest in sorted(digests):  # in one order, so that two workers never wait for each other
            path = log / f".replay-{digest.removeprefix('sha256:')[:16]}.lock"
            try:
                log.mkdir(parents=True, exist_ok=True)
                file = stack.enter_context(path.open("a+"))
            except OSError as exc:
                raise LogError(
                    str(log),
                    f"{log} cannot be written: {exc}; change its owner, or name another [experiment] log",
                ) from exc
            while not _taken(file.fileno()):
                if time.monotonic() > deadline:
                    file.seek(0)
                    raise UnavailableError(
                        f"another worker (process {file.read().strip() or 'unknown'}) already replays {traffic} into "
                        "this log, and such traffic is not shared out; stop that one, or let it do the work"
                    )
                time.sleep(_PAUSE_S)
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
        yield


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
