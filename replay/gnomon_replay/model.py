"""A model in a process of its own, as the worker asks it: batches in, answers out, one error per bad request.

A crash, a hang, an exception or garbage is that process's problem: the batch is halved until the guilty
request stands alone, that request gets an `error`, and the rest goes on.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from gnomon_capture.record import canonical_label

from gnomon_replay import host
from gnomon_replay.columns import canonical_labels
from gnomon_replay.errors import ModelError
from gnomon_replay.pairs import CRITICAL_KINDS, OUTPUT, UNREPRODUCED
from gnomon_replay.settings import Experiment, Model

LOAD_TIMEOUT_S = 120.0
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


@dataclass(frozen=True)
class ModelFile:
    """Where a model lies and what its bytes are.

    Attributes:
        kind: `skops`, `joblib` or `callable`.
        digest: sha256 of its bytes; of a callable, of its table in the configuration.
    """

    kind: str
    path: Path
    target: str
    digest: str


def locate(model: Model, folder: Path) -> ModelFile:
    """Finds and checks a model, without loading it.

    Args:
        folder: the configuration's; `model.model` is relative to it.

    Raises:
        ModelError: no such file, another digest than pinned, or a file that runs code and is not allowed to.
    """
    target = model.model or ""
    suffix = Path(target).suffix
    if suffix not in (".skops", ".joblib", ".pkl"):
        if ":" not in target:
            raise ModelError(
                model.version, f"{target!r}: write file.skops, file.joblib or module:callable as its `model`"
            )
        table = {key: value for key, value in msgspec.to_builtins(model).items() if value}
        encoded = msgspec.json.encode(table, order="sorted")
        return ModelFile("callable", folder, target, f"sha256:{hashlib.sha256(encoded).hexdigest()}")
    path = folder / target
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as exc:
        raise ModelError(model.version, f"{path} cannot be read ({exc.strerror}); check its `model`") from exc
    if model.sha256 is not None and model.sha256 != digest:
        raise ModelError(model.version, f"{path} has sha256 {digest}, not the pinned {model.sha256}")
    kind = "skops" if suffix == ".skops" else "joblib"
    if kind == "joblib" and not model.allow_pickle and model.sha256 is None:
        raise ModelError(
            model.version,
            f'{path} runs code as it loads; set allow_pickle = true, or pin it by sha256 = "{digest}"',
        )
    return ModelFile(kind, path, target, f"sha256:{digest}")


class Host:
    """One running host process. Not thread-safe."""

    def __init__(self, model: Model, file: ModelFile, folder: Path, threads: int) -> None:
        ours, theirs = socket.socketpair()
        environment = {key: os.environ[key] for key in _KEPT_ENVIRONMENT if key in os.environ}
        environment |= dict.fromkeys(_THREAD_SETTINGS, str(threads))
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the host
        self._model = model
        self._channel = ours
        try:
            self._process = subprocess.Popen(
                [model.python or sys.executable, "-W", "ignore", host.__file__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as exc:
            raise ModelError(model.version, f"{model.python} cannot be started ({exc.strerror})") from exc
        finally:
            theirs.close()
        self.features: list[str] | None = None
        self.classes: list[Any] | None = None
        try:
            request = {
                "op": "load",
                "kind": file.kind,
                "path": str(file.path.absolute()),
                "target": file.target,
                "folder": str(folder.absolute()),
                "trusted": list(model.trusted_types),
            }
            header, _ = self._ask(request, None, LOAD_TIMEOUT_S)
        except HostError as exc:
            self.close()
            raise ModelError(model.version, f"{file.target} cannot be loaded: {exc}") from exc
        self.features, self.classes = header["features"], header["classes"]

    def predict(self, table: pa.Table, positive: int) -> tuple[pa.Table, int]:
        """Answers to a batch, and the nanoseconds that the model's call took.

        Raises:
            HostError: no answer; a host that crashed or hung is closed and must not be asked again.
        """
        header, answers = self._ask({"op": "predict", "positive": positive}, table, self._model.timeout_s)
        if answers is None or answers.num_rows != table.num_rows:
            raise HostError("wrong_rows", f"answers for {table.num_rows} requests are missing")
        return answers, header["elapsed_ns"]

    @property
    def alive(self) -> bool:
        return self._channel.fileno() >= 0

    def close(self) -> None:
        """Ends the process, and whatever it started."""
        self._channel.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._output.close()

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
        if "error" in reply:
            raise HostError(reply["error"], reply["message"])
        return reply, answers

    def _last_words(self) -> str:
        code = self._process.wait()
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        size = self._output.seek(0, os.SEEK_END)
        self._output.seek(max(0, size - 500))
        tail = self._output.read().decode(errors="replace").strip()
        return f"the model's process was {how}" + (f"; it last wrote: {tail}" if tail else "")


class HostedModel:
    """A model that answers every batch, whatever it does. Not thread-safe; close it."""

    def __init__(self, model: Model, experiment: Experiment, folder: Path, threads: int) -> None:
        """Starts the host and loads the model.

        Raises:
            ModelError: it cannot be loaded, or is not a model for this task.
        """
        self.version = model.version
        self._settings = model
        self._file = locate(model, folder)
        self._folder = folder
        self._threads = threads
        self.digest = self._file.digest
        self._host = self._start()
        self.features = self._host.features
        labels = None if self._host.classes is None else [canonical_label(c) for c in self._host.classes]
        self._labels = None if labels is None else pa.array(labels, pa.string())
        self._positive = 1
        if labels is not None:
            if experiment.positive_label not in labels:
                self.close()
                raise ModelError(
                    model.version,
                    f"its classes are {labels}; none is the positive {experiment.positive_label!r}",
                )
            self._positive = labels.index(experiment.positive_label)

    def needs(self, known: list[str]) -> list[str] | None:
        """The features to hand over, of those the traffic has; None for all of them.

        Raises:
            ModelError: the model declares a feature that the traffic never has.
        """
        if self.features is None:
            return None
        for name in self.features:
            if name not in known:
                near = get_close_matches(name, known, n=1)
                hint = f"did it mean `{near[0]}`?" if near else f"it has {', '.join(sorted(known)) or 'none'}"
                raise ModelError(
                    self.version, f"needs the feature `{name}`, which the traffic never has; {hint}"
                )
        return self.features

    def check(self, table: pa.Table) -> None:
        """Asks for a handful of real requests.

        Raises:
            ModelError: it fails on every one of them; better said now than in every row of the log.
        """
        if not table.num_rows:
            return
        answers = self.answer(table)
        errors = answers.field("error")
        if errors.null_count == 0:
            first = answers[0].as_py()
            raise ModelError(
                self.version,
                f"failed on all of the first {table.num_rows} requests: {first['error']}: {first['message']}",
            )

    def answer(self, table: pa.Table) -> pa.StructArray:
        """Answers to a batch of features, one row each, of type `pairs.OUTPUT`."""
        if not table.num_rows:
            return pa.array([], OUTPUT)
        try:
            answers, _ = self._predict(table)
            return self._outputs(answers)
        except HostError as exc:
            if table.num_rows == 1:
                return self._failed(table, exc)
        half = table.num_rows // 2
        return pa.concat_arrays([self.answer(table.slice(0, half)), self.answer(table.slice(half))])

    def time(self, table: pa.Table) -> pa.StructArray:
        """The answer to one request, run alone, with `latency_us`: the model's call, without transport."""
        try:
            answers, elapsed_ns = self._predict(table)
            return self._outputs(answers, latency_us=max(1, round(elapsed_ns / 1000)))
        except HostError as exc:
            return self._failed(table, exc)

    def close(self) -> None:
        """Ends the host."""
        if self._host.alive:
            self._host.close()

    def _start(self) -> Host:
        return Host(self._settings, self._file, self._folder, self._threads)

    def _predict(self, table: pa.Table) -> tuple[pa.Table, int]:
        if not self._host.alive:
            self._host = self._start()
        return self._host.predict(table, self._positive)

    def _failed(self, table: pa.Table, error: HostError) -> pa.StructArray:
        """The one guilty request's error. A crash or hang is critical only if it comes again, alone, in a
        fresh host; else its message says so."""
        message = str(error)
        if error.kind in CRITICAL_KINDS:
            self.close()
            try:
                self._predict(table)
                message = UNREPRODUCED + message
            except HostError as again:
                if again.kind not in CRITICAL_KINDS:
                    message = UNREPRODUCED + message
        row = {"version": self.version, "error": error.kind, "message": message}
        return pa.array([row], OUTPUT)

    def _outputs(self, answers: pa.Table, latency_us: int | None = None) -> pa.StructArray:
        """The model's columns as OUTPUT; a score or label that is missing or not finite is an error."""
        count = answers.num_rows
        columns = {name: answers.column(name).combine_chunks() for name in answers.column_names}
        score = columns.get("score", pa.nulls(count, pa.float64()))
        bad = pa.repeat(False, count)
        if "score" in columns:
            bad = pc.invert(pc.fill_null(pc.is_finite(score), False))
        if self._labels is not None:
            label = self._labels.take(columns["class"])
        else:
            label, missing = _given_labels(columns.get("label"))
            bad = pc.or_(bad, missing)
        nothing = pa.nulls(count, pa.string())
        children = {
            "version": pa.repeat(self.version, count),
            "label": pc.if_else(bad, nothing, label),
            "score": pc.if_else(bad, pa.scalar(None, pa.float64()), score),
            "scores": pa.nulls(count, pa.list_(pa.float64())),
            "output": nothing,
            "latency_us": pa.nulls(count, pa.int64()) if latency_us is None else pa.repeat(latency_us, count),
            "error": pc.if_else(bad, "nan_output", nothing),
            "message": pc.if_else(bad, "its label or score is missing, NaN or infinite", nothing),
        }
        arrays = [children[field.name].cast(field.type) for field in OUTPUT]
        return pa.StructArray.from_arrays(arrays, fields=list(OUTPUT))


def _given_labels(given: pa.Array | None) -> tuple[pa.StringArray, pa.BooleanArray]:
    """A callable's labels in canonical form, and which of them are none."""
    if given is None:
        raise HostError("wrong_type", "an answer of a binary model needs a `label`")
    if pa.types.is_nested(given.type):
        raise HostError("wrong_type", f"a label is text, a number or a boolean, not {given.type}")
    missing = pc.is_null(given, nan_is_null=True)
    if pa.types.is_floating(given.type):
        missing = pc.or_(missing, pc.fill_null(pc.is_inf(given), False))
    return canonical_labels(given), missing
