"""A model in a process of its own: whatever it does, every request has an answer or its own error."""

from __future__ import annotations

import hashlib
import importlib
import os
import pickle
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import pyarrow as pa
import pytest
import skops.io
from gnomon_capture.record import canonical_label
from gnomon_replay.errors import ModelError
from gnomon_replay.model import HostedModel
from gnomon_replay.modelfile import locate
from gnomon_replay.pairs import CRITICAL_KINDS, OUTPUT, UNREPRODUCED
from gnomon_replay.settings import Model
from sklearn.linear_model import LogisticRegression

Hosted = Callable[..., HostedModel]
COUNT = 300


def frame(do: dict[int, str], count: int = COUNT) -> pa.Table:
    """Requests 0 to `count` with their number as `x`; some are to go wrong."""
    return pa.table({"x": pa.array(range(count), pa.float64()), "do": [do.get(x) for x in range(count)]})


def parity(x: int) -> dict[str, Any]:
    odd = x % 2 == 1
    return {
        "label": str(int(odd)),
        "score": pytest.approx(0.9 if odd else 0.1),
        "error": None,
        "version": "1",
    }


def fields(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: answer[name] for name in ("label", "score", "error", "version")}


def test_a_batch_is_answered_in_order(shared: Hosted) -> None:
    answers = shared("models:parity").answer(frame({}))
    assert answers.type == OUTPUT
    assert [fields(each) for each in answers.to_pylist()] == [parity(x) for x in range(COUNT)]
    assert answers.field("latency_us").null_count == COUNT


@pytest.mark.parametrize(
    ("do", "count", "kind", "said"),
    [
        ("raise", COUNT, "exception", "ValueError: no such carrier: ?"),
        ("segv", COUNT, "crash", "was killed by SIGSEGV"),
        ("exit", 8, "crash", "ended with status 3"),
        ("_exit", 8, "crash", "ended with status 4"),
        ("hang", 60, "timeout", "no answer within 1 s"),
        ("memory", COUNT, "out_of_memory", "MemoryError"),
        ("none", COUNT, "wrong_type", "answered a NoneType"),
        ("text", COUNT, "wrong_type", "Could not convert 'high'"),
        ("short", COUNT, "wrong_rows", "0 answers for 1 requests"),
        ("long", COUNT, "wrong_rows", "2 answers for 1 requests"),
        ("nan", COUNT, "nan_output", "missing, NaN or infinite"),
        ("infinite", COUNT, "nan_output", "missing, NaN or infinite"),
        ("no label", COUNT, "nan_output", "missing, NaN or infinite"),
    ],
)
def test_exactly_the_guilty_request_gets_its_error(
    shared: Hosted, do: str, count: int, kind: str, said: str
) -> None:
    model = shared("models:picky", timeout_s=1)
    guilty = count // 2 - 1
    answers = model.answer(frame({guilty: do}, count)).to_pylist()
    wrong = answers[guilty]
    assert (wrong["error"], wrong["label"], wrong["score"]) == (kind, None, None)
    assert said in wrong["message"]
    assert not wrong["message"].startswith(UNREPRODUCED)  # so that it is critical, if its kind is
    rest = [fields(each) for x, each in enumerate(answers) if x != guilty]
    assert rest == [parity(x) for x in range(count) if x != guilty]


def test_several_guilty_requests_are_told_apart(shared: Hosted) -> None:
    guilty = {0: "raise", 1: "nan", 150: "short", 151: "raise", 299: "text"}
    answers = shared("models:picky", timeout_s=1).answer(frame(guilty)).to_pylist()
    assert {x: each["error"] for x, each in enumerate(answers) if each["error"]} == {
        0: "exception",
        1: "nan_output",
        150: "wrong_rows",
        151: "exception",
        299: "wrong_type",
    }


def test_a_crash_that_does_not_come_again_alone_is_not_critical(hosted: Hosted) -> None:
    model = hosted("models:picky")
    [answer] = model.answer(frame({0: "once"}, 1)).to_pylist()
    assert answer["error"] in CRITICAL_KINDS
    assert answer["message"].startswith(f"{UNREPRODUCED}the model's process ended with status 5")
    assert [each["error"] for each in model.answer(frame({0: "once"}, 2)).to_pylist()] == [None, None]


