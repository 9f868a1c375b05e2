"""A query in a process of its own, which has an end: in time, in memory, and when whoever asked goes away.

DuckDB notices a limit between the steps of a query. A single call that makes a value of gigabytes is one step, so
that neither its own memory limit nor an interrupt reaches it, nor a Ctrl-C, which Python sees when the call returns.
The system reaches it: the child may reserve so many bytes and no more (`RLIMIT_AS`), and it is killed.

The child is this interpreter with this one's `sys.path`. It is told what to do by a pipe, which it also watches: when
the pipe ends, whoever asked is gone, and so is the child.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import resource
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
from gnomon_capture.errors import UsageError
from gnomon_replay.errors import LogError

GRACE_S = 2.0
"""So long after its time limit a query may still end by itself, with better words than those of a kill."""
SPARE_BYTES = 512 << 20
"""What the child may reserve beside the operators' memory and the answer: buffers, the stacks of threads."""
_READY, _ANSWER, _ERROR = b"r", b"a", b"e"
_BOOTSTRAP = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from gnomon_diff.queryprocess import serve; serve(int(sys.argv[2]))"
)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a query may take.

    Attributes:
        time_s: of wall time, once the log's views are there.
        memory_bytes: of DuckDB's operators.
        answer_bytes: of the rows it returns.
    """

    time_s: float
    memory_bytes: int
    answer_bytes: int


Answering = Callable[[Any, str, Limits, Callable[[], None]], pa.Table]
"""(log, sql, limits, what to call once the views are there) -> the answer."""


def answer_apart(answering: Answering, log: Any, sql: str, limits: Limits) -> pa.Table:
    """Calls `answering` in a process of its own, and gives its answer or raises its error.

    Args:
        answering: a function of a module, so that the child finds it by its name.

    Raises:
        UsageError, LogError: what the function raised; or it had to be killed, or died of its size.
    """
    receive, send = os.pipe()
    try:
        child = subprocess.Popen(
            # -P: nothing in the folder one stands in is imported
            [sys.executable, "-P", "-c", _BOOTSTRAP, json.dumps(sys.path), str(send)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[send],
            process_group=0,  # a Ctrl-C is for whoever asked, who kills it
        )
    finally:
        os.close(send)
    try:
        with io.FileIO(receive) as answers:
            _tell(child, pickle.dumps((answering, log, sql, limits)))
            return _heard(answers, child, limits)
    finally:
        child.kill()
        if child.stdin is not None:
            child.stdin.close()
        child.wait()


def _tell(child: subprocess.Popen[bytes], message: bytes) -> None:
    """Sends one message and leaves the pipe open: its end is the child's."""
    assert child.stdin is not None
    child.stdin.write(len(message).to_bytes(8, "little") + message)
    child.stdin.flush()


def _heard(answers: io.FileIO, child: subprocess.Popen[bytes], limits: Limits) -> pa.Table:
    """The child's answer."""
    kind = _next(answers, None)
    if kind == _READY:
        kind = _next(answers, time.monotonic() + limits.time_s + GRACE_S)
    if kind is None:
        raise too_long(limits.time_s)
    body = answers.readall() if kind else b""
    if kind == _ANSWER and child.wait() == 0:
        return pa.ipc.open_stream(pa.py_buffer(body)).read_all()
    if kind == _ERROR and child.wait() == 0:
        name, words = json.loads(body)
        if name == "LogError":
            raise LogError(*words)
        if name == "UsageError":
            raise UsageError(*words)
        raise RuntimeError(*words)
    raise UsageError(_died(child, limits))


def too_long(time_s: float) -> UsageError:
    """What a query is told that ran out of time."""
    return UsageError(f"the query ran longer than {time_s:g} s; ask for less, or count instead of listing")


def _next(stream: io.FileIO, deadline: float | None) -> bytes | None:
    """The next byte; empty where the stream ends; None where the deadline passes first."""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        if deadline is not None and not selector.select(max(0.0, deadline - time.monotonic())):
            return None
    return stream.read(1)


def _died(child: subprocess.Popen[bytes], limits: Limits) -> str:
    status = child.wait()
    how = f"signal {-status}" if status < 0 else f"status {status}"
    return f"the query's process died ({how}), most likely of its size: {_too_large(limits)}"


def serve(answers: int) -> None:
    """What the child does: hears one question, answers it, and ends.

    Args:
        answers: the pipe to write to.
    """
    with open(answers, "wb") as stream:
        kind, words = _served(stream)
        if kind:
            stream.write(_ERROR + json.dumps([kind, words]).encode())
    os._exit(0)  # at once: a thread is still waiting for the pipe to end


def _served(stream: IO[bytes]) -> tuple[str, list[str]]:
    """Answers; or the error to tell, by its name and its arguments."""
    answering, log, sql, limits = pickle.loads(_read(int.from_bytes(_read(8), "little")))
    threading.Thread(target=_end_with_the_asker, daemon=True).start()

    def ready() -> None:
        _reserve_at_most(limits.memory_bytes + limits.answer_bytes + SPARE_BYTES)
        stream.write(_READY)
        stream.flush()

    try:
        table = answering(log, sql, limits, ready)
        stream.write(_ANSWER)
        with pa.ipc.new_stream(stream, table.schema) as writer:
            writer.write_table(table)
    except LogError as exc:
        return "LogError", [exc.path, str(exc)]
    except UsageError as exc:
        return "UsageError", [str(exc)]
    except MemoryError:
        return "UsageError", [_too_large(limits)]
    except Exception as exc:  # noqa: BLE001 - whoever asked raises it
        return "Exception", [f"{type(exc).__name__}: {exc}"]
    return "", []


def _read(size: int) -> bytes:
    """From the pipe of whoever asked; nothing more is taken from it."""
    parts = bytearray()
    while len(parts) < size:
        part = os.read(0, size - len(parts))
        if not part:
            os._exit(1)
        parts += part
    return bytes(parts)


def _too_large(limits: Limits) -> str:
    return f"the query needs more memory than the {limits.memory_bytes >> 20} MiB it may take; ask for less"


def _end_with_the_asker() -> None:
    os.read(0, 1)
    os._exit(1)


def _reserve_at_most(more_bytes: int) -> None:
    """No more addresses than are reserved now, and so many: libraries and threads hold gigabytes that nobody touches."""
    with contextlib.suppress(FileNotFoundError):  # only Linux says how many there are
        now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        wanted = now + more_bytes
        resource.setrlimit(
            resource.RLIMIT_AS, (wanted if most == resource.RLIM_INFINITY else min(wanted, most), most)
        )
