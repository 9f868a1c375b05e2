"""Candidates of each kind, run for real: graphs, MLflow folders in an environment of their own, hooks, pins."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tomllib
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pyarrow as pa
import pytest
import sklearn
from gnomon_capture.errors import SettingsError
from gnomon_capture.settings import from_mapping
from gnomon_replay import host
from gnomon_replay.asking import Panel
from gnomon_replay.errors import ModelError
from gnomon_replay.model import HostedModel
from gnomon_replay.modelfile import locate
from gnomon_replay.outputs import OutputReader
from gnomon_replay.settings import Experiment, Model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

Hosted = Callable[..., HostedModel]
Line = Callable[..., bytes]
Requests = Callable[..., pa.Table]

COUNT = 40
NUMBERS = pd.DataFrame({"x": np.linspace(0, 4, COUNT), "y": np.tile([0.0, 1.0], COUNT // 2)})
LATE = (NUMBERS["x"] + NUMBERS["y"] > 2.5).astype(int)
MIXED = NUMBERS.assign(carrier=np.tile(["UA", "ÅÄ", "DL", "B6"], COUNT // 4), hour=np.arange(COUNT) % 24)


def graph(model: Any, zipmap: bool) -> bytes:
    """A graph of one tensor."""
    array = NUMBERS.to_numpy(np.float32)
    made = to_onnx(model, array[:1], options={"zipmap": zipmap} if hasattr(model, "classes_") else None)
    return made.SerializeToString()  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def logistic() -> LogisticRegression:
    return LogisticRegression().fit(NUMBERS.to_numpy(np.float32), LATE)


# ---- ONNX ----


@pytest.mark.parametrize("zipmap", [True, False])
def test_a_graph_of_one_tensor_takes_its_features_in_the_configured_order(
    hosted: Hosted, folder: Path, logistic: LogisticRegression, zipmap: bool
) -> None:
    (folder / "m.onnx").write_bytes(graph(logistic, zipmap))
    with pytest.raises(
        ModelError, match=r"one tensor of shape \[None, 2\]; name its features .* by `inputs`"
    ):
        hosted("m.onnx")
    model = hosted("m.onnx", inputs=("x", "y"))
    table = pa.table({"unused": ["z"] * COUNT, "y": NUMBERS["y"], "x": NUMBERS["x"]})
    assert model.needs(table.column_names) == ["x", "y"]
    answers = model.answer(table)
    expected = logistic.predict_proba(NUMBERS.to_numpy())[:, 1]
    assert answers.field("score").to_pylist() == pytest.approx(expected.tolist(), abs=1e-5)
    assert answers.field("label").to_pylist() == [str(each) for each in logistic.predict(NUMBERS.to_numpy())]
    [lacking] = model.answer(pa.table({"x": [1.0], "y": pa.array([None], pa.float64())})).to_pylist()
    assert lacking["error"] == "nan_output"  # a logistic graph makes NaN of NaN


def test_a_graph_of_one_input_a_column_takes_text_and_integers_as_they_are(
    hosted: Hosted, folder: Path
) -> None:
    pipeline = make_pipeline(
        make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore"), ["carrier"]), remainder="passthrough"
        ),
        LogisticRegression(max_iter=1000),
    ).fit(MIXED[["carrier", "x", "hour"]], LATE)
    kinds = [("carrier", StringTensorType([None, 1])), ("x", FloatTensorType([None, 1])), ("hour", Int64TensorType([None, 1]))]  # fmt: skip
    made = to_onnx(pipeline, initial_types=kinds, options={"zipmap": False})
    (folder / "m.onnx").write_bytes(made.SerializeToString())
    model = hosted("m.onnx")
    assert model.features == ["carrier", "x", "hour"]
    # As learnt from JSON: every number a double.
    table = pa.table({"hour": MIXED["hour"].astype(float), "carrier": MIXED["carrier"], "x": MIXED["x"]})
    answers = model.answer(table)
    expected = pipeline.predict_proba(MIXED[["carrier", "x", "hour"]])[:, 1]
    assert answers.field("score").to_pylist() == pytest.approx(expected.tolist(), abs=1e-5)
    odd = pa.table({"hour": [1.0, None, 3.0, 1.5], "carrier": ["UA", "UA", None, "DL"], "x": [1.0] * 4})
    first, *bad = model.answer(odd).to_pylist()
    assert (first["error"], first["label"] in ("0", "1")) == (None, True)
    assert [each["error"] for each in bad] == ["exception"] * 3
    assert "`hour` is missing, and the model's input takes no missing value" in bad[0]["message"]
    assert "`carrier` is missing" in bad[1]["message"]
    assert "1.5" in bad[2]["message"]


def test_weights_outside_the_file_are_refused(hosted: Hosted, folder: Path) -> None:
    """They would lie outside the digest; and a host that stands in their folder would find them."""
    weights = numpy_helper.from_array(np.ones((2000, 1), np.float32), "W")
    made = helper.make_model(
        helper.make_graph(
            [helper.make_node("MatMul", ["X", "W"], ["Y"])],
            "g",
            [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, 2000])],
            [helper.make_tensor_value_info("Y", TensorProto.FLOAT, [None, 1])],
            [weights],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    onnx.save_model(made, folder / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    assert (folder / "w.bin").is_file()
    with pytest.raises(ModelError, match="keeps weights in another file, which its digest does not cover"):
        hosted("m.onnx", inputs=("x",))


def loaded(data: bytes, task: str, **given: Any) -> host.Onnx:
    return host.Onnx(data, {"task": task, "inputs": ["x", "y"], "dtypes": {}, **given})


def read(
    model: host.Onnx, task: Any, version: dict[str, Any] | None = None, **experiment: Any
) -> pa.StructArray:
    header, columns = host.answer(model, None, pa.Table.from_pandas(NUMBERS, preserve_index=False))
    reader = OutputReader(
        Model(version="1", model="m", **(version or {})), Experiment(name="e", task=task, **experiment)
    )
    return reader.read(columns, header["classes"])


def test_a_graph_without_names_of_classes_is_believed_only_as_far_as_its_labels_bear_it_out() -> None:
    labels = np.where(NUMBERS["x"] > 3, "late", np.where(NUMBERS["x"] > 1.5, "due", "early"))
    fitted = LogisticRegression(max_iter=1000).fit(NUMBERS.to_numpy(np.float32), labels)
    model = loaded(graph(fitted, zipmap=False), "multiclass")
    expected = fitted.predict_proba(NUMBERS.to_numpy())
    right = read(model, "multiclass", classes=("due", "early", "late"))
    assert np.allclose(right.field("scores").to_pylist(), expected, atol=1e-5)
    with pytest.raises(Exception, match="name its labels by `classes`, in the order of its probabilities"):
        read(model, "multiclass", classes=("late", "early", "due"))
    order = {"classes": ("due", "early", "late")}
    named = read(model, "multiclass", order, classes=("late", "early", "due"))
    assert np.allclose(named.field("scores").to_pylist(), expected[:, [2, 1, 0]], atol=1e-5)
    assert named.field("label").to_pylist() == list(fitted.predict(NUMBERS.to_numpy()))


def test_the_positive_class_may_stand_first_in_a_graph(logistic: LogisticRegression) -> None:
    model = loaded(graph(logistic, zipmap=False), "binary")
    with pytest.raises(Exception, match="name its labels by `classes`"):
        read(model, "binary", positive=0)
    found = read(model, "binary", {"classes": (0, 1)}, positive=0)
    expected = logistic.predict_proba(NUMBERS.to_numpy())[:, 0]
    assert found.field("score").to_pylist() == pytest.approx(expected.tolist(), abs=1e-5)
    mapped = read(
        loaded(graph(logistic, zipmap=True), "binary"), "binary", positive=0
    )  # it names its classes
    assert mapped.field("score").to_pylist() == pytest.approx(expected.tolist(), abs=1e-5)


def test_a_graph_of_a_regression_answers_its_value(logistic: LogisticRegression) -> None:
    fitted = LinearRegression().fit(NUMBERS.to_numpy(np.float32), NUMBERS["x"] * 3)
    found = read(loaded(graph(fitted, zipmap=False), "regression"), "regression")
    assert found.field("score").to_pylist() == pytest.approx((NUMBERS["x"] * 3).tolist(), abs=1e-4)
    with pytest.raises(TypeError, match="wrap it into module:callable"):
        loaded(graph(logistic, zipmap=False), "ranking")
    with pytest.raises(TypeError, match="takes 2 features; `inputs` names 3"):
        loaded(graph(logistic, zipmap=False), "binary", inputs=["x", "y", "z"])


# ---- MLflow, in an environment of its own ----

ENVIRONMENT = ("mlflow-skinny>=3", "scikit-learn==1.7.2", "pandas<3", "pyarrow>=20")
SAVE = '''
import sys, mlflow, numpy as np, pandas as pd, sklearn
from mlflow.models import infer_signature
from sklearn.linear_model import LogisticRegression

frame = pd.DataFrame({"x": np.linspace(0, 4, 40), "n": np.arange(40), "b": np.tile([True, False], 20)})
fitted = LogisticRegression(max_iter=1000).fit(frame, (frame["x"] > 2).astype(int))
signature = infer_signature(frame, fitted.predict(frame))
mlflow.sklearn.save_model(fitted, "m", signature=signature, serialization_format="cloudpickle", pip_requirements=[])

class Doubling(mlflow.pyfunc.PythonModel):
    """Answers no probabilities: what it was given, doubled, and the versions around it."""
    def predict(self, context, model_input, params=None):
        assert model_input["n"].dtype == np.int64, model_input.dtypes
        return model_input["n"] * 2.0

mlflow.pyfunc.save_model("doubling", python_model=Doubling(), signature=infer_signature(frame[["n"]], np.array([1.0])), pip_requirements=[])
pd.Series(fitted.predict_proba(frame)[:, 1]).to_json("expected.json", orient="values")
print(sklearn.__version__)
'''


@pytest.fixture(scope="session")
def environment(pytestconfig: pytest.Config) -> Path:
    """A virtual environment with another scikit-learn and without gnomon; kept between runs, where pytest has a
    cache."""
    name = "env-" + hashlib.sha256(repr((ENVIRONMENT, sys.version)).encode()).hexdigest()[:12]
    folder = pytestconfig.cache.mkdir("gnomon") / name  # type: ignore[union-attr]
    if not (folder / "ready").exists():
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        command = [folder / "bin" / "python", "-m", "pip", "install", "-q", *ENVIRONMENT]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            message = f"the environment for MLflow could not be made: {done.stderr[-300:]}"
            if os.environ.get("CI") == "true":
                pytest.fail(message, pytrace=False)
            pytest.skip(message)
        (folder / "ready").touch()
    return folder


@pytest.fixture(scope="session")
def mlflow_models(environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration's folder with `m` and `doubling`, and the environment at `envs/x`."""
    folder = tmp_path_factory.mktemp("mlflow")
    command = [environment / "bin" / "python", "-W", "ignore", "-c", SAVE]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "1.7.2" != sklearn.__version__
    (folder / "envs").mkdir()
    (folder / "envs" / "x").symlink_to(environment)
    return folder


