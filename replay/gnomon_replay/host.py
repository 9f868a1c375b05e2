"""A process that runs one model. This file stands alone: it needs pyarrow and the model's own libraries,
so that it runs in the model's environment, which may be another Python with another scikit-learn.

It is a fork of `warden.py`, which confines it, and speaks over a channel, a socket. A message is a
length-prefixed JSON header and an Arrow IPC stream (may be empty):

    header bytes (uint32, big-endian) | body bytes (uint64) | header | body

    {"op": "load", "kind", "path", "sha256", "target", "folder", "trusted"}  →  {"features", "classes"}
    {"op": "predict", "positive": index among the classes} + features  →  {"elapsed_ns", "cpu_ns"} + answers

Each has a number `id`, which stands in its answer. Whatever goes wrong in the model is answered as
{"error": kind, "message": text}; a crash or a hang is seen by the other side, which is why this is a process of
its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import json
import socket
import struct
import sys
import time
import traceback
from typing import Any

import pyarrow as pa

PREFIX = struct.Struct(">IQ")
_MESSAGE_CHARS = 2000
_HEADER_BYTES = 16 << 20
_BODY_BYTES = 1 << 30


def send(channel: socket.socket, header: dict[str, Any], table: Any = None) -> None:
    """Writes one message."""
    body = b""
    if table is not None:
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        body = sink.getvalue()
    encoded = json.dumps(header).encode()
    channel.sendall(PREFIX.pack(len(encoded), len(body)) + encoded)
    channel.sendall(body)


def receive(channel: socket.socket, deadline: float | None = None) -> tuple[dict[str, Any], Any]:
    """Reads one message: (header, table or None).

    Args:
        deadline: of `time.monotonic`.

    Raises:
        EOFError: the other side is gone.
        TimeoutError: the deadline has passed.
        ValueError: this is no message.
    """
    header_bytes, body_bytes = PREFIX.unpack(_exactly(channel, PREFIX.size, deadline))
    if header_bytes > _HEADER_BYTES or body_bytes > _BODY_BYTES:
        raise ValueError(f"a message of {header_bytes} + {body_bytes} bytes")
    header = json.loads(_exactly(channel, header_bytes, deadline))
    if not isinstance(header, dict):
        raise ValueError("a header that is no object")
    if not body_bytes:
        return header, None
    return header, pa.ipc.open_stream(_exactly(channel, body_bytes, deadline)).read_all()


def _exactly(channel: socket.socket, count: int, deadline: float | None) -> bytearray:
    buffer = bytearray(count)
    view = memoryview(buffer)
    while view:
        if deadline is not None:
            channel.settimeout(max(1e-3, deadline - time.monotonic()))
        got = channel.recv_into(view)
        if not got:
            raise EOFError("the other side closed the socket")
        view = view[got:]
    return buffer


class WrongAnswerError(Exception):
    """The model answered, but not what was asked for."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Estimator:
    """A scikit-learn-like binary classifier with `predict_proba` and `classes_`."""

    def __init__(self, estimator: Any) -> None:
        for name in ("predict_proba", "classes_"):
            if not hasattr(estimator, name):
                raise TypeError(f"a {type(estimator).__name__} has no {name}: a binary model needs it")
        self.classes = [_plain(value) for value in estimator.classes_]
        if len(self.classes) != 2:
            raise TypeError(f"a binary model has two classes, this one has {self.classes}")
        names = getattr(estimator, "feature_names_in_", None)
        self.features = None if names is None else [str(name) for name in names]
        self._estimator = estimator

    def predict(self, frame: Any, positive: int) -> dict[str, Any]:
        """`class`, the index of the label among the classes, and `score`, P(positive)."""
        import numpy as np

        answer = self._estimator.predict_proba(frame)
        try:
            probabilities = np.asarray(answer, dtype=np.float64)
        except (TypeError, ValueError) as exc:
            raise WrongAnswerError("wrong_type", f"probabilities that are no numbers: {exc}") from exc
        if probabilities.shape != (len(frame), 2):
            raise WrongAnswerError(
                "wrong_rows", f"probabilities of shape {probabilities.shape} for {len(frame)} requests"
            )
        scores = np.where(np.isfinite(probabilities).all(axis=1), probabilities[:, positive], np.nan)
        return {"class": pa.array(probabilities.argmax(axis=1), pa.int32()), "score": pa.array(scores)}


