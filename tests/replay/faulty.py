"""A real worker that dies, sleeps or fails at a named point of its commit. Forked, so that it starts at once.

The points lie between and within the numbered steps of `PairLog.commit`:

    begin · opened · letters · ledger · pairs · within · written · acknowledged

`within` is so many seconds into Delta's own append of the pairs, wherever that is then. At the point a worker
kills itself (`kill`: SIGKILL), stops itself (`stop`: SIGSTOP), or its disk is full from there on (`full`).
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

# All that a worker imports, so that a fork of this process has it; nothing here starts a thread.
import deltalake
import gnomon.replaying  # noqa: F401
from gnomon_replay import kafka_source, spool_source
from gnomon_replay.log import PairLog

from gnomon import cli

POINTS = ("begin", "opened", "letters", "ledger", "pairs", "within", "written", "acknowledged")
_TABLES = {"dead_letters": "letters", "ledger": "ledger"}
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Fault:
    """What goes wrong.

    Attributes:
        at: one of POINTS.
        nth: the commit, from 1, in which it does.
        how: `kill`, `stop` or `full`.
        after_s: for `within`, how long into the append.
    """

    at: str
    nth: int
    how: str
    after_s: float = 0.0


def die_with_parent() -> None:
    """Has the kernel kill this process as soon as its parent has ended: nothing outlives a killed campaign."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def fork_worker(
    arguments: Sequence[str], output: Path, fault: Fault | None, *, small_commits: bool = True
) -> int:
    """Starts `gnomon` with these arguments as a process group of its own; returns its process id."""
    pid = os.fork()
    if pid == 0:
        _become_worker(arguments, output, fault, small_commits)
    return pid


def _become_worker(
    arguments: Sequence[str], output: Path, fault: Fault | None, small_commits: bool
) -> NoReturn:
    status = 70
    try:
        os.setsid()
        die_with_parent()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (descriptor, 1), (descriptor, 2)):
            os.dup2(source, target)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
        kafka_source.SESSION_TIMEOUT_MS = 6_000
        if small_commits:
            _many_small_commits()
        if fault is not None:
            install(fault)
        os.environ["GNOMON_DEBUG"] = "1"
        status = cli.main(arguments)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def _many_small_commits() -> None:
    """Reads that bring little, so that a short run has many commits."""
    spool_source.READ_BYTES = 16_000
    kafka_source.POLL_MESSAGES = kafka_source.MOST_MESSAGES = 12


def install(fault: Fault) -> None:
    """Has the fault happen in this process, once."""
    state = {"commit": 0, "done": False}

    def reached(point: str) -> None:
        if state["done"] or point != fault.at or state["commit"] != fault.nth:
            return
        state["done"] = True
        _happen(fault)

    _around(PairLog, "commit", before=lambda: (state.update(commit=state["commit"] + 1), reached("begin")))
    _around(PairLog, "reopen", after=lambda: reached("opened"))
    write = deltalake.write_deltalake

    def writing(table: Any, *given: Any, **options: Any) -> None:
        name = Path(table).name if isinstance(table, str) else "pairs"
        if fault.how == "full" and state["done"]:
            raise OSError(28, "No space left on device")
        if name != "pairs":
            write(table, *given, **options)
            if name in _TABLES:  # what a run took is no part of a commit
                reached(_TABLES[name])
            return
        reached("pairs")
        if fault.how == "full" and state["done"]:
            raise OSError(28, "No space left on device")
        if fault.at == "within" and state["commit"] == fault.nth:
            timer = threading.Timer(fault.after_s, reached, ["within"])
            timer.daemon = True
            timer.start()
        write(table, *given, **options)
        reached("written")

    for module in list(sys.modules.values()):  # whichever of them writes
        if module.__name__.startswith("gnomon_replay.") and hasattr(module, "write_deltalake"):
            module.write_deltalake = writing
    for source in (spool_source.SpoolSource, kafka_source.KafkaSource):
        _around(source, "acknowledge", after=lambda: reached("acknowledged"))


def _happen(fault: Fault) -> None:
    if fault.how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif fault.how == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)


def _around(
    owner: type,
    name: str,
    before: Callable[[], object] = lambda: None,
    after: Callable[[], object] = lambda: None,
) -> None:
    inner = getattr(owner, name)

    def wrapped(self: Any, *given: Any, **options: Any) -> Any:
        before()
        result = inner(self, *given, **options)
        after()
        return result

    setattr(owner, name, wrapped)