@pytest.mark.timeout(600)
def test_an_mlflow_folder_runs_in_its_own_environment(mlflow_models: Path) -> None:
    """Another scikit-learn and another pandas, and no gnomon: `host.py` and pyarrow are all that it takes."""
    folder = mlflow_models
    gnomon = "import importlib.util as u; print(u.find_spec('gnomon_replay'))"
    python = folder / "envs" / "x" / "bin" / "python"
    found = subprocess.run([python, "-c", gnomon], capture_output=True, text=True, check=True, cwd=folder)
    assert found.stdout.strip() == "None"
    settings = Model(version="3", model="m", python="envs/x/bin/python", allow_pickle=True)
    model = HostedModel(settings, Experiment(name="e", task="binary", positive=1), folder, 1)
    try:
        assert model.features == ["x", "n", "b"]
        table = pa.table(
            {"b": [True, False] * 20, "n": pa.array(range(40), pa.float64()), "x": np.linspace(0, 4, 40)}
        )
        answers = model.answer(table)
        expected = json.loads((folder / "expected.json").read_text())
        assert answers.field("score").to_pylist() == pytest.approx(expected, abs=1e-9)
        assert set(answers.field("label").to_pylist()) == {"0", "1"}
        odd = pa.table({"x": [1.0, 1.0], "n": [1.0, None], "b": [True, True]})
        assert model.answer(odd).field("error").to_pylist() == [None, "exception"]
        assert model.digest == f"sha256:{host.digest_of(str(folder / 'm'))}"  # nothing was written into it
    finally:
        model.close()


