"""One process that runs a model (`host.py`), as seen from the worker's side."""

from __future__ import annotations

import contextlib
import mmap
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from gnomon_replay import host, procfs, warden
from gnomon_replay.output import Output
from gnomon_replay.settings import Model

LOAD_TIMEOUT_S = 120.0
LOOK_S = 0.05
"""How often memory and output are looked at while a model is busy: a fast one may take some hundred MB more."""
_SEND_CREDENTIALS = 16  # SO_PASSCRED
_CREDENTIALS = struct.Struct("=3i")  # SCM_CREDENTIALS: process, user, group


@dataclass(frozen=True)
class Isolation:
    """How far a model is confined.

    Attributes:
        network: it has an empty network namespace.
        processes: it sees no process but its own, and all that it starts ends with it.
        why: what the system said where it does not.
    """

    network: bool
    processes: bool
    why: str


class HostError(Exception):
    """A host did not answer a batch.

    Attributes:
        kind: one of `pairs.ERROR_KINDS`.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class HostProcess:
    """One host. It is started, and its model loaded, in the background; `ready` waits for that. Not thread-safe.

    Attributes:
        features: the names that the model declares; None where it takes what it is given. Known when ready.
        classes: of a classifier, in the order of its probabilities. Known when ready.
        peak_bytes: the most memory that it was seen to hold.
        asked_alone: how many requests it was asked one at a time.

    Args:
        start: has the warden start a host with these two descriptors.
        how_it_ended: what the warden says about a process, within some time: "was killed by SIGSEGV".
        load: the request that loads the model.
    """

    def __init__(
        self,
        model: Model,
        output: Output,
        start: Callable[[int, int], None],
        how_it_ended: Callable[[int], str],
        load: dict[str, Any],
    ) -> None:
        self.features: list[str] | None = None
        self.classes: list[Any] | None = None
        self.peak_bytes = 0
        self.asked_alone = 0
        self._model = model
        self._output = output
        self._how_it_ended = how_it_ended
        self._pid = 0
        self._handle = -1  # of the process: a number may be given to another one later
        self._number = 0
        self._loaded = False
        self._channel, theirs = socket.socketpair()
        counter = os.memfd_create("gnomon attempts", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(counter, warden.ATTEMPTS_BYTES)
            self._attempts = mmap.mmap(counter, warden.ATTEMPTS_BYTES)
            self._channel.setsockopt(socket.SOL_SOCKET, _SEND_CREDENTIALS, 1)
            start(theirs.fileno(), counter)
            host.send(self._channel, load | {"id": self._number})
        except BaseException:
            self._channel.close()
            raise
        finally:
            theirs.close()
            os.close(counter)

    @property
    def alive(self) -> bool:
        """Whether it may be asked."""
        return self._channel.fileno() >= 0

    @property
    def attempts(self) -> tuple[int, str]:
        """How often its Python code tried to reach a network, and the first of these."""
        count, described = warden.ATTEMPTS.unpack_from(self._attempts)
        begin = warden.ATTEMPTS.size
        return count, self._attempts[begin : begin + min(described, 1000)].decode(errors="replace")

    def ready(self) -> None:
        """Waits until the model is loaded.

        Raises:
            HostError: it cannot be; the host is closed.
        """
        if self._loaded:
            return
        try:
            header, _ = self._answered(LOAD_TIMEOUT_S)
            self.features, self.classes = header["features"], header["classes"]
            self._loaded = True
        except BaseException:
            self.close()
            raise

    def predict(self, table: pa.Table) -> tuple[pa.Table, int, int]:
        """Answers to a batch, and the nanoseconds that the model's call took: on the clock, and of CPU.

        Raises:
            HostError: no answer; a host that crashed or hung is closed and must not be asked again.
        """
        self._number += 1
        deadline = time.monotonic() + self._model.timeout_s
        with self._translated(self._model.timeout_s):
            self._channel.settimeout(self._model.timeout_s)
            host.send(self._channel, {"op": "predict", "id": self._number}, table)
        header, answers = self._answered(self._model.timeout_s, deadline)
        if answers is None or answers.num_rows != table.num_rows:
            raise HostError("wrong_rows", f"answers for {table.num_rows} requests are missing")
        self.classes = header["classes"]  # some models name them only as they answer
        return answers, header["elapsed_ns"], header["cpu_ns"]

    def close(self) -> None:
        """Ends the process, and whatever it started. May be called again."""
        if not self.alive:
            return
        self._channel.close()
        self._output.turn_page()
        if self._handle < 0:
            return  # it ends by itself when it looks at its channel, and with the warden at the latest
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, 0)
            with contextlib.suppress(OSError):
                os.killpg(self._pid, signal.SIGKILL)
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)
        os.close(self._handle)

    def _answered(
        self, timeout_s: float, deadline: float | None = None
    ) -> tuple[dict[str, Any], pa.Table | None]:
        deadline = time.monotonic() + timeout_s if deadline is None else deadline
        with self._translated(timeout_s):
            if not self._pid:
                self._pid = self._greeted(deadline)
                with contextlib.suppress(ProcessLookupError):
                    self._handle = os.pidfd_open(self._pid)
            self._await(deadline)
            reply, answers = host.receive(self._channel, deadline)
            if reply.get("id") != self._number:
                raise ValueError("an answer to another question")
            if answers is not None:
                answers.validate(full=True)
        self._look(tree=False)
        self._output.keep_bounded()
        if "error" in reply:
            raise HostError(reply["error"], reply["message"])
        return reply, answers

    def _greeted(self, deadline: float) -> int:
        """The host's process id, which the kernel adds to its first byte."""
        self._channel.settimeout(max(1e-3, deadline - time.monotonic()))
        greeting, ancillary, _, _ = self._channel.recvmsg(1, socket.CMSG_SPACE(_CREDENTIALS.size))
        self._channel.setsockopt(socket.SOL_SOCKET, _SEND_CREDENTIALS, 0)
        if not greeting:
            raise EOFError
        pid: int = _CREDENTIALS.unpack(ancillary[0][2])[0]
        return pid

    def _await(self, deadline: float) -> None:
        """Until there is something to read; looks after the host meanwhile."""
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        while not poll.poll(1000 * max(0.0, min(LOOK_S, deadline - time.monotonic()))):
            if time.monotonic() >= deadline:
                raise TimeoutError
            self._look(tree=True)
            self._output.keep_bounded()

    def _look(self, *, tree: bool) -> None:
        """Ends a host that holds too much memory. What it ever held at once counts, so that what happens does not
        hang on when we look; of the processes that it started, what they hold now."""
        now, peak = procfs.memory(self._pid)
        if tree:
            now += sum(procfs.memory(pid)[0] for pid in procfs.descendants(self._pid))
        peak = max(peak, now)
        self.peak_bytes = max(self.peak_bytes, peak)
        if peak > self._model.memory_mb << 20:
            self.close()
            raise HostError(
                "out_of_memory", f"held {peak / 2**20:,.0f} MB; its memory_mb is {self._model.memory_mb}"
            )

    @contextlib.contextmanager
    def _translated(self, timeout_s: float) -> Iterator[None]:
        try:
            yield
        except TimeoutError as exc:
            self.close()
            raise HostError("timeout", f"no answer within {timeout_s:g} s") from exc
        except (EOFError, OSError) as exc:
            said = f"the model's process {self._how_it_ended(self._pid)}"
            if words := self._output.last_words():
                said += f"; it last wrote: {words}"
            self.close()
            raise HostError("crash", said) from exc
        except (
            ValueError,
            MemoryError,
            OverflowError,
            pa.ArrowException,
        ) as exc:  # it wrote into the channel
            self.close()
            raise HostError("crash", f"the model's process answered what is no message: {exc}") from exc
