"""A process that runs one model. This file stands alone: it needs pyarrow and the model's own libraries,
so that it runs in the model's environment, which may be another Python with another scikit-learn.

It is a fork of `warden.py`, which confines it, and speaks over a channel, a socket. A message is a
length-prefixed JSON header and an Arrow IPC stream (may be empty):

    header bytes (uint32, big-endian) | body bytes (uint64) | header | body

    {"op": "load", …: see modelfile.load_request}  →  {"features", "classes"}
    {"op": "predict"} + features  →  {"elapsed_ns", "cpu_ns", "classes"} + answers: see `columns_of`

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
import os
import socket
import struct
import sys
import time
import traceback
from collections.abc import Iterator
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
    """A scikit-learn-like model: `predict_proba` and `classes_` for classes, else `predict`."""

    strict: tuple[str, ...] = ()

    def __init__(self, estimator: Any, request: dict[str, Any]) -> None:
        self._task = request["task"]
        self._dtypes = request["dtypes"]
        self._estimator = estimator
        self.classes = None
        self._proba = self._task in CLASSIFYING and hasattr(estimator, "predict_proba")
        needed = ("predict_proba", "classes_") if self._task == "binary" else ("predict",)
        for name in needed:
            if not hasattr(estimator, name):
                raise TypeError(f"a {type(estimator).__name__} has no {name}: a {self._task} model needs it")
        if self._task == "regression" and hasattr(estimator, "classes_"):
            raise TypeError(f"a {type(estimator).__name__} tells classes apart; the task is regression")
        if self._proba:
            self.classes = [_plain(value) for value in estimator.classes_]
        if self._task == "binary" and len(self.classes or ()) != 2:
            raise TypeError(f"a binary model has two classes, this one has {self.classes}")
        names = getattr(estimator, "feature_names_in_", None)
        self.features = request["inputs"] or (None if names is None else [str(name) for name in names])

    def prepare(self, table: Any) -> Any:
        """A DataFrame of the features."""
        return frame_of(table, self.features, self._dtypes)

    def predict(self, frame: Any) -> dict[str, Any]:
        """`probabilities` in the order of `classes`, or what `predict` answers."""
        if self._proba:
            return {"probabilities": _matrix(self._estimator.predict_proba(frame), len(frame), self.classes)}
        return columns_of(self._estimator.predict(frame), len(frame), self._task)


class Function:
    """`module:callable`: given a DataFrame of the features, or a list of payloads."""

    classes = None
    strict: tuple[str, ...] = ()

    def __init__(self, function: Any, request: dict[str, Any]) -> None:
        self.features = request["inputs"]
        self._function = function
        self._task = request["task"]
        self._dtypes = request["dtypes"]

    def prepare(self, table: Any) -> Any:
        """What the callable is given."""
        if PAYLOAD in table.column_names:
            return [json.loads(text) for text in table.column(PAYLOAD).to_pylist()]
        return frame_of(table, self.features, self._dtypes)

    def predict(self, given: Any) -> dict[str, Any]:
        """What the callable answers."""
        return columns_of(self._function(given), len(given), self._task)


class MLflow:
    """An MLflow model folder, by its pyfunc; a classifier in it that has probabilities is asked for these."""

    def __init__(self, path: str, request: dict[str, Any]) -> None:
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        sys.dont_write_bytecode = True  # the folder may hold code, and has to stay as it is
        import mlflow.pyfunc

        self._task = request["task"]
        self._dtypes = request["dtypes"]
        self._model = mlflow.pyfunc.load_model(path)
        schema = self._model.metadata.get_input_schema()
        self._types: dict[str, Any] = {}
        self._tensor = schema is not None and schema.is_tensor_spec()
        if schema is not None and not self._tensor:
            self._types = {column.name: _MLFLOW_TYPES.get(column.type.name) for column in schema.inputs}
        raw = None
        with contextlib.suppress(NotImplementedError, AttributeError):  # not every flavour has one
            raw = self._model.get_raw_model()
        likely = self._task in CLASSIFYING and hasattr(raw, "predict_proba") and hasattr(raw, "classes_")
        self._classifier = Estimator(raw, request) if likely else None
        names = getattr(raw, "feature_names_in_", None)
        self.features = request["inputs"] or list(self._types) or (None if names is None else list(names))
        self.classes = self._classifier.classes if self._classifier else None
        if self._tensor and self.features is None:
            raise TypeError("its signature is a tensor; name its features in that order by `inputs`")
        whole = ("bool", "int32", "int64")
        self.strict = tuple(name for name, kind in self._types.items() if str(kind) in whole)

    def prepare(self, table: Any) -> Any:
        """A DataFrame of the types that the signature has, or an array."""
        for name, kind in self._types.items():
            if kind is not None and name in table.column_names:
                at = table.schema.get_field_index(name)
                table = table.set_column(at, name, table.column(name).cast(kind))
        frame = frame_of(table, self.features, self._dtypes)
        return frame.to_numpy() if self._tensor else frame

    def predict(self, given: Any) -> dict[str, Any]:
        """What the pyfunc answers, or the classifier's probabilities."""
        if self._classifier is not None:
            return self._classifier.predict(given)
        return columns_of(self._model.predict(given), len(given), self._task)