@pytest.mark.timeout(600)
def test_an_mlflow_folder_may_hold_any_python_model(mlflow_models: Path) -> None:
    settings = Model(version="3", model="doubling", python="envs/x/bin/python", allow_pickle=True)
    model = HostedModel(settings, Experiment(name="e", task="regression"), mlflow_models, 1)
    try:
        answers = model.answer(pa.table({"n": [0.0, 21.0, 1e9]}))
        assert answers.field("score").to_pylist() == [0.0, 42.0, 2e9]
    finally:
        model.close()


def test_a_library_that_the_environment_lacks_is_named(hosted: Hosted, folder: Path) -> None:
    (folder / "m").mkdir()
    (folder / "m" / "MLmodel").write_text("flavors: {}")
    with pytest.raises(ModelError, match="it needs mlflow in its environment: pip install mlflow-skinny"):
        hosted("m", allow_pickle=True)


# ---- what the documentation shows ----


def blocks(language: str) -> list[str]:
    text = (Path(__file__).resolve().parents[2] / "docs" / "candidates.md").read_text()
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_functions_of_the_documentation_run(tmp_path: Path) -> None:
    function, hook = blocks("python")
    names: dict[str, Any] = {}
    exec(function, names)
    frame = pd.DataFrame({"dep_delay": [5.0, 45.0]})
    assert [each["label"] for each in names["predict"](frame)] == ["on_time", "late"]
    exec(hook, names)
    assert names["lookup"]([{"key": "N14228"}, {"key": None}]) == [{"balance": 120.0}, {"balance": None}]


