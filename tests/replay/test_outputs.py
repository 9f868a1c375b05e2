"""What an answer means: one canonical form, whichever kind of model gave it and whatever the task is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from gnomon_capture.errors import SettingsError
from gnomon_capture.settings import from_mapping
from gnomon_replay import host
from gnomon_replay.decode import Decoder
from gnomon_replay.endpoint import Endpoint
from gnomon_replay.errors import ModelError
from gnomon_replay.hostprocess import HostError
from gnomon_replay.outputs import OutputReader
from gnomon_replay.pairs import OUTPUT
from gnomon_replay.settings import Experiment, Model
from gnomon_replay.shape import Shape
from gnomon_replay.traffic import Frame, Stream
from skl2onnx import to_onnx
from sklearn.linear_model import LinearRegression, LogisticRegression

TASKS: dict[str, dict[str, Any]] = {
    "binary": {"positive": 1},
    "multiclass": {"classes": ["cat", 1.0, "dog"]},
    "regression": {},
    "ranking": {},
    "text": {},
    "json": {},
}
X = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 1.0], [3.0, 0.5], [9.0, 0.0], [8.0, 1.0]], np.float32)
FRAME = pd.DataFrame(X, columns=["x", "y"])
TABLE = pa.table({"x": X[:, 0].astype(float), "y": X[:, 1].astype(float)})


def experiment(task: str) -> Experiment:
    return from_mapping(Experiment, {"name": "e", "task": task, **TASKS[task]}, "experiment")


def request(task: str, **given: Any) -> dict[str, Any]:
    return {"task": task, "inputs": None, "dtypes": {}, **given}


def answered(model: Any, task: str, table: pa.Table = TABLE, **settings: Any) -> list[dict[str, Any]]:
    """What the log would hold of a model's answers to a table, without the process between."""
    header, columns = host.answer(model, None, table)
    reader = OutputReader(Model(version="7", model="m", **settings), experiment(task))
    answers = reader.read(columns, header["classes"])
    assert answers.type == OUTPUT
    return answers.to_pylist()


def told(task: str, answer: Any, rows: int = 1) -> list[dict[str, Any]]:
    """The same of a callable that gives this answer."""
    return answered(host.Function(lambda frame: answer, request(task)), task, TABLE.slice(0, rows))


def only(answer: dict[str, Any]) -> dict[str, Any]:
    """Its fields that say something, without the version."""
    return {name: value for name, value in answer.items() if value is not None and name != "version"}


FORMS = [1, 1.0, "1", "1.0", True, np.int64(1), np.float32(1), np.bool_(True)]


def by_callable(form: Any) -> Any:
    return told("binary", [{"label": form}])[0]["label"]


def by_frame(form: Any) -> Any:
    return told("binary", pd.DataFrame({"label": [form]}))[0]["label"]


def by_bare_value(form: Any) -> Any:
    return told("binary", [form])[0]["label"]


def by_estimator(form: Any) -> Any:
    class Fake:
        classes_ = np.array(["no", form], object)

        def predict_proba(self, frame: Any) -> Any:
            return [[0.25, 0.75]] * len(frame)

    return answered(host.Estimator(Fake(), request("binary")), "binary")[0]["label"]


def by_graph(form: Any) -> Any:
    """Labels of a graph are text or whole numbers."""
    text = isinstance(form, str)
    labels = np.array(["0", form] * 3 if text else [0, int(form)] * 3)
    graph = to_onnx(LogisticRegression().fit(X, labels), X[:1], options={"zipmap": False})
    model = host.Onnx(graph.SerializeToString(), request("binary", inputs=["x", "y"]))
    found = {each["label"] for each in answered(model, "binary")} - {"0"}
    return found.pop() if found else "1"


def by_endpoint(form: Any) -> Any:
    plain = form.item() if hasattr(form, "item") else form
    columns = Endpoint(Model(version="7", model="http://127.0.0.1:1"), "binary")._columns(
        json.dumps({"answers": [{"label": plain}]}).encode(), 1
    )
    reader = OutputReader(Model(version="7", model="m"), experiment("binary"))
    return reader.read(pa.table(columns), None).field("label")[0].as_py()


def by_served(form: Any) -> Any:
    plain = form.item() if hasattr(form, "item") else form
    return decoded("binary", {"label": plain})["label"]


def by_positive(form: Any) -> Any:
    plain = form.item() if hasattr(form, "item") else form
    return Experiment(name="e", task="binary", positive=plain).positive_label