_MLFLOW_TYPES = {
    "boolean": pa.bool_(),
    "integer": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.string(),
    "datetime": pa.timestamp("ns"),
}


class Onnx:
    """A graph of onnxruntime: one input a feature, or one tensor of all features in the order of `inputs`."""

    def __init__(self, data: bytes, request: dict[str, Any]) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
        options.log_severity_level = 4
        # Weights in other files would be outside the digest: they are found nowhere.
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
        try:
            self._session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as exc:
            if "external data" not in str(exc).lower():
                raise
            raise ValueError(
                "it keeps weights in another file, which its digest does not cover; save it as one file"
            ) from exc
        self._task = request["task"]
        self._inputs = self._session.get_inputs()
        self.classes: list[Any] | None = None
        self.features = request["inputs"] or [each.name for each in self._inputs]
        width = (self._inputs[0].shape or [None])[-1]
        self._joined = len(self._inputs) == 1 and width != 1
        if self._joined and not request["inputs"]:
            raise TypeError(
                f"it takes one tensor of shape {self._inputs[0].shape}; "
                "name its features in that order by `inputs`"
            )
        if self._joined and isinstance(width, int) and width != len(self.features):
            raise TypeError(f"it takes {width} features; `inputs` names {len(self.features)}")
        if not self._joined and len(self.features) != len(self._inputs):
            raise TypeError(f"it has {len(self._inputs)} inputs; `inputs` names {len(self.features)}")
        for each in self._inputs:
            if each.type not in _ONNX_TYPES:
                raise TypeError(
                    f"its input `{each.name}` is a {each.type}; known are {', '.join(_ONNX_TYPES)}"
                )
        kinds = [each.type for each in self._inputs] * (len(self.features) if self._joined else 1)
        self._kinds = dict(zip(self.features, kinds, strict=True))
        floating = ("tensor(float)", "tensor(double)")
        self.strict = tuple(name for name, kind in self._kinds.items() if kind not in floating)
        self._found = self._outputs()

    def prepare(self, table: Any) -> Any:
        """The arrays by input."""
        columns = [_onnx_column(name, table.column(name), kind) for name, kind in self._kinds.items()]
        if self._joined:
            import numpy as np

            return {self._inputs[0].name: np.concatenate(columns, axis=1)}
        return {each.name: column for each, column in zip(self._inputs, columns, strict=True)}

    def predict(self, given: Any) -> dict[str, Any]:
        """Its label, probabilities or value."""
        import numpy as np

        count = len(next(iter(given.values())))
        columns = {}
        for name, values in zip(
            self._found, self._session.run(list(self._found.values()), given), strict=True
        ):
            if len(values) != count:
                raise WrongAnswerError("wrong_rows", f"{len(values)} answers for {count} requests")
            if name == "maps":
                self.classes = order = list(values[0])
                values = [[row[key] for key in order] for row in values]
            if name in ("maps", "probabilities"):
                columns["probabilities"] = _matrix(values, count, self.classes)
            else:
                columns |= columns_of(np.reshape(values, count), count, self._task)
        return columns

    def _outputs(self) -> dict[str, str]:
        """What is asked of the graph: `label`, `score`, and `probabilities`, or as `maps` (ZipMap)."""
        outputs = self._session.get_outputs()
        if self._task in ("ranking", "json"):
            raise TypeError(f"a graph has no {self._task}; wrap it into module:callable")
        numbers = [each for each in outputs if each.type in ("tensor(float)", "tensor(double)")]
        labels = [
            each for each in outputs if each.type in ("tensor(string)", "tensor(int64)", "tensor(int32)")
        ]
        maps = [each for each in outputs if each.type.startswith("seq(map(")]
        found = {}
        if self._task == "regression":
            found["score"] = _named(numbers, ("score", "variable"))
        else:
            found["label"] = _named(labels, ("label",))
        if self._task in CLASSIFYING:
            found["maps"] = _named(maps, ("prob",))
            found["probabilities"] = None if maps else _named(numbers, ("prob", "score"))
        asked = {name: each for name, each in found.items() if each is not None}
        if not asked:
            seen = ", ".join(f"{each.name} {each.type}" for each in outputs)
            raise TypeError(f"its outputs ({seen}) are none of a {self._task} model")
        return asked