def test_the_tables_of_the_documentation_are_settings() -> None:
    seen = set()
    for block in blocks("toml"):
        table = tomllib.loads(block)
        [rows] = table.values() if "candidate" in table else [[table]]
        for row in rows:
            from_mapping(Model, {"version": "1"} | row, "candidate")
            seen |= row.keys()
    assert {"inputs", "dtypes", "classes", "fetch_features", "batch_rows", "allow_pickle", "python"} <= seen


# ---- what is pinned ----


def test_an_mlflow_folder_is_loaded_only_if_that_is_allowed_or_it_is_pinned(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "MLmodel").write_text("flavors: {}")
    (tmp_path / "m" / "model.pkl").write_bytes(b"any")
    with pytest.raises(
        ModelError, match="m runs code as it loads; set allow_pickle = true, or pin it by sha256"
    ):
        locate(Model(version="1", model="m"), tmp_path)
    pinned = host.digest_of(str(tmp_path / "m"))
    assert locate(Model(version="1", model="m", sha256=pinned), tmp_path).kind == "mlflow"
    (tmp_path / "m" / "model.pkl").write_bytes(b"other")
    with pytest.raises(ModelError, match="not the pinned"):
        locate(Model(version="1", model="m", sha256=pinned), tmp_path)
    (tmp_path / "m" / "model.pkl").rename(tmp_path / "m" / "moved.pkl")
    assert host.digest_of(str(tmp_path / "m")) != pinned