def test_a_host_that_died_between_two_batches_blames_nobody(shared: Hosted) -> None:
    model = shared("models:parity")
    os.kill(model._hosts.current()._pid, signal.SIGKILL)
    assert [fields(each) for each in model.answer(frame({}, 9)).to_pylist()] == [parity(x) for x in range(9)]


def test_few_rounds_find_one_request_among_many(shared: Hosted, monkeypatch: pytest.MonkeyPatch) -> None:
    model = shared("models:picky", timeout_s=1)
    asked: list[int] = []
    ask = model._predict

    def counted(table: pa.Table) -> Any:
        asked.append(table.num_rows)
        return ask(table)

    monkeypatch.setattr(model, "_predict", counted)
    model.answer(frame({5: "raise"}, 4096))
    assert sorted(set(asked), reverse=True) == [4096, 512, 64, 8, 1]
    assert len(asked) == 1 + 4 * 8


def test_a_slow_model_is_given_batches_that_fit_its_time_limit(hosted: Hosted) -> None:
    model = hosted("models:slow", timeout_s=1.0)
    assert not model.answer(frame({}, 5)).field("error").drop_null()
    answers = model.answer(frame({}, 120))  # 1.2 s at once
    assert [fields(each) for each in answers.to_pylist()] == [parity(x) for x in range(120)]
    assert 10 <= model._batch_rows() <= 25


def test_a_timed_request_has_a_latency_and_nothing_else_differs(hosted: Hosted, shared: Hosted) -> None:
    model = hosted("models:slow")
    [answer] = model.time(frame({}, 1)).to_pylist()
    assert fields(answer) == parity(0)
    assert 10_000 <= answer["latency_us"] < 1_000_000
    [wrong] = shared("models:picky", timeout_s=1).time(frame({0: "raise"}, 1)).to_pylist()
    assert (wrong["error"], wrong["latency_us"]) == ("exception", None)


def test_payloads_reach_a_callable_as_they_are(shared: Hosted) -> None:
    payloads = ['{"text":"gnōmōn 😀","n":9007199254740993}', "[1,null]", "NaN"]
    answers = shared("models:given").answer(pa.table({"\0payload": payloads})).to_pylist()
    assert [each["label"] for each in answers] == [
        "{'text': 'gnōmōn 😀', 'n': 9007199254740993}",
        "[1, None]",
        "nan",
    ]


FORMS = ["int", "float", "text", "text float", "bool", "numpy int", "numpy float", "numpy bool"]


def test_all_forms_of_a_label_agree_in_one_call(hosted: Hosted, folder: Path) -> None:
    given = [*FORMS, "none", "nan", "inf", "na", "late", "tenth"]
    answers = hosted("models:told").answer(pa.table({"label": given})).to_pylist()
    assert [each["label"] for each in answers] == ["1"] * len(FORMS) + [None] * 4 + ["late", "0.1"]
    assert [each["error"] for each in answers[len(FORMS) :]] == ["nan_output"] * 4 + [None] * 2
    assert (folder / "calls").read_text() == "call\n"


def test_a_label_that_is_none_is_that_requests_error(shared: Hosted) -> None:
    answers = shared("models:told").answer(pa.table({"label": ["int", "list", "late"]})).to_pylist()
    assert [(each["label"], each["error"]) for each in answers] == [
        ("1", None),
        (None, "wrong_type"),
        ("late", None),
    ]


# ---- files ----


TRAINING = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0], "y": [1.0, 0.0, 1.0, 0.0]})
LABELS = [0, 0, 1, 1]
ASKED = pa.table({"y": [0.5, 0.0, 1.0], "x": [3.0, 0.5, None], "unused": ["a", "b", "c"]})


@pytest.fixture(scope="module")
def logistic() -> LogisticRegression:
    return LogisticRegression().fit(TRAINING, LABELS)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("suffix", ["skops", "joblib"])