_ONNX_TYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(bool)": "bool",
    "tensor(string)": "object",
}


def _onnx_column(name: str, column: Any, kind: str) -> Any:
    """One feature as an array of shape (rows, 1); a missing number of a float input is NaN."""
    dtype = _ONNX_TYPES[kind]
    text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    if text != (dtype == "object") and not pa.types.is_null(column.type):
        raise TypeError(f"the feature `{name}` is {column.type}, and the graph's input a {kind}")
    if not text:
        narrow = pa.float64() if dtype.startswith("float") else pa.type_for_alias(dtype)
        column = column.cast(narrow, safe=not dtype.startswith("float"))
    return column.to_numpy().astype(dtype).reshape(-1, 1)


def _named(outputs: list[Any], words: tuple[str, ...]) -> str | None:
    """The name of the output that has one of the words in it, else of the first."""
    fitting = [each.name for each in outputs if any(word in each.name.lower() for word in words)]
    return next(iter([*fitting, *(each.name for each in outputs)]), None)


def columns_of(answer: Any, count: int, task: str) -> dict[str, Any]:
    """What a model answered to `count` requests, as Arrow columns: `label`, `score`, `scores`, `output` (JSON
    text), `probabilities` (in the order of its classes) and `failed` (the text of a request's own error).

    Args:
        answer: a DataFrame or a list of dicts with such columns; or one value a request, which is what the
            task asks for first; or a matrix of probabilities.

    Raises:
        WrongAnswerError: it is none of these, or has another length.
    """
    if hasattr(answer, "columns"):
        known = {name: answer[name] for name in (*_COLUMNS, "error") if name in answer.columns}
        if not known and len(answer.columns) == 1:
            known = {_FIRST[task]: answer.iloc[:, 0]}
        values = None if known else answer
    elif isinstance(answer, list) and answer and all(isinstance(row, dict) for row in answer):
        given = {name for row in answer for name in row}
        known = {name: [row.get(name) for row in answer] for name in (*_COLUMNS, "error") if name in given}
        if not known:
            raise WrongAnswerError("wrong_type", f"an answer needs {', '.join(_COLUMNS)} or `error`")
        values = None
    elif isinstance(answer, (list, tuple)) or hasattr(answer, "__array__"):
        bare = getattr(answer, "ndim", 1) == 1 or task in ("ranking", "json")
        known, values = ({_FIRST[task]: answer}, None) if bare else ({}, answer)
    else:
        kind = type(answer).__name__
        raise WrongAnswerError("wrong_type", f"answered a {kind}, not a DataFrame or a list of dicts")
    if len(answer) != count:
        raise WrongAnswerError("wrong_rows", f"{len(answer)} answers for {count} requests")
    if values is not None:
        if task not in CLASSIFYING:
            raise WrongAnswerError("wrong_type", f"an answer needs `{_FIRST[task]}`")
        return {"probabilities": _matrix(values, count, None)}
    name = ""
    try:
        columns = {}
        for name, column in known.items():
            columns["failed" if name == "error" else name] = _COLUMN[name](column)
        return columns
    except (pa.ArrowException, TypeError, ValueError, OverflowError, RecursionError) as exc:
        raise WrongAnswerError("wrong_type", f"a {name} of another type: {exc}") from exc