def test_a_callable_is_pinned_by_its_source(hosted: Hosted, folder: Path) -> None:
    module = folder / "mine.py"
    module.write_text("def f(frame): return [1] * len(frame)\n")
    pinned = hashlib.sha256(module.read_bytes()).hexdigest()
    model = hosted("mine:f", sha256=pinned)
    asked = pa.table({"x": [1.0]})
    assert model.answer(asked).field("label").to_pylist() == ["1"]
    module.write_text("def f(frame): return [0] * len(frame)\n")
    with pytest.raises(ModelError, match="not the pinned"):
        locate(Model(version="1", model="mine:f", sha256=pinned), folder)
    model._hosts.discard()
    with pytest.raises(ModelError, match="has changed since the run began"):
        model.answer(asked)
    with pytest.raises(ModelError, match="cannot pin it"):
        locate(Model(version="1", model="json:loads", sha256=pinned), folder)


def test_what_shapes_a_models_input_is_part_of_its_digest(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"any")
    (tmp_path / "store.py").write_text("def f(rows): ...")
    tables: list[dict[str, Any]] = [
        {}, {"inputs": ("x", "y")}, {"inputs": ("y", "x")}, {"dtypes": {"x": "category"}}, {"classes": (0, 1)},
        {"fetch_features": "store:f"},
    ]  # fmt: skip
    digests = [locate(Model(version="1", model="m.onnx", **table), tmp_path).digest for table in tables]
    (tmp_path / "store.py").write_text("def f(rows): return rows")
    digests.append(locate(Model(version="1", model="m.onnx", **tables[-1]), tmp_path).digest)
    assert len(set(digests)) == len(digests)
    assert digests[0] == f"sha256:{hashlib.sha256(b'any').hexdigest()}"


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"model": "http://h/", "python": "p"}, "candidate.python.*an endpoint has none"),
        ({"model": "https://h/", "sha256": "0" * 64}, "candidate.sha256.*let `version` say"),
        ({"model": "http://h/", "fetch_features": "a:b"}, "candidate.fetch_features.*an endpoint has none"),
        ({"model": "http://"}, "candidate.model.*names no host"),
        ({"model": "http://h:port/"}, "candidate.model.*names no host"),
        ({"model": "m.onnx", "inputs": ["x", "x"]}, "candidate.inputs.*twice"),
        ({"model": "m.onnx", "fetch_features": "a"}, "write it as module:callable"),
    ],
)
def test_keys_that_do_not_fit_a_kind_are_refused(table: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        from_mapping(Model, {"version": "1", **table}, "candidate")


# ---- values, and features that nobody recorded ----

OWN = '''
import json, math
import pandas as pd

def seen(frame):
    """As labels, the row of each request as JSON; what is missing is null."""
    return [
        {"label": "row " + json.dumps({k: None if pd.isna(v) else v for k, v in row.items()}, default=lambda v: v.item())}
        for row in frame.to_dict("records")
    ]

def kinds(frame):
    return [{"label": ", ".join(str(kind) for kind in frame.dtypes)}] * len(frame)

def fetch(rows):
    """The balance of each key at the request's time; none of `nobody`, and half of `half`."""
    for row in rows:
        assert row["ts"].isoformat() == "2026-11-24T08:00:00+00:00", row
        assert row["attributes"] == {"region": "us"} and row["request_id"].startswith("r"), row
    return [None if row["key"] == "nobody" else
            {"balance": row["features"]["x"] * 100, "limit": None if row["key"] == "half" else 7} for row in rows]

def rich(frame):
    return [{"label": "rich" if b > 150 else "poor" if b == b else "unknown"} for b in frame["balance"]]
'''

ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "int": st.none() | st.integers(-(2**63), 2**63 - 1),
            "text": st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
            "flag": st.none() | st.booleans(),
            "real": st.none() | st.floats(allow_nan=False),
        },
        optional={"näme 😀": st.text(st.characters(exclude_categories=["Cs"]), max_size=3)},
    ),
    min_size=1,
    max_size=6,
)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    (folder / "own.py").write_text(OWN)
    return folder