class Function:
    """`module:callable`: given a DataFrame of the features, or a list of payloads."""

    features = None
    classes = None

    def __init__(self, function: Any) -> None:
        self._function = function

    def predict(self, frame: Any, positive: int) -> dict[str, Any]:
        """`label` and `score`, as far as the callable gives them, from a DataFrame or a list of dicts."""
        answer = self._function(frame)
        if isinstance(answer, list) and all(isinstance(row, dict) for row in answer):
            given = {name for row in answer for name in row}
            columns = {
                name: [row.get(name) for row in answer] for name in ("label", "score") if name in given
            }
        elif hasattr(answer, "columns"):
            columns = {name: list(answer[name]) for name in ("label", "score") if name in answer.columns}
        else:
            kind = type(answer).__name__
            raise WrongAnswerError("wrong_type", f"answered a {kind}, not a DataFrame or a list of dicts")
        if len(answer) != len(frame):
            raise WrongAnswerError("wrong_rows", f"{len(answer)} answers for {len(frame)} requests")
        if not columns:
            raise WrongAnswerError("wrong_type", "an answer needs `label`, `score` or both")
        try:
            return {
                name: pa.array([_label(value) for value in values], pa.string())
                if name == "label"
                else pa.array(values, pa.float64(), from_pandas=True)
                for name, values in columns.items()
            }
        except (pa.ArrowException, TypeError, ValueError) as exc:
            raise WrongAnswerError("wrong_type", f"a {next(iter(columns))} of another type: {exc}") from exc


def _label(value: Any) -> str | None:
    """A label as text, one form for all kinds of number; whoever asked brings it into canonical form."""
    value = _plain(value)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float):
        return repr(value) if abs(value) < float("inf") else None
    if isinstance(value, int):
        return str(value)
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    raise TypeError(f"a label is text, a number or a boolean, not a {type(value).__name__}")


def _plain(value: Any) -> Any:
    """A NumPy scalar as Python's; a float32 keeps its own shortest form."""
    if type(value).__name__ in ("float16", "float32"):
        return float(str(value))
    return value.item() if hasattr(value, "item") else value


def load(request: dict[str, Any]) -> Estimator | Function:
    """The model that the other side asks for."""
    kind = request["kind"]
    sys.path[0] = request["folder"]  # in place of this file's own folder
    with contextlib.suppress(ImportError):  # now, and not within the first batch's time limit
        importlib.import_module("pandas")
    if kind == "callable":
        module, _, name = request["target"].partition(":")
        function: Any = importlib.import_module(module)
        for part in name.split("."):
            function = getattr(function, part)
        if not callable(function):
            raise TypeError(f"{request['target']} is a {type(function).__name__}, which cannot be called")
        return Function(function)
    with open(request["path"], "rb") as file:
        data = file.read()
    if hashlib.sha256(data).hexdigest() != request["sha256"]:
        raise ValueError("the file has changed since the run began; start anew to run another model")
    if kind == "skops":
        import skops.io

        known = ("sklearn.", "numpy.", "scipy.")
        types = skops.io.get_untrusted_types(data=data)
        foreign = [name for name in types if not name.startswith(known) and name not in request["trusted"]]
        if foreign:
            raise TypeError(
                f"holds types that are not trusted: {', '.join(foreign)}; name them in trusted_types if you do"
            )
        return Estimator(skops.io.loads(data, trusted=types))
    import joblib

    return Estimator(joblib.load(io.BytesIO(data)))


def frame_of(table: Any, names: list[str] | None) -> Any:
    """The requests as the model takes them: a DataFrame with its columns in its order, or payloads."""
    if "payload" in table.column_names:
        return [json.loads(text) for text in table.column("payload").to_pylist()]
    columns = table.select(table.column_names if names is None else names)
    return columns.to_pandas(integer_object_nulls=True)  # as doubles they would lose digits


def answer(model: Estimator | Function, request: dict[str, Any], table: Any) -> tuple[dict[str, Any], Any]:
    """One batch of predictions; the time is that of the model's call alone."""
    frame = frame_of(table, model.features)
    began, cpu_began = time.perf_counter_ns(), time.process_time_ns()
    columns = model.predict(frame, request["positive"])
    elapsed_ns, cpu_ns = time.perf_counter_ns() - began, time.process_time_ns() - cpu_began
    return {"elapsed_ns": elapsed_ns, "cpu_ns": cpu_ns}, pa.table(columns)


def serve(channel: socket.socket) -> None:
    """Answers until the other side closes."""
    model: Any = None
    while True:
        try:
            request, table = receive(channel)
        except EOFError:
            return
        reply: tuple[dict[str, Any], Any]
        try:
            if request["op"] == "load":
                model = load(request)
                reply = {"features": model.features, "classes": model.classes}, None
            else:
                reply = answer(model, request, table)
        except WrongAnswerError as exc:
            reply = {"error": exc.kind, "message": str(exc)[:_MESSAGE_CHARS]}, None
        except MemoryError:
            reply = {"error": "out_of_memory", "message": "MemoryError"}, None
        except Exception as exc:
            traceback.print_exc()
            text = "".join(traceback.format_exception_only(exc)).strip()
            reply = {"error": "exception", "message": text[:_MESSAGE_CHARS]}, None
        header, answers = reply
        send(channel, header | {"id": request.get("id")}, answers)