def _missing(value: Any) -> bool:
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def _rows_of_scores(column: Any) -> Any:
    rows = [None if not hasattr(row, "__len__") else [float(each) for each in row] for row in column]
    return pa.array(rows, pa.list_(pa.float64()))


def _json_text(value: Any) -> str | None:
    if _missing(value):
        return None
    return json.dumps(value, ensure_ascii=False, default=_plain)


_COLUMNS = ("label", "score", "scores", "output")
_COLUMN: dict[str, Any] = {
    "label": lambda column: pa.array([_label(value) for value in column], pa.string()),
    "score": lambda column: pa.array(list(column), pa.float64(), from_pandas=True),
    "scores": _rows_of_scores,
    "output": lambda column: pa.array([_json_text(value) for value in column], pa.string()),
    "error": lambda column: pa.array(
        [None if _missing(value) or value != value else str(value) for value in column], pa.string()
    ),
}
CLASSIFYING = ("binary", "multiclass")
_FIRST = {
    "binary": "label",
    "multiclass": "label",
    "text": "label",
    "regression": "score",
    "ranking": "output",
    "json": "output",
}
PAYLOAD = "\0payload"
"""The column of requests without features. No feature has a name that begins so; neither have the columns
`\0request_id`, `\0ts`, `\0key` and `\0attributes`, which are there for a hook."""


def _matrix(values: Any, count: int, classes: list[Any] | None) -> Any:
    """Probabilities as a column of lists, all of one length."""
    import numpy as np

    try:
        matrix = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as exc:
        raise WrongAnswerError("wrong_type", f"probabilities that are no numbers: {exc}") from exc
    if matrix.ndim == 1 and classes is None:
        matrix = matrix.reshape(-1, 1)
    if matrix.ndim != 2 or len(matrix) != count or (classes is not None and matrix.shape[1] != len(classes)):
        raise WrongAnswerError("wrong_rows", f"probabilities of shape {matrix.shape} for {count} requests")
    return pa.FixedSizeListArray.from_arrays(pa.array(matrix.ravel()), matrix.shape[1])


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
    if _missing(value):
        return None
    raise TypeError(f"a label is text, a number or a boolean, not a {type(value).__name__}")


def _plain(value: Any) -> Any:
    """A NumPy scalar or array as Python's; a float32 keeps its own shortest form."""
    if type(value).__name__ in ("float16", "float32"):
        return float(str(value))
    for name in ("item", "tolist"):
        if hasattr(value, name) and (name == "tolist" or getattr(value, "ndim", 0) == 0):
            return getattr(value, name)()
    return value


