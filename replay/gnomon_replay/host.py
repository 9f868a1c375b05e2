"""A process that runs one model. This file stands alone: it needs pyarrow and the model's own libraries,
so that it runs in the model's environment, which may be another Python with another scikit-learn.

It is started as `python host.py FD` and speaks over that socket. A message is a length-prefixed JSON
header and an Arrow IPC stream (may be empty):

    header bytes (uint32, big-endian) | body bytes (uint64) | header | body

    {"op": "load", "kind", "path", "target", "folder", "trusted"}  →  {"features", "classes"}
    {"op": "predict", "positive": index among the classes} + features  →  {"elapsed_ns"} + answers

Whatever goes wrong in the model is answered as {"error": kind, "message": text}; a crash or a hang is seen
by the other side, which is why this is a process of its own.
"""

from __future__ import annotations

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


def receive(channel: socket.socket) -> tuple[dict[str, Any], Any]:
    """Reads one message: (header, table or None).

    Raises:
        EOFError: the other side is gone.
    """
    header_bytes, body_bytes = PREFIX.unpack(_exactly(channel, PREFIX.size))
    header = json.loads(_exactly(channel, header_bytes))
    if not body_bytes:
        return header, None
    return header, pa.ipc.open_stream(_exactly(channel, body_bytes)).read_all()


def _exactly(channel: socket.socket, count: int) -> bytearray:
    buffer = bytearray(count)
    view = memoryview(buffer)
    while view:
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
        self.classes = [value.item() if hasattr(value, "item") else value for value in estimator.classes_]
        if len(self.classes) != 2:
            raise TypeError(f"a binary model has two classes, this one has {self.classes}")
        names = getattr(estimator, "feature_names_in_", None)
        self.features = None if names is None else [str(name) for name in names]
        self._estimator = estimator

    def predict(self, frame: Any, positive: int) -> dict[str, Any]:
        """`class`, the index of the label among the classes, and `score`, P(positive)."""
        import numpy as np

        probabilities = np.asarray(self._estimator.predict_proba(frame))
        if probabilities.shape != (len(frame), 2):
            raise WrongAnswerError(
                "wrong_rows", f"probabilities of shape {probabilities.shape} for {len(frame)} requests"
            )
        return {
            "class": pa.array(probabilities.argmax(axis=1), pa.int32()),
            "score": pa.array(probabilities[:, positive], pa.float64()),
        }


class Function:
    """`module:callable`: given a DataFrame of the features, or a list of payloads."""

    features = None
    classes = None

    def __init__(self, function: Any) -> None:
        self._function = function

    def predict(self, frame: Any, positive: int) -> dict[str, Any]:
        """`label` and `score`, as far as the callable gives them, from a DataFrame or a list of dicts."""
        answer = self._function(frame)
        if isinstance(answer, list):
            given = {name for row in answer for name in row}
            columns = {
                name: [row.get(name) for row in answer] for name in ("label", "score") if name in given
            }
        else:
            columns = {name: list(answer[name]) for name in ("label", "score") if name in answer}
        if len(answer) != len(frame):
            raise WrongAnswerError("wrong_rows", f"{len(answer)} answers for {len(frame)} requests")
        if not columns:
            raise WrongAnswerError("wrong_type", "an answer needs `label`, `score` or both")
        try:
            return {
                name: pa.array(values, pa.float64() if name == "score" else None)
                for name, values in columns.items()
            }
        except (pa.ArrowException, TypeError, ValueError) as exc:
            raise WrongAnswerError("wrong_type", str(exc)) from exc


def load(request: dict[str, Any]) -> Estimator | Function:
    """The model that the other side asks for."""
    kind, path = request["kind"], request["path"]
    sys.path.insert(0, request["folder"])
    if kind == "callable":
        module, _, name = request["target"].partition(":")
        function: Any = importlib.import_module(module)
        for part in name.split("."):
            function = getattr(function, part)
        return Function(function)
    if kind == "skops":
        import skops.io

        trusted = ("sklearn.", "numpy.", "scipy.", *request["trusted"])
        types = skops.io.get_untrusted_types(file=path)
        foreign = [name for name in types if not name.startswith(trusted)]
        if foreign:
            raise TypeError(
                f"holds types that are not trusted: {', '.join(foreign)}; name them in trusted_types if you do"
            )
        return Estimator(skops.io.load(path, trusted=types))
    import joblib

    return Estimator(joblib.load(path))


def frame_of(table: Any, names: list[str] | None) -> Any:
    """The requests as the model takes them: a DataFrame with its columns in its order, or payloads."""
    if "payload" in table.column_names:
        return [json.loads(text) for text in table.column("payload").to_pylist()]
    return table.select(table.column_names if names is None else names).to_pandas()


def answer(model: Estimator | Function, request: dict[str, Any], table: Any) -> tuple[dict[str, Any], Any]:
    """One batch of predictions; the time is that of the model's call alone."""
    frame = frame_of(table, model.features)
    began = time.perf_counter_ns()
    columns = model.predict(frame, request["positive"])
    return {"elapsed_ns": time.perf_counter_ns() - began}, pa.table(columns)


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
            reply = {"error": exc.kind, "message": str(exc)[:2000]}, None
        except MemoryError:
            reply = {"error": "out_of_memory", "message": "MemoryError"}, None
        except Exception as exc:
            traceback.print_exc()
            text = "".join(traceback.format_exception_only(exc)).strip()
            reply = {"error": "exception", "message": text[:2000]}, None
        send(channel, *reply)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