def start(folder: Path, target: str, task: Any = "text", **settings: Any) -> HostedModel:
    named = Model(version="1", model=target, **settings)
    return HostedModel(named, Experiment(name="e", task=task), folder, 1)


def test_values_of_every_kind_survive_the_trip(own: Path, line: Line, requests_of: Requests) -> None:
    model = start(own, "own:seen")
    types = {"int": "int64", "text": "string", "flag": "bool", "real": "double"}

    @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
    @given(ROWS)
    def survive(rows: list[dict[str, Any]]) -> None:
        requests = requests_of([line(x, with_={"features": row}) for x, row in enumerate(rows)], **types)
        answers = model.answer(pa.table({name: requests["features"].combine_chunks().field(name)
                                         for name in requests["features"].type.names}))  # fmt: skip
        names = {name: None for row in rows for name in row}
        for row, label in zip(rows, answers.field("label").to_pylist(), strict=True):
            found = json.loads(label.removeprefix("row "))
            assert found == names | row
            assert [type(found[name]) for name in row] == [type(row[name]) for name in row]

    try:
        survive()
    finally:
        model.close()


def test_columns_have_the_dtypes_that_the_model_is_said_to_take(own: Path) -> None:
    model = start(own, "own:kinds", dtypes={"c": ("UA", "DL"), "n": "int32", "t": "category"}, inputs=("n", "c", "t", "i", "b"))  # fmt: skip
    try:
        table = pa.table(
            {"n": [1.0, 2.0], "c": ["DL", None], "t": ["u", "v"], "i": [1, 2], "b": [True, False]}
        )
        [label, _] = model.answer(table).field("label").to_pylist()
        assert label == "int32, category, category, int64, bool"
    finally:
        model.close()


def test_a_hook_brings_what_nobody_recorded_and_its_gaps_are_counted(
    own: Path, line: Line, requests_of: Requests
) -> None:
    keys = ["a", "nobody", "b", "half", "c"]
    records = [line(x, x=x, with_={"key": key, "attributes": {"region": "us"}}) for x, key in enumerate(keys)]
    model = start(own, "own:rich", fetch_features="own:fetch")
    try:
        panel = Panel([model], None, 0, random.Random(1))
        answers = next(iter(panel.ask(requests_of(records), 1).values()))["candidate"].to_pylist()
    finally:
        model.close()
    assert [each["label"] for each in answers] == ["poor", "unknown", "rich", "rich", "rich"]
    assert [each["error"] for each in answers] == [None] * 5
    assert [each["message"] for each in answers] == [None, "unfetched: all", None, "unfetched: limit", None]
    [note] = panel.unfetched()
    assert "went without features that its fetch_features could not fetch" in note
    assert model.unfetched / model.asked >= 0.2


def hook(answer: Any) -> host.Hook:
    made = host.Hook("json:loads")
    made._function = lambda rows: answer
    return made


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ([{"x": 1}], "brings `x`, which the request has recorded"),
        ([], "answered 0 rows for 1 requests"),
        (None, "answered a NoneType for 1 requests"),
    ],
)
def test_a_hook_that_answers_something_else_is_an_error(answer: Any, said: str) -> None:
    table = pa.table({"x": [1.0], "\0request_id": ["r"], "\0ts": [None], "\0key": ["k"]})
    with pytest.raises((ValueError, host.WrongAnswerError), match=said):
        hook(answer).add(table)


def test_a_hook_may_answer_a_frame() -> None:
    table = pa.table({"x": [1.0, 2.0], "\0request_id": ["r", "s"], "\0ts": [None, None], "\0key": ["k", "l"]})
    found, without = hook(pd.DataFrame({"balance": [5.0, float("nan")]})).add(table)
    assert found.column("balance").to_pylist() == [5.0, None]
    assert without.to_pylist() == [None, "balance"]