class Hook:
    """`fetch_features`: brings features that nobody recorded."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._function = _callable(target)
        self._names: dict[str, None] = {}  # that it has brought so far

    def add(self, table: Any) -> tuple[Any, Any]:
        """The table with what the hook fetched, and for each request the names of what it could not."""
        recorded = [name for name in table.column_names if not name.startswith("\0")]
        features = table.select(recorded).to_pylist() if recorded else [{}] * len(table)
        rows = [
            {
                "request_id": each["\0request_id"],
                "ts": each["\0ts"],
                "key": each["\0key"],
                "attributes": {k: v for k, v in (each.get("\0attributes") or {}).items() if v is not None},
                "features": values,
            }
            for each, values in zip(table.select(_context(table)).to_pylist(), features, strict=True)
        ]
        got = self._function(rows)
        if hasattr(got, "to_dict"):
            got = got.to_dict("records")
        if not isinstance(got, list) or len(got) != len(rows):
            said = f"{len(got)} rows" if isinstance(got, list) else f"a {type(got).__name__}"
            raise WrongAnswerError("wrong_rows", f"{self._target} answered {said} for {len(rows)} requests")
        self._names.update(dict.fromkeys(name for row in got for name in row or ()))
        names = list(self._names)
        clash = [name for name in names if name in recorded]
        if clash:
            raise ValueError(f"{self._target} brings `{clash[0]}`, which the request has recorded")
        without = []
        for row in got:
            lacking = [name for name in names if _lacks((row or {}).get(name))]
            without.append(", ".join(lacking) if row and lacking else None if row else "all")
        for name in names:
            column = pa.array([_plain((row or {}).get(name)) for row in got], from_pandas=True)
            table = table.append_column(
                name, column.cast(pa.float64()) if column.type == pa.null() else column
            )
        return table, pa.array(without, pa.string())


def _lacks(value: Any) -> bool:
    return _missing(value) or value != value


def _context(table: Any) -> list[str]:
    return [name for name in table.column_names if name.startswith("\0")]


def _callable(target: str) -> Any:
    module, _, name = target.partition(":")
    function: Any = importlib.import_module(module)
    for part in name.split("."):
        function = getattr(function, part)
    if not callable(function):
        raise TypeError(f"{target} is a {type(function).__name__}, which cannot be called")
    return function


def digest_of(path: str) -> str:
    """sha256 of a file, or of a folder: of its files' names and digests, in the order of their names."""
    if not os.path.isdir(path):
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    found = hashlib.sha256()
    for name in sorted(
        os.path.relpath(os.path.join(folder, file), path)
        for folder, _, files in os.walk(path)
        for file in files
    ):
        found.update(f"{name}\0{digest_of(os.path.join(path, name))}\n".encode())
    return found.hexdigest()


def source_of(folder: str, target: str) -> bytes:
    """The bytes of the file of a `module:callable`, or of all files of a package, in this folder; nothing where
    it is installed elsewhere, of which the version speaks."""
    path = os.path.join(folder, *target.partition(":")[0].split("."))
    files = [path + ".py"]
    if not os.path.isfile(files[0]):
        walked = os.walk(path)
        files = sorted(
            os.path.join(at, name) for at, _, names in walked for name in names if name.endswith(".py")
        )
    data = b""
    for name in files:
        with open(name, "rb") as file:
            data += file.read()
    return data


def load(request: dict[str, Any]) -> Any:
    """The model that the other side asks for."""
    kind, path = request["kind"], request["path"]
    sys.path[0] = request["folder"]  # in place of this file's own folder
    with contextlib.suppress(ImportError):  # now, and not within the first batch's time limit
        importlib.import_module("pandas")
    changed = ValueError("it has changed since the run began; start anew to run another model")
    if kind == "callable":
        if hashlib.sha256(source_of(request["folder"], request["target"])).hexdigest() != request["sha256"]:
            raise changed
        return Function(_callable(request["target"]), request)
    if kind == "mlflow":
        if digest_of(path) != request["sha256"]:
            raise changed
        with _needing("mlflow", "mlflow-skinny"):
            return MLflow(path, request)
    with open(path, "rb") as file:
        data = file.read()
    if hashlib.sha256(data).hexdigest() != request["sha256"]:
        raise changed
    if kind == "onnx":
        with _needing("onnxruntime", "onnxruntime"):
            return Onnx(data, request)
    if kind == "skops":
        import skops.io

        known = ("sklearn.", "numpy.", "scipy.")
        types = skops.io.get_untrusted_types(data=data)
        foreign = [name for name in types if not name.startswith(known) and name not in request["trusted"]]
        if foreign:
            raise TypeError(
                f"holds types that are not trusted: {', '.join(foreign)}; name them in trusted_types if you do"
            )
        return Estimator(skops.io.loads(data, trusted=types), request)
    import joblib

    return Estimator(joblib.load(io.BytesIO(data)), request)