def test_an_estimators_score_is_that_of_the_positive_class(
    hosted: Hosted, folder: Path, logistic: LogisticRegression, suffix: str
) -> None:
    path = folder / f"m.{suffix}"
    (skops.io.dump if suffix == "skops" else joblib.dump)(logistic, path)
    model = hosted(path.name, allow_pickle=suffix == "joblib")
    assert model.needs(["unused", "x", "y"]) == ["x", "y"]
    answers = model.answer(ASKED.select(["x", "y"]).slice(0, 2)).to_pylist()
    known = pd.DataFrame({"x": [3.0, 0.5], "y": [0.5, 0.0]})
    assert [each["score"] for each in answers] == pytest.approx(logistic.predict_proba(known)[:, 1].tolist())
    assert [each["label"] for each in answers] == [canonical_label(each) for each in logistic.predict(known)]
    nothing = model.answer(ASKED.select(["x", "y"])).to_pylist()[2]
    assert (nothing["error"], nothing["label"]) == ("exception", None)  # scikit-learn takes no NaN here
    assert model.digest == f"sha256:{digest(path)}"


def test_positive_is_told_by_name_not_by_place(folder: Path, hosted: Hosted, experiment: Any) -> None:
    backwards = LogisticRegression().fit(TRAINING, ["late", "late", "1.0", "1.0"])  # sorted: 1.0, late
    skops.io.dump(backwards, folder / "m.skops")
    answers = hosted("m.skops").answer(pa.table({"x": [0.0, 3.0], "y": [1.0, 0.0]}))
    probabilities = backwards.predict_proba(pd.DataFrame({"x": [0.0, 3.0], "y": [1.0, 0.0]}))
    assert answers.field("score").to_pylist() == pytest.approx(probabilities[:, 0].tolist())
    assert answers.field("label").to_pylist() == ["late", "1"]


def test_an_estimator_is_not_asked_about_payloads(shared: Hosted) -> None:
    answers = shared("logistic.skops").answer(pa.table({"\0payload": ["{}"] * 5000}))
    assert set(answers.field("error").to_pylist()) == {"wrong_type"}


def test_a_joblib_file_is_loaded_only_if_that_is_allowed_or_it_is_pinned(
    hosted: Hosted, folder: Path, logistic: LogisticRegression
) -> None:
    path = folder / "m.joblib"
    joblib.dump(logistic, path)
    with pytest.raises(ModelError, match=f'set allow_pickle = true, or pin it by sha256 = "{digest(path)}"'):
        hosted("m.joblib")
    with pytest.raises(ModelError, match="not the pinned 0000"):
        hosted("m.joblib", sha256="0" * 64)
    assert hosted("m.joblib", sha256=digest(path)).features == ["x", "y"]


def test_a_file_that_changes_during_the_run_is_not_run_under_the_old_digest(
    hosted: Hosted, folder: Path, logistic: LogisticRegression
) -> None:
    path = folder / "m.skops"
    skops.io.dump(logistic, path)
    model = hosted("m.skops")
    skops.io.dump(LogisticRegression().fit(TRAINING, LABELS[::-1]), path)
    asked = ASKED.select(["x", "y"]).slice(0, 2)
    assert model.answer(asked).field("error").null_count == 2
    os.kill(model._hosts.current()._pid, signal.SIGKILL)
    with pytest.raises(ModelError, match="has changed since the run began"):
        model.answer(asked)


