"""The hosts of one model: one at work, one in reserve, and the warden that starts them."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from gnomon_replay import warden
from gnomon_replay.errors import ModelError
from gnomon_replay.hostprocess import LOAD_TIMEOUT_S, HostError, HostProcess, Isolation
from gnomon_replay.modelfile import ModelFile, load_request
from gnomon_replay.output import Output
from gnomon_replay.pairs import CRITICAL_KINDS
from gnomon_replay.settings import Model, Task

PAUSES_S = (0.5, 2.0, 8.0)
"""Before a model that could be loaded, and now ends as it is loaded, is loaded again; then it is given up."""
_DYING_S = 2.0
_REMEMBERED = 1000
_KEPT_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR", "VIRTUAL_ENV")
_THREAD_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_PRELOADED = {
    "skops": ("pandas", "skops.io", "sklearn.ensemble", "sklearn.linear_model"),
    "joblib": ("pandas", "joblib", "sklearn.ensemble", "sklearn.linear_model"),
    "callable": ("pandas",),
}
"""By kind of model: libraries that are safe to import before a fork, since they start no threads that a fork
would lack."""


class Reserve:
    """Starts hosts, keeps the one at work, and, once one had to be replaced, another in reserve. Not thread-safe.

    Attributes:
        isolation: how far the hosts are confined.
        restarts: how often a host had to be replaced.

    Raises:
        ModelError: the model's Python cannot be started.
    """

    def __init__(
        self, model: Model, file: ModelFile, folder: Path, threads: int, task: Task, output: Path | None
    ) -> None:
        self._model = model
        self._task = task
        self._file = file
        self._folder = folder
        self._environment = {
            name: os.environ[name] for name in (*_KEPT_ENVIRONMENT, *model.environment) if name in os.environ
        } | dict.fromkeys(_THREAD_SETTINGS, str(threads))
        self._output = Output(output)
        self._current: HostProcess | None = None
        self._spare: HostProcess | None = None
        self._warden: subprocess.Popen[bytes] | None = None
        self._control = socket.socket()
        self._ended: dict[int, int] = {}
        self._attempts = 0
        self._first_attempt = ""
        self.restarts = 0
        self._peak_bytes = 0
        try:
            self.isolation = self._start_warden()
        except BaseException:
            self.close()
            raise

    def current(self) -> HostProcess:
        """The host at work, with its model loaded; a new one if it has ended.

        Raises:
            ModelError: the model cannot be loaded, or not any more.
        """
        if self._current is not None:
            if self._current.alive:
                return self._current
            self._retire(self._current)
            self._current = None
            self.restarts += 1
        for pause_s in (*PAUSES_S, None):
            host, self._spare = self._spare or self._begin(), None
            try:
                host.ready()
                break
            except HostError as exc:
                self._retire(host)
                # A host that ends as it loads may do so for want of memory at that moment.
                if not self.restarts or exc.kind not in CRITICAL_KINDS or pause_s is None:
                    raise ModelError(
                        self._model.version, f"{self._file.target} cannot be loaded: {exc}"
                    ) from exc
                time.sleep(pause_s)
        if self.restarts:  # what ended once may well end again; others need no second copy in memory
            self._spare = self._begin()
        self._current = host
        return host

    def discard(self) -> None:
        """Ends the host at work, so that the next is a fresh one."""
        if self._current is not None:
            self._current.close()

    @property
    def peak_bytes(self) -> int:
        """The most memory that a host was seen to hold."""
        return max(self._peak_bytes, 0 if self._current is None else self._current.peak_bytes)

    @property
    def attempts(self) -> tuple[int, str]:
        """How often the model's Python code tried to reach a network, and the first of these."""
        count, first = self._attempts, self._first_attempt
        for each in (self._current, self._spare):
            if each is not None:
                more, described = each.attempts
                count, first = count + more, first or described
        return count, first

    def close(self) -> None:
        """Ends all hosts and the warden. May be called again."""
        for each in (self._current, self._spare):
            if each is not None:
                self._retire(each)
        self._current = self._spare = None
        self._end_warden()
        self._output.close()

    def _retire(self, ended: HostProcess) -> None:
        ended.close()
        self._peak_bytes = max(self._peak_bytes, ended.peak_bytes)
        count, described = ended.attempts
        self._attempts += count
        self._first_attempt = self._first_attempt or described

    def _begin(self) -> HostProcess:
        load = load_request(self._model, self._file, self._folder, self._task)
        try:
            return HostProcess(self._model, self._output, self._start_host, self._how_it_ended, load)
        except OSError:  # the warden is gone: another, or the kernel for want of memory, has ended it
            self._end_warden()
            self._start_warden()
            return HostProcess(self._model, self._output, self._start_host, self._how_it_ended, load)

    # ---- the warden ----

    def _start_warden(self) -> Isolation:
        self._control.close()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        python = self._model.python or sys.executable
        options = {"network": self._model.network, "preload": _PRELOADED.get(self._file.kind, ())}
        command = [python, "-W", "ignore", warden.__file__, str(theirs.fileno()), json.dumps(options)]
        try:
            self._warden = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                env=self._environment,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=self._output.fileno(),
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as exc:
            raise ModelError(
                self._model.version, f"{python} cannot be started ({exc.strerror}); check its `python`"
            ) from exc
        finally:
            theirs.close()
        told = self._hear(LOAD_TIMEOUT_S)
        if told is None or "network" not in told:
            words = self._output.last_words()
            raise ModelError(
                self._model.version,
                f"{python} could not run gnomon's host: {words or 'it said nothing'}; "
                "it needs pyarrow and the model's libraries",
            )
        return Isolation(bool(told["network"]), bool(told["processes"]), str(told["why"]))

    def _end_warden(self) -> None:
        """It kills all hosts and ends by itself; then whatever has not been heard of it is of no use."""
        self._control.close()
        if self._warden is None:
            return
        try:
            self._warden.wait(_DYING_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._warden.pid, signal.SIGKILL)
            self._warden.wait()
        self._warden = None

    def _start_host(self, channel: int, attempts: int) -> None:
        while told := self._hear(0):  # or it could tell no more
            self._note(told)
        socket.send_fds(self._control, [b"start"], [channel, attempts])

    def _hear(self, timeout_s: float) -> dict[str, object] | None:
        """The warden's next message; None if there is none in time, or it has ended."""
        if not select.select([self._control], [], [], timeout_s)[0]:
            return None
        packet = self._control.recv(1 << 16)
        heard: dict[str, object] | None = json.loads(packet) if packet else None
        return heard

    def _note(self, told: dict[str, object]) -> None:
        if len(self._ended) > _REMEMBERED:  # of those that we ended ourselves, nobody asks
            self._ended.clear()
        self._ended[int(str(told["ended"]))] = int(str(told["status"]))

    def _how_it_ended(self, pid: int) -> str:
        deadline = time.monotonic() + _DYING_S
        while pid not in self._ended and time.monotonic() < deadline:
            told = self._hear(deadline - time.monotonic())
            if told is None:
                break
            self._note(told)
        code = self._ended.pop(pid, None)
        if code is None:
            return "closed its connection"
        if code >= 0:
            return f"ended with status {code}"
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return f"was killed by {name}"
