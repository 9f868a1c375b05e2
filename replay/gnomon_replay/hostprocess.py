"""The process that runs a model (`host.py`), as seen from the worker's side."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa

from gnomon_replay import host
from gnomon_replay.errors import ModelError
from gnomon_replay.modelfile import ModelFile, load_request
from gnomon_replay.settings import Model, Task

LOAD_TIMEOUT_S = 120.0
OUTPUT_BYTES = 1 << 20
"""How much of what a model prints is kept on disk; its last words are quoted when it crashes."""
_LAST_WORDS_BYTES = 500
_DYING_S = 2.0
_KEPT_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR", "VIRTUAL_ENV")
_THREAD_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class HostError(Exception):
    """A host did not answer a batch.

    Attributes:
        kind: one of `pairs.ERROR_KINDS`.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class HostProcess:
    """One running host, with its model loaded. Not thread-safe.

    Attributes:
        features: the names that the model declares; None where it takes what it is given.
        classes: of a classifier, in the order of its probabilities.

    Raises:
        ModelError: the model cannot be loaded.
    """

    def __init__(self, model: Model, file: ModelFile, folder: Path, threads: int, task: Task) -> None:
        self._model = model
        self._process: subprocess.Popen[bytes] | None = None
        self._channel, theirs = socket.socketpair()
        lifeline, self._lifeline = os.pipe()  # see host.end_with
        self._output = tempfile.TemporaryFile("a+b")  # noqa: SIM115 - closed with the host
        environment = {key: os.environ[key] for key in _KEPT_ENVIRONMENT if key in os.environ}
        environment |= dict.fromkeys(_THREAD_SETTINGS, str(threads))
        command = [model.python or sys.executable, "-W", "ignore", host.__file__]
        try:
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno()), str(lifeline)],
                pass_fds=[theirs.fileno(), lifeline],
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            theirs.close()
            self.features, self.classes = self._load(load_request(model, file, folder, task))
        except HostError as exc:
            self.close()
            raise ModelError(model.version, f"{file.target} cannot be loaded: {exc}") from exc
        except OSError as exc:
            self.close()
            raise ModelError(
                model.version, f"{command[0]} cannot be started ({exc.strerror}); check its `python`"
            ) from exc
        except BaseException:
            self.close()
            raise
        finally:
            theirs.close()
            os.close(lifeline)

    @property
    def alive(self) -> bool:
        """Whether it may be asked."""
        return self._channel.fileno() >= 0

    def predict(self, table: pa.Table) -> tuple[pa.Table, int]:
        """Answers to a batch, and the nanoseconds that the model's call took.

        Raises:
            HostError: no answer; a host that crashed or hung is closed and must not be asked again.
        """
        header, answers = self._ask({"op": "predict"}, table, self._model.timeout_s)
        if answers is None or answers.num_rows != table.num_rows:
            raise HostError("wrong_rows", f"answers for {table.num_rows} requests are missing")
        self.classes = header["classes"]  # some models name them only as they answer
        return answers, header["elapsed_ns"]

    def close(self) -> None:
        """Ends the process, and whatever it started. May be called again."""
        if not self.alive:
            return
        self._channel.close()
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        os.close(self._lifeline)
        self._output.close()

    def _load(self, request: dict[str, Any]) -> tuple[list[str] | None, list[Any] | None]:
        header, _ = self._ask(request, None, LOAD_TIMEOUT_S)
        return header["features"], header["classes"]

    def _ask(
        self, header: dict[str, Any], table: pa.Table | None, timeout_s: float
    ) -> tuple[dict[str, Any], pa.Table | None]:
        self._channel.settimeout(timeout_s)
        try:
            host.send(self._channel, header, table)
            reply, answers = host.receive(self._channel)
        except TimeoutError as exc:
            self.close()
            raise HostError("timeout", f"no answer within {timeout_s:g} s") from exc
        except (EOFError, OSError) as exc:
            message = self._last_words()
            self.close()
            raise HostError("crash", message) from exc
        except (ValueError, MemoryError, OverflowError) as exc:  # the model wrote into the channel
            self.close()
            raise HostError("crash", f"the model's process answered what is no message: {exc}") from exc
        if os.fstat(self._output.fileno()).st_size > OUTPUT_BYTES:
            self._output.truncate(0)
        if "error" in reply:
            raise HostError(reply["error"], reply["message"])
        return reply, answers

    def _last_words(self) -> str:
        how = "closed its connection"
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self._process.wait(_DYING_S)
                how = f"was killed by {_signal_name(-code)}" if code < 0 else f"ended with status {code}"
        size = self._output.seek(0, os.SEEK_END)
        self._output.seek(max(0, size - _LAST_WORDS_BYTES))
        tail = self._output.read().decode(errors="replace").strip()
        return f"the model's process {how}" + (f"; it last wrote: {tail}" if tail else "")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