def by_classes(form: Any) -> Any:
    plain = form.item() if hasattr(form, "item") else form
    return Experiment(name="e", task="multiclass", classes=("no", plain)).class_labels[1]


def decoded(task: Any, served: dict[str, Any]) -> dict[str, Any]:
    """The `served` column of a record."""
    record = {"request_id": "r", "ts": "2026-11-24T08:00:00Z", "features": {"x": 1}, "served": served}
    frame = Frame(Stream("spool:e", None), "p", 0, 1, json.dumps(record).encode() + b"\n", by_line=True)
    decoder = Decoder(Shape.declared({}), max_record_bytes=1 << 20, task=task)
    [row] = decoder.decode([frame]).requests.to_pylist()
    return row["served"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: f"{type(form).__name__} {form}")
@pytest.mark.parametrize(
    "by",
    [
        by_callable, by_frame, by_bare_value, by_estimator, by_graph, by_endpoint, by_served, by_positive, by_classes,
    ],
)  # fmt: skip
def test_a_label_has_one_form_on_every_side(by: Callable[[Any], Any], form: Any) -> None:
    """(An MLflow model's is in `test_candidates`: it needs an environment of its own.)"""
    assert by(form) == "1"


def test_scores_stand_in_the_order_of_the_experiments_classes() -> None:
    labels = ["dog", "cat", "dog", "cat", "1", "1"]
    fitted = LogisticRegression().fit(FRAME, labels)
    assert list(fitted.classes_) == ["1", "cat", "dog"]
    answers = answered(host.Estimator(fitted, request("multiclass")), "multiclass")
    frame = TABLE.to_pandas()
    expected = fitted.predict_proba(frame)[:, [1, 0, 2]]  # cat, 1, dog
    assert [each["scores"] for each in answers] == [pytest.approx(row) for row in expected.tolist()]
    assert [each["label"] for each in answers] == list(fitted.predict(frame))
    assert {each["score"] for each in answers} == {None}


def test_a_class_that_a_model_never_saw_has_probability_0() -> None:
    fitted = LogisticRegression().fit(FRAME, ["dog", "cat"] * 3)
    [first, *_] = answered(host.Estimator(fitted, request("multiclass")), "multiclass")
    assert first["scores"][1] == 0
    assert sum(first["scores"]) == pytest.approx(1)


def test_a_class_that_the_experiment_does_not_name_is_refused() -> None:
    reader = OutputReader(Model(version="7", model="m"), experiment("multiclass"))
    reader.refuse(["cat", True])
    with pytest.raises(
        ModelError, match=r"'bird' is none of \['cat', '1', 'dog'\]; add it to \[experiment\]"
    ):
        reader.refuse(["cat", "bird"])


@pytest.mark.parametrize(
    ("task", "answer", "meant"),
    [
        ("multiclass", {"scores": [0.2, 0.5, 0.3]}, {"label": "1", "scores": [0.2, 0.5, 0.3]}),
        ("multiclass", {"label": "dog", "scores": [0.2, 0.5, 0.3]}, {"label": "dog", "scores": [0.2, 0.5, 0.3]}),
        ("multiclass", {"label": "unheard of"}, {"label": "unheard of"}),
        ("regression", {"score": 12}, {"score": 12.0}),
        ("ranking", {"output": ["b", 7, 7.0, "7.0"]}, {"output": '["b","7","7","7"]'}),
        ("ranking", {"output": []}, {"output": "[]"}),
        ("text", {"label": "gnōmōn 😀"}, {"label": "gnōmōn 😀"}),
        ("json", {"output": {"b": 1.0, "a": [True, None, 2**60]}}, {"output": '{"a":[true,null,1152921504606846976],"b":1}'}),
        ("json", {"output": np.array([1, 2])}, {"output": "[1,2]"}),
        ("json", {"error": "no such user"}, {"error": "exception", "message": "no such user"}),
    ],
)  # fmt: skip
def test_each_task_has_its_fields(task: str, answer: dict[str, Any], meant: dict[str, Any]) -> None:
    assert only(told(task, [answer])[0]) == meant


@pytest.mark.parametrize(
    ("task", "answer"),
    [
        ("multiclass", {"scores": [0.2, float("nan"), 0.3]}),
        ("multiclass", {"scores": None}),
        ("multiclass", {"label": None}),
        ("regression", {"score": None}),
        ("regression", {"score": float("-inf")}),
        ("ranking", {"output": None}),
        ("json", {"output": {"deep": [float("nan")]}}),
        ("text", {"label": None}),
    ],
)
def test_what_is_missing_or_not_finite_is_that_requests_error(task: str, answer: dict[str, Any]) -> None:
    [found] = told(task, [answer])
    assert only(found).keys() == {"error", "message"}
    assert found["error"] == "nan_output"