def test_foreign_types_in_a_skops_file_are_named_and_can_be_trusted(hosted: Hosted, folder: Path) -> None:
    (folder / "own.py").write_text(
        "from sklearn.linear_model import LogisticRegression\nclass Mine(LogisticRegression): pass\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        from own import Mine  # type: ignore[import-not-found]

        skops.io.dump(Mine().fit(TRAINING, LABELS), folder / "m.skops")
    with pytest.raises(
        ModelError, match=r"types that are not trusted: own\.Mine; name them in trusted_types"
    ):
        hosted("m.skops")
    assert hosted("m.skops", trusted_types=("own.Mine",)).features == ["x", "y"]


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("none.skops", r"none\.skops cannot be read \(No such file or directory\); check its `model`"),
        ("models.py", "write file.skops, file.joblib, file.onnx, .* as its `model`"),
        ("models:", "write file.skops, file.joblib, file.onnx, .* as its `model`"),
        (":parity", "write file.skops, file.joblib, file.onnx, .* as its `model`"),
        ("none:parity", "No module named 'none'"),
        ("models:none", "has no attribute 'none'"),
        ("models:constant", "is a int, which cannot be called"),
        ("broken:f", "SyntaxError"),
        ("leaving:f", "ended with status 9; it last wrote: farewell"),
        ("torn.skops", "cannot be loaded"),
        ("torn.joblib", "cannot be loaded"),
        ("gone.joblib", "No module named 'nowhere'"),
        ("regression.joblib", "Fake has no predict_proba"),
        ("three.joblib", r"a binary model has two classes, this one has \[0, 1, 2\]"),
        ("other.joblib", r"its classes are \['early', 'late'\]; none is the positive '1'"),
    ],
)
def test_what_is_no_model_is_refused_with_the_reason(
    hosted: Hosted, folder: Path, target: str, said: str
) -> None:
    (folder / "broken.py").write_text("def f(:\n")
    (folder / "leaving.py").write_text("import os; print('farewell', flush=True); os._exit(9)\n")
    (folder / "torn.skops").write_bytes(b"PK\x03\x04 not a model")
    (folder / "torn.joblib").write_bytes(b"\x80\x04 not a model")
    (folder / "gone.joblib").write_bytes(b"cnowhere\nModel\n.")
    (folder / "fake.py").write_text("class Fake: pass\n")
    for name, attributes in {
        "regression": {"classes_": [0, 1]},
        "three": {"classes_": [0, 1, 2], "predict_proba": None},
        "other": {"classes_": ["early", "late"], "predict_proba": None},
    }.items():
        if target == f"{name}.joblib":
            with pytest.MonkeyPatch.context() as patch:
                patch.syspath_prepend(folder)
                patch.delitem(sys.modules, "fake", raising=False)
                fake = importlib.import_module("fake").Fake()
                vars(fake).update(attributes)
                (folder / target).write_bytes(pickle.dumps(fake))
    with pytest.raises(ModelError, match=said) as caught:
        hosted(target, version="3.3", allow_pickle=True)
    assert str(caught.value).startswith("model 3.3: ")
    assert caught.value.version == "3.3"


def test_a_python_that_is_not_there_is_named(hosted: Hosted) -> None:
    with pytest.raises(ModelError, match=r"envs/none/bin/python cannot be started .* check its `python`"):
        hosted("models:parity", python="envs/none/bin/python")


def test_a_feature_that_no_request_has_had_is_named_with_the_nearest(shared: Hosted) -> None:
    model = shared("logistic.skops")
    with pytest.raises(ModelError, match="needs the feature `y`, which no request has had; did it mean `yy`"):
        model.needs(["x", "yy"])
    with pytest.raises(
        ModelError, match=r"it has far. If it is only rare, declare its type under \[features\]"
    ):
        model.needs(["far"])


def test_the_digest_of_a_callable_is_that_of_its_table() -> None:
    tables = [("1", "models:f"), ("2", "models:f"), ("1", "models:g"), ("1", "models:f")]
    digests = [locate(Model(version=version, model=model), Path()).digest for version, model in tables]
    assert len(set(digests)) == 3
    assert digests[0] == digests[3]


def test_its_surroundings_hold_no_secret_and_nothing_of_ours(
    hosted: Hosted, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GNOMON_SECRET", "hunter2")
    [answer] = hosted("models:nosy").answer(frame({}, 1)).to_pylist()
    assert answer["label"] == f"None [] {folder}"


def test_what_it_prints_is_bounded_and_quoted_when_it_crashes(hosted: Hosted) -> None:
    model = hosted("models:verbose")
    for _ in range(4):
        assert model.answer(frame({}, 3)).field("error").null_count == 3
        assert os.fstat(model._hosts._output.fileno()).st_size < 2 << 20
    [answer] = model.answer(frame({0: "_exit"}, 1)).to_pylist()
    assert answer["message"].endswith("these were its last words")


def test_a_crash_is_seen_at_once_though_a_fork_lives_on(hosted: Hosted, folder: Path) -> None:
    model = hosted("models:parental", timeout_s=60)
    began = time.monotonic()
    [answer] = model.answer(frame({0: "_exit"}, 1)).to_pylist()
    assert answer["error"] == "crash"
    assert time.monotonic() - began < 20


def test_edited_code_is_another_model(tmp_path: Path) -> None:
    model = Model(version="1", model="mine:predict")
    module = tmp_path / "mine.py"
    module.write_text("def predict(frame): ...")
    before = locate(model, tmp_path).digest
    assert locate(model, tmp_path).digest == before
    module.write_text("def predict(frame): return None")
    assert locate(model, tmp_path).digest != before