@contextlib.contextmanager
def _needing(module: str, package: str) -> Iterator[None]:
    """Says what to install where a kind's own library is missing."""
    try:
        yield
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] != module:
            raise
        raise ModuleNotFoundError(f"it needs {module} in its environment: pip install {package}") from exc


def frame_of(table: Any, names: list[str] | None, dtypes: dict[str, Any]) -> Any:
    """The requests as a DataFrame with the model's columns in its order, of the dtypes that it was given.

    Args:
        dtypes: pandas' names of dtypes by column, or a list: the levels of a category.
    """
    chosen = [name for name in table.column_names if not name.startswith("\0")] if names is None else names
    lacking = [name for name in chosen if name not in table.column_names]
    if lacking:
        raise ValueError(f"the feature `{lacking[0]}` is neither recorded nor fetched")
    frame = table.select(chosen).to_pandas(integer_object_nulls=True)  # as doubles they would lose digits
    for name, kind in dtypes.items():
        if isinstance(kind, list):
            import pandas as pd

            kind = pd.CategoricalDtype(kind)
        frame[name] = frame[name].astype(kind)
    return frame


def answer(model: Any, hook: Hook | None, table: Any) -> tuple[dict[str, Any], Any]:
    """One batch of predictions; the time is that of the model's call alone."""
    unfetched = None
    if PAYLOAD in table.column_names and not isinstance(model, Function):
        raise WrongAnswerError("wrong_type", "this model takes features; the request has a payload")
    if hook is not None and PAYLOAD not in table.column_names:
        table, unfetched = hook.add(table)
    kept, failed = _takeable(table, model.strict)
    columns, elapsed_ns, cpu_ns = {}, 0, 0
    if len(kept):
        given = model.prepare(kept)
        began, cpu_began = time.perf_counter_ns(), time.process_time_ns()
        columns = model.predict(given)
        elapsed_ns, cpu_ns = time.perf_counter_ns() - began, time.process_time_ns() - cpu_began
    if failed is not None:
        at = iter(range(len(kept)))
        rows = pa.array([None if text else next(at) for text in failed], pa.int64())
        columns = {name: column.take(rows) for name, column in columns.items()}
        columns["failed"] = pa.array(failed, pa.string())
    if unfetched is not None:
        columns["unfetched"] = unfetched
    return {"elapsed_ns": elapsed_ns, "cpu_ns": cpu_ns, "classes": model.classes}, pa.table(columns)


def _takeable(table: Any, strict: tuple[str, ...]) -> tuple[Any, list[str | None] | None]:
    """The requests that have a value in each of these columns, and why the others cannot be answered."""
    lacking = [name for name in strict if name in table.column_names and table.column(name).null_count]
    if not lacking:
        return table, None
    failed: list[str | None] = [None] * len(table)
    for name in lacking:
        for row, valid in enumerate(table.column(name).is_valid().to_pylist()):
            if not valid:
                failed[row] = f"the feature `{name}` is missing, and the model's input takes no missing value"
    return table.filter(pa.array([text is None for text in failed])), failed


def serve(channel: socket.socket) -> None:
    """Answers until the other side closes."""
    model: Any = None
    hook: Hook | None = None
    while True:
        try:
            request, table = receive(channel)
        except EOFError:
            return
        reply: tuple[dict[str, Any], Any]
        try:
            if request["op"] == "load":
                model = load(request)
                hook = Hook(request["fetch"]) if request["fetch"] else None
                reply = {"features": model.features, "classes": model.classes}, None
            else:
                reply = answer(model, hook, table)
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