@pytest.mark.parametrize(
    ("task", "answer", "said"),
    [
        ("binary", [{"score": 0.5}], "needs a `label`"),
        ("multiclass", [{"scores": [0.5, 0.5]}], "needs 3 numbers"),
        ("regression", [{"label": "x"}], "needs a `score`"),
        ("regression", np.ones((1, 2)), "needs `score`"),
        ("regression", ["dear"], "another type"),
        ("ranking", [{"output": {"a": 1}}], "a ranking is a list of ids"),
        ("ranking", [{"output": [None]}], "a ranking is a list of ids"),
        ("json", [{"label": "x"}], "needs a `output`"),
        ("json", [{"output": {1, 2}}], "another type"),
        ("json", [{"output": json.loads("[" * 700 + "]" * 700)}], "recursion"),
        ("regression", [{"score": 10**400}], "another type"),
        ("multiclass", [{"scores": [10**400, 0, 0]}], "another type"),
        ("text", [{"label": "\ud800"}], "another type"),
        ("binary", np.array([[0.2, 0.3, 0.5]]), "gives 3 probabilities"),
        ("binary", np.array([[0.2, 0.8]]), "names no labels"),
    ],
)
def test_an_answer_of_another_task_is_of_the_wrong_type(task: str, answer: Any, said: str) -> None:
    with pytest.raises((HostError, host.WrongAnswerError), match=said) as caught:
        told(task, answer)
    assert caught.value.kind == "wrong_type"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("task", "answer", "field"),
    [("regression", np.array([2.5]), {"score": 2.5}), ("text", pd.Series(["a"]), {"label": "a"}),
     ("json", [[1]], {"output": "[1]"}), ("ranking", [["b", "a"]], {"output": '["b","a"]'})],
)  # fmt: skip
def test_one_bare_value_a_request_is_what_the_task_asks_for_first(
    task: str, answer: Any, field: dict[str, Any]
) -> None:
    assert only(told(task, answer)[0]) == field


def test_a_matrix_of_probabilities_is_read_by_the_configured_classes() -> None:
    function = host.Function(lambda frame: np.array([[0.9, 0.1], [0.2, 0.8]]), request("binary"))
    answers = answered(function, "binary", TABLE.slice(0, 2), classes=(1, 0))
    assert [only(each) for each in answers] == [{"label": "1", "score": 0.9}, {"label": "0", "score": 0.2}]


def test_a_regressor_answers_values_and_a_classifier_none() -> None:
    fitted = LinearRegression().fit(FRAME, X[:, 0] * 2)
    answers = answered(host.Estimator(fitted, request("regression")), "regression")
    assert [each["score"] for each in answers] == pytest.approx((X[:, 0] * 2).tolist(), abs=1e-5)
    with pytest.raises(TypeError, match="the task is regression"):
        host.Estimator(LogisticRegression().fit(X, [0, 1] * 3), request("regression"))


@pytest.mark.parametrize(
    ("task", "served", "logged"),
    [
        ("ranking", ["b", 7.0, True], '["b","7","1"]'),
        ("ranking", {"not": "a list"}, '{"not":"a list"}'),
        ("json", {"b": 2.0, "a": float("nan")}, '{"a":NaN,"b":2}'),
    ],
)
def test_what_was_served_has_the_same_form(task: str, served: Any, logged: str) -> None:
    assert decoded(task, {"output": served})["output"] == logged


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"task": "binary"}, "experiment.positive"),
        ({"task": "binary", "positive": 1, "classes": [0, 1]}, "a binary task has no list of classes"),
        ({"task": "multiclass"}, "name all labels"),
        ({"task": "multiclass", "classes": [1, "1.0"]}, "stands twice"),
        ({"task": "multiclass", "classes": ["a", "b"], "positive": "a"}, "has no positive label"),
        ({"task": "regression", "positive": 1}, "has no positive label"),
        ({"task": "rank"}, "experiment.task"),
    ],
)
def test_what_does_not_fit_the_task_is_refused(table: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        from_mapping(Experiment, {"name": "e", **table}, "experiment")


def test_a_feature_may_be_called_payload(tmp_path: Path) -> None:
    """Requests without features come in a column that no feature can be named like."""
    function = host.Function(lambda frame: [{"label": text} for text in frame["payload"]], request("text"))
    assert answered(function, "text", pa.table({"payload": ["{"]}))[0]["label"] == "{"
