"""The wrapper around scikit-learn estimators: the same answers, a record a row, and the estimator behind it."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from gnomon_capture import Mirror, UsageError
from gnomon_capture.adapters import MirroredEstimator
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils.validation import check_is_fitted

FRAME = pd.DataFrame({"delay": [1.5, 60.0, 5.0, 90.0], "distance": [1400, 200, 900, 700]})
LABELS = ["on_time", "late", "on_time", "late"]
FITTED = LogisticRegression().fit(FRAME, LABELS)


@pytest.fixture
def asked(tmp_path, spooled):
    """Calls `use(wrapped)` and gives its result, the records and the closing ledger."""

    def run(estimator, use, **options):
        with Mirror(f"spool:{tmp_path}", require=True) as mirror:
            result = use(MirroredEstimator(estimator, mirror, **options))
        traffic = spooled(tmp_path)
        return result, traffic.requests, traffic.ledgers[-1]

    return run


def test_a_frame_of_n_rows_is_n_records_and_the_answer_is_the_estimators(asked):
    result, records, ledger = asked(
        FITTED, lambda model: model.predict_proba(FRAME), version="3.2", positive="late"
    )
    expected = FITTED.predict_proba(FRAME)
    assert isinstance(result, np.ndarray)
    assert np.array_equal(result, expected)
    assert [record.features for record in records] == FRAME.to_dict("records")
    assert [type(record.features["distance"]) for record in records] == [int] * 4
    late = list(FITTED.classes_).index("late")
    assert [record.served.score for record in records] == expected[:, late].tolist()
    assert [record.served.label for record in records] == FITTED.predict(FRAME).tolist()
    assert {(record.served.version, record.served.latency_us) for record in records} == {("3.2", None)}
    assert len({record.request_id for record in records}) == 4
    assert ledger.seen == 4


def test_one_row_has_its_latency(asked):
    _, [record], _ = asked(FITTED, lambda model: model.predict(FRAME[:1]))
    assert record.served.label == "on_time"
    assert record.served.latency_us > 0


def test_arrays_take_the_names_that_the_estimator_was_fitted_with_or_that_are_given(asked):
    array = FRAME.to_numpy()
    bare = LogisticRegression().fit(array, LABELS)
    with pytest.warns(UserWarning, match="valid feature names"):
        _, records, _ = asked(FITTED, lambda model: model.predict(array))
    assert records[1].features == {"delay": 60.0, "distance": 200.0}
    _, records, _ = asked(bare, lambda model: model.predict(array), features=["a", "b"])
    assert records[-1].features == {"a": 90.0, "b": 700.0}


def test_rows_without_names_are_payloads_and_sparse_ones_are_rows_too(asked):
    array = FRAME.to_numpy()
    bare = LogisticRegression().fit(array, LABELS)
    _, records, _ = asked(bare, lambda model: model.predict(scipy.sparse.csr_matrix(array)))
    assert [record.payload for record in records] == array.tolist()
    assert records[0].features is None


def test_a_regressor_records_scores_and_three_classes_all_probabilities(asked):
    regressor = LinearRegression().fit(FRAME, [1.0, 2.0, 3.0, 4.0])
    result, records, _ = asked(regressor, lambda model: model.predict(FRAME))
    assert [record.served.score for record in records] == result.tolist()
    assert records[0].served.label is None
    three = LogisticRegression(max_iter=10_000).fit(FRAME, ["a", "b", "c", "a"])
    result, records, _ = asked(three, lambda model: model.predict_proba(FRAME))
    assert [record.served.scores for record in records[-4:]] == result.tolist()
    assert [record.served.label for record in records[-4:]] == three.predict(FRAME).tolist()


def test_keys_ids_and_attributes_come_by_row(asked):
    frame = FRAME.assign(user=["a", "b", "a", "c"])
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(FRAME, LABELS)

    class Chooser:
        classes_ = model.classes_

        def predict(self, X):  # noqa: N803
            return model.predict(X[["delay", "distance"]])

    _, records, _ = asked(
        Chooser(),
        lambda wrapped: wrapped.predict(frame),
        key="user",
        request_id=lambda frame: [f"r{at}" for at in range(len(frame))],
        attributes={"far": lambda frame: frame["distance"] > 800},
    )
    assert [record.key for record in records] == ["a", "b", "a", "c"]
    assert [record.request_id for record in records] == ["r0", "r1", "r2", "r3"]
    assert [record.attributes for record in records] == [{"far": v} for v in ("1", "0", "1", "0")]


def test_what_cannot_be_picked_is_counted_by_row_and_the_answer_comes(asked):
    result, records, ledger = asked(FITTED, lambda model: model.predict(FRAME), key="nobody")
    assert result.tolist() == LABELS
    assert (records, ledger.dropped) == ([], {"pick_failed": 4})


def test_what_the_estimator_raises_is_recorded_and_raised_on(asked):
    def use(model):
        with pytest.raises(ValueError, match="feature"):
            model.predict(FRAME[["delay"]])

    _, records, _ = asked(FITTED, use)
    assert len(records) == 4
    assert records[0].served.error.startswith("ValueError: ")


def test_methods_that_are_not_named_are_not_mirrored(asked):
    def use(model):
        model.predict(FRAME)
        return model.predict_proba(FRAME[:1])

    _, records, _ = asked(FITTED, use, methods="predict_proba")
    assert len(records) == 1


def test_all_else_is_the_estimators_own(tmp_path):
    with Mirror(f"spool:{tmp_path}") as mirror:
        model = MirroredEstimator(LogisticRegression(), mirror)
        with pytest.raises(NotFittedError):
            check_is_fitted(model)
        model.fit(FRAME, LABELS)
        check_is_fitted(model)
        assert model.classes_.tolist() == ["late", "on_time"]
        assert model.get_params()["C"] == 1.0
        model.C = 2.0
        assert model.get_params()["C"] == 2.0
        assert is_classifier(model)
        assert "coef_" in dir(model)
        assert not hasattr(model, "nothing")
        assert not hasattr(MirroredEstimator(SVC(), mirror), "predict_proba")
        assert model.score(FRAME, LABELS) == 1.0
        pipeline = MirroredEstimator(make_pipeline(StandardScaler(), LogisticRegression()), mirror)
        assert isinstance(pipeline[0], StandardScaler)
        assert len(pipeline) == 2
        assert repr(model) == "MirroredEstimator(LogisticRegression(C=2.0))"


def test_pickled_copied_or_cloned_it_is_the_estimator_alone(tmp_path):
    with Mirror(f"spool:{tmp_path}") as mirror:
        model = MirroredEstimator(FITTED, mirror)
        saved = pickle.dumps(model)
        assert b"gnomon" not in saved
        loaded = pickle.loads(saved)
        for made in (loaded, copy.copy(model), copy.deepcopy(model), clone(model)):
            assert type(made) is LogisticRegression
        assert loaded.predict(FRAME).tolist() == LABELS
        many = pd.concat([FRAME] * 5)
        assert cross_val_score(model, many, LABELS * 5, cv=5).tolist() == [1.0] * 5
        assert mirror.stats().seen == 0


def test_a_wrong_method_or_what_is_no_estimator_is_refused(tmp_path):
    with Mirror(f"spool:{tmp_path}") as mirror:
        with pytest.raises(UsageError, match="transform"):
            MirroredEstimator(FITTED, mirror, methods=["transform"])
        with pytest.raises(UsageError, match="predict"):
            MirroredEstimator(object(), mirror)
