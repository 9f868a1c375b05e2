"""Measures of correctness, against scikit-learn and hand counts, for each task."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from gnomon_diff import compare, judge, query
from gnomon_diff.comparison import Comparison, Estimate, Measure, from_json, to_json
from gnomon_diff.evidence import DayCriterion, rule_bounds
from gnomon_diff.settings import Accuracy, Cost, Critical, LabelSettings, Policy
from gnomon_replay.settings import Experiment
from sklearn import metrics
from sklearn.calibration import calibration_curve

from .conftest import START, WriteLog

DAYS = 26
DAY_0 = START.ceil("h")
LOADED = datetime.datetime(2026, 4, 20, tzinfo=datetime.UTC)
POLICY = Policy(critical_errors=Critical())
COSTS = LabelSettings(cost=Cost(false_positive=1, false_negative=5))


def close(value: float | None) -> Any:
    return pytest.approx(value, rel=1e-9, abs=1e-12)


def requests(n: int, days: float = DAYS) -> pd.DataFrame:
    frame = pd.DataFrame({"request_id": [f"r{index:05d}" for index in range(n)]})
    frame["ts"] = START + pd.to_timedelta(np.linspace(0, days * 86_400, n).round(3), unit="s")
    return frame.assign(candidate_version="3.3")


def binary(n: int = 6000, seed: int = 4) -> tuple[pd.DataFrame, np.ndarray]:
    """Requests with noisy scores of two models, ties among them, and what came true."""
    rng = np.random.default_rng(seed)
    chance = rng.beta(1.3, 2.6, n)
    frame = requests(n)
    for side, noise in (("served", 0.08), ("candidate", 0.12)):
        score = np.clip(chance + rng.normal(0, noise, n), 0, 1).round(2)
        frame[f"{side}_score"] = score
        frame[f"{side}_label"] = np.where(score >= 0.5, "late", "on time")
    return frame, np.where(rng.random(n) < chance, "late", "on time")


def label_rows(frame: pd.DataFrame, truth: Any, column: str = "label", **more: Any) -> list[dict[str, Any]]:
    return [
        {"request_id": request, column: value, "loaded_at": LOADED, "row": row} | more
        for row, (request, value) in enumerate(zip(frame["request_id"], truth, strict=True))
    ]


def run(
    write_log: WriteLog,
    folder: Path,
    experiment: Experiment,
    frame: pd.DataFrame,
    rows: list[dict[str, Any]] | None,
    labels: LabelSettings = COSTS,
) -> Comparison:
    log = write_log(folder / "log", frame, labels=rows)
    found = compare(log, experiment, POLICY, labels=labels, examples=0, now=LOADED)
    assert from_json(to_json(found, None)).comparison == found
    return found


def measured(found: Comparison) -> Mapping[str, Measure]:
    assert found.correctness is not None
    return {one.name: one for one in found.correctness.measures}


def by_day(frame: pd.DataFrame, values: Any) -> np.ndarray:
    """Sums over the whole days from the first full hour."""
    day = ((frame["ts"] - DAY_0) // pd.Timedelta(days=1)).to_numpy()
    last = (frame["ts"].max() - DAY_0) // pd.Timedelta(days=1)
    return np.array([np.asarray(values, float)[day == index].sum() for index in range(last)])


@pytest.fixture(scope="module")
def two_models() -> tuple[pd.DataFrame, np.ndarray]:
    return binary()


@pytest.fixture(scope="module")
def found(
    tmp_path_factory: pytest.TempPathFactory,
    write_log: WriteLog,
    experiment: Experiment,
    two_models: tuple[pd.DataFrame, np.ndarray],
) -> Comparison:
    frame, truth = two_models
    return run(write_log, tmp_path_factory.mktemp("binary"), experiment, frame, label_rows(frame, truth))


@pytest.mark.parametrize("side", ["primary", "candidate"])
def test_measures_of_a_binary_task_are_scikit_learns(
    found: Comparison, two_models: tuple[pd.DataFrame, np.ndarray], side: str
) -> None:
    frame, truth = two_models
    own = "served" if side == "primary" else "candidate"
    said, score, y = frame[f"{own}_label"], frame[f"{own}_score"], truth == "late"
    wrong = metrics.confusion_matrix(truth, said, labels=["on time", "late"])
    expected = {
        "precision": metrics.precision_score(truth, said, pos_label="late"),
        "recall": metrics.recall_score(truth, said, pos_label="late"),
        "f1": metrics.f1_score(truth, said, pos_label="late"),
        "auc": metrics.roc_auc_score(y, score),
        "log_loss": metrics.log_loss(y, score),
        "brier": metrics.brier_score_loss(y, score),
        "cost": (wrong[0, 1] + 5 * wrong[1, 0]) / len(frame),
    }
    values = {name: getattr(one, side).value for name, one in measured(found).items()}
    assert values == {name: close(value) for name, value in expected.items()}
    assert {one.n for one in measured(found).values()} == {len(frame)}


def test_the_difference_is_candidate_less_primary(found: Comparison) -> None:
    for one in measured(found).values():
        assert one.primary.value is not None and one.candidate.value is not None
        assert one.difference.value == close(one.candidate.value - one.primary.value)


def test_intervals_of_measures_are_the_rule_on_their_day_sums(
    found: Comparison, two_models: tuple[pd.DataFrame, np.ndarray]
) -> None:
    frame, truth = two_models
    y = truth == "late"
    p, c = (frame[f"{side}_label"].eq("late").to_numpy() for side in ("served", "candidate"))
    base = by_day(frame, y)
    rate = DayCriterion(limit=0.5, low=0, high=1, events_min=5)

    def ends(estimate: Estimate) -> tuple[float | None, float | None]:
        return estimate.low, estimate.high

    [bound] = rule_bounds(rate, by_day(frame, y & ~p), base)
    assert bound.low is not None and bound.high is not None
    recall = measured(found)["recall"]
    assert recall.days == len(base) == DAYS - 1
    assert ends(recall.primary) == (close(1 - bound.high), close(1 - bound.low))
    [bound] = rule_bounds(
        DayCriterion.rate_difference(0.5), by_day(frame, y & ~c) - by_day(frame, y & ~p), base
    )
    assert bound.low is not None and bound.high is not None
    assert ends(recall.difference) == (close(-bound.high), close(-bound.low))
    [bound] = rule_bounds(rate, by_day(frame, c & ~y), by_day(frame, c))
    assert bound.low is not None and bound.high is not None
    assert ends(measured(found)["precision"].candidate) == (close(1 - bound.high), close(1 - bound.low))
    brier = (frame["candidate_score"] - y) ** 2
    [bound] = rule_bounds(DayCriterion.rate(0.5), by_day(frame, brier), by_day(frame, np.ones(len(frame))))
    assert ends(measured(found)["brier"].candidate) == (close(bound.low), close(bound.high))


def test_what_has_no_interval_says_why(found: Comparison) -> None:
    one = measured(found)
    for estimate in (
        one["auc"].primary,
        one["auc"].difference,
        one["precision"].difference,
        one["f1"].difference,
    ):
        assert (estimate.low, estimate.high) == (None, None)
        assert estimate.reason is not None and "whole days give" in estimate.reason
    for estimate in (one["recall"].difference, one["cost"].difference, one["log_loss"].primary):
        assert estimate.reason is None
        assert estimate.low is not None and estimate.high is not None
        assert estimate.value is not None and estimate.low < estimate.value < estimate.high


def test_calibration_curves_are_scikit_learns(
    found: Comparison, two_models: tuple[pd.DataFrame, np.ndarray]
) -> None:
    frame, truth = two_models
    right = found.correctness
    assert right is not None
    for side, own in (("primary", "served"), ("candidate", "candidate")):
        score = frame[f"{own}_score"].to_numpy()
        bins = [one for one in right.reliability if one.side == side]
        assert [(one.low, one.high) for one in bins] == [(at / 10, (at + 1) / 10) for at in range(10)]
        assert [one.observed.n for one in bins] == np.histogram(score, np.arange(11) / 10)[0].tolist()
        # scikit-learn's bins hold their upper edge, ours the lower: a nudge keeps the scores off the edges.
        observed, promised = calibration_curve(truth == "late", np.clip(score + 1e-9, 0, 1), n_bins=10)
        kept = [one for one in bins if one.observed.n]
        assert [one.observed.rate for one in kept] == close(observed.tolist())
        assert [one.mean_score for one in kept] == pytest.approx(promised.tolist(), abs=1e-8)


def test_costs_and_equal_action_rates_of_each_cutoff_are_what_numpy_counts(
    found: Comparison, two_models: tuple[pd.DataFrame, np.ndarray]
) -> None:
    frame, truth = two_models
    y, p, c = truth == "late", frame["served_score"].to_numpy(), frame["candidate_score"].to_numpy()

    def cost(acts: np.ndarray) -> float:
        return float((acts & ~y).sum() + 5 * (~acts & y).sum()) / len(y)

    assert len(found.cutoffs) == 49
    for row in found.cutoffs:
        assert (row.primary_cost, row.candidate_cost) == (
            close(cost(p >= row.cutoff)),
            close(cost(c >= row.cutoff)),
        )
        assert row.cost_n == len(y)
        assert row.equal_cutoff is not None
        away = [abs((c >= other.cutoff).sum() - (p >= row.cutoff).sum()) for other in found.cutoffs]
        assert abs((c >= row.equal_cutoff).sum() - (p >= row.cutoff).sum()) == min(away)
        assert row.equal_actions == (c >= row.equal_cutoff).sum()
        assert row.equal_flips == ((c >= row.equal_cutoff) != (p >= row.cutoff)).sum()
        assert row.equal_cost == close(cost(c >= row.equal_cutoff))


def test_of_the_disagreements_the_candidate_wins_so_many(
    found: Comparison, two_models: tuple[pd.DataFrame, np.ndarray]
) -> None:
    frame, truth = two_models
    right = found.correctness
    assert right is not None and right.wins is not None
    differ = frame["served_label"] != frame["candidate_label"]
    won = differ & (frame["candidate_label"] == truth)
    assert (right.wins.n, right.wins.rate) == (differ.sum(), close(won.sum() / differ.sum()))
    assert right.wins_primary == differ.sum() - won.sum()
    rate = DayCriterion(limit=0.5, low=0, high=1, events_min=5)
    [bound] = rule_bounds(rate, by_day(frame, won), by_day(frame, differ))
    assert (right.wins.low, right.wins.high) == (close(bound.low), close(bound.high))


def test_a_sampled_logs_measures_are_weighted_as_scikit_learn_weights_them(
    tmp_path: Path, write_log: WriteLog, experiment: Experiment
) -> None:
    frame, truth = binary(3000, seed=9)
    weight = np.where(frame["served_score"] > 0.4, 1.0, 2.5)
    found = measured(
        run(write_log, tmp_path, experiment, frame.assign(weight=weight), label_rows(frame, truth))
    )
    y, said, score = truth == "late", frame["candidate_label"] == "late", frame["candidate_score"]
    assert found["recall"].candidate.value == close(metrics.recall_score(y, said, sample_weight=weight))
    assert found["precision"].candidate.value == close(metrics.precision_score(y, said, sample_weight=weight))
    assert found["auc"].candidate.value == close(metrics.roc_auc_score(y, score, sample_weight=weight))
    assert found["log_loss"].candidate.value == close(metrics.log_loss(y, score, sample_weight=weight))
    assert found["recall"].n == len(frame)


def test_measures_of_a_multiclass_task_are_scikit_learns(tmp_path: Path, write_log: WriteLog) -> None:
    rng = np.random.default_rng(8)
    classes = np.array(["cat", "dog", "other"])
    frame = requests(3000)
    truth = classes[rng.choice(3, len(frame), p=[0.6, 0.3, 0.1])]
    scores = {}
    for side, sure in (("served", 4.0), ("candidate", 2.5)):
        drawn = rng.dirichlet(np.ones(3), len(frame)) + sure * rng.random((len(frame), 1)) * (
            truth[:, None] == classes
        )
        scores[side] = drawn / drawn.sum(axis=1, keepdims=True)
        frame[f"{side}_scores"] = scores[side].tolist()
        frame[f"{side}_label"] = classes[scores[side].argmax(axis=1)]
    experiment = Experiment(name="trial", task="multiclass", classes=tuple(classes.tolist()))
    found = run(write_log, tmp_path, experiment, frame, label_rows(frame, truth), LabelSettings())
    right, of = found.correctness, measured(found)
    assert right is not None
    assert list(of) == ["macro_f1", "log_loss"]
    for side, own in (("primary", "served"), ("candidate", "candidate")):
        said = frame[f"{own}_label"]
        assert getattr(right, side).rate == close(metrics.accuracy_score(truth, said))
        assert getattr(of["macro_f1"], side).value == close(metrics.f1_score(truth, said, average="macro"))
        assert getattr(of["log_loss"], side).value == close(
            metrics.log_loss(truth, scores[own], labels=classes)
        )
    assert of["log_loss"].difference.low is not None
    estimated = found.estimated_accuracy
    assert estimated is not None
    assert estimated.by_primary[0] == close(scores["served"].max(axis=1).mean())
    assert estimated.by_candidate[1] == close(scores["candidate"].max(axis=1).mean())


@pytest.mark.parametrize("scale", [1.0, 3e7])
def test_measures_of_a_regression_are_scikit_learns(
    tmp_path: Path, write_log: WriteLog, scale: float
) -> None:
    rng = np.random.default_rng(5)
    frame = requests(4000)
    truth = scale * rng.normal(20, 8, len(frame))
    frame["served_score"] = truth + scale * rng.normal(0.4, 3, len(frame))
    frame["candidate_score"] = truth + scale * rng.normal(0, 2.5, len(frame))
    experiment = Experiment(name="trial", task="regression")
    found = run(write_log, tmp_path, experiment, frame, label_rows(frame, truth, "value"), LabelSettings())
    right, of = found.correctness, measured(found)
    assert right is not None
    assert (right.labelled, right.primary.rate) == (len(frame), None)
    for side, own in (("primary", "served"), ("candidate", "candidate")):
        said = frame[f"{own}_score"]
        assert getattr(of["mae"], side).value == close(metrics.mean_absolute_error(truth, said))
        assert getattr(of["mse"], side).value == close(metrics.mean_squared_error(truth, said))
        assert getattr(of["rmse"], side).value == close(metrics.root_mean_squared_error(truth, said))
        assert getattr(of["r2"], side).value == close(metrics.r2_score(truth, said))
    off = np.abs(frame["candidate_score"] - truth) - np.abs(frame["served_score"] - truth)
    rule = DayCriterion(limit=scale, low=-1e3 * scale, high=1e3 * scale)
    [bound] = rule_bounds(rule, by_day(frame, off), by_day(frame, np.ones(len(frame))))
    difference = of["mae"].difference
    assert (difference.low, difference.high) == (
        pytest.approx(bound.low, rel=1e-6),
        pytest.approx(bound.high, rel=1e-6),
    )
    assert difference.high is not None and difference.high < 0
    assert of["rmse"].difference.reason is not None and of["rmse"].primary.low is not None


def test_only_pairs_that_both_answered_are_measured(
    tmp_path: Path, write_log: WriteLog, experiment: Experiment
) -> None:
    frame = requests(6, days=0.1).assign(
        served_label=["late", "late", None, "late", "late", None],
        served_score=[0.9, 0.8, None, 0.7, 2.0, None],
        candidate_label=["late", None, "late", "on time", "late", None],
        candidate_score=[0.9, None, 0.6, 0.2, 0.9, None],
        served_error=[None, None, "exception", None, None, "exception"],
        candidate_error=[None, "crash", None, None, None, "crash"],
    )
    truth = ["late", "late", "late", "late", "late", "late"]
    of = measured(run(write_log, tmp_path, experiment, frame, label_rows(frame, truth)))
    assert of["recall"].n == 3
    assert (of["recall"].primary.value, of["recall"].candidate.value) == (1.0, close(2 / 3))
    assert of["brier"].n == of["auc"].n == 2  # a score of 2 is no chance
    assert (of["auc"].primary.value, of["auc"].primary.reason) == (
        None,
        "only one of the two labels came true",
    )
    reason = "no interval before 7 whole days whose labels have had their time, there are 0"
    assert (of["recall"].difference.low, of["recall"].difference.reason) == (None, reason)


def test_labels_of_other_requests_are_no_measures(
    tmp_path: Path, write_log: WriteLog, experiment: Experiment
) -> None:
    frame, _ = binary(50)
    others = [{"request_id": "nobody", "label": "late", "loaded_at": LOADED, "row": 0}]
    found = run(write_log, tmp_path, experiment, frame, others)
    for one in measured(found).values():
        assert (one.n, one.primary.value, one.candidate.value, one.difference.value) == (0, None, None, None)
        assert one.primary.reason
    right = found.correctness
    assert right is not None and right.wins is not None
    assert (right.wins.rate, right.wins.reason, right.reliability) == (
        None,
        "no disagreement has a label",
        [],
    )
    assert {row.cost_n for row in found.cutoffs} == {0}


def test_what_is_shown_as_asked_gives_the_figures_without_anything_kept(
    tmp_path: Path,
    write_log: WriteLog,
    two_models: tuple[pd.DataFrame, np.ndarray],
    found: Comparison,
    experiment: Experiment,
) -> None:
    frame, truth = two_models
    log = write_log(tmp_path / "log", frame, labels=label_rows(frame, truth))
    shown = {
        asked.figure: asked.sql
        for asked in compare(log, experiment, POLICY, labels=COSTS, now=LOADED).queries
    }
    right = found.correctness
    assert right is not None and right.wins is not None
    assert sum(query(log, shown["wins"])["n"].to_pylist()) == right.wins.n
    brier = query(log, shown["measures_binary"])
    mean = sum(brier["primary_brier"].to_pylist()) / sum(brier["scored"].to_pylist())
    assert measured(found)["brier"].primary.value == close(mean)


def test_the_same_log_gives_the_same_measures(
    tmp_path: Path,
    write_log: WriteLog,
    two_models: tuple[pd.DataFrame, np.ndarray],
    found: Comparison,
    experiment: Experiment,
) -> None:
    frame, truth = two_models
    again = run(write_log, tmp_path, experiment, frame, label_rows(frame, truth))
    assert (again.correctness, again.cutoffs) == (found.correctness, found.cutoffs)
    assert again.estimated_accuracy == found.estimated_accuracy


def test_the_estimate_is_the_mean_chance_of_what_was_said_and_needs_no_label(
    tmp_path: Path, write_log: WriteLog, two_models: tuple[pd.DataFrame, np.ndarray], experiment: Experiment
) -> None:
    frame, _ = two_models
    found = run(write_log, tmp_path, experiment, frame, None)
    assert found.correctness is None
    estimated = found.estimated_accuracy
    assert estimated is not None and estimated.n == len(frame)
    for scores, of in (("served", estimated.by_primary), ("candidate", estimated.by_candidate)):
        chance = frame[f"{scores}_score"]
        for said, value in zip(("served", "candidate"), of, strict=True):
            assert value == close(chance.where(frame[f"{said}_label"] == "late", 1 - chance).mean())
    # By its own scores each model looks best: that is why both are given.
    assert estimated.by_primary[0] > estimated.by_primary[1]
    assert estimated.by_candidate[1] > estimated.by_candidate[0]


def test_the_estimate_of_calibrated_scores_is_near_the_truth(
    tmp_path: Path, write_log: WriteLog, experiment: Experiment
) -> None:
    rng = np.random.default_rng(3)
    frame = requests(20_000)
    score = rng.beta(1.3, 2.6, len(frame))
    label = np.where(score >= 0.5, "late", "on time")
    frame = frame.assign(served_score=score, candidate_score=score, served_label=label, candidate_label=label)
    truth = np.where(rng.random(len(frame)) < score, "late", "on time")
    found = run(write_log, tmp_path, experiment, frame, label_rows(frame, truth))
    assert found.estimated_accuracy is not None and found.correctness is not None
    assert found.estimated_accuracy.by_primary[0] == pytest.approx(
        (label == truth).mean(), abs=0.012
    )  # four sd


def test_the_gate_takes_no_notice_of_the_estimate(found: Comparison) -> None:
    policy = Policy(accuracy=Accuracy(max_decrease_rel=0.1), min_pairs=10)
    estimated = found.estimated_accuracy
    assert estimated is not None
    flattering = msgspec.structs.replace(estimated, by_primary=(0.0, 1.0), by_candidate=(0.0, 1.0))
    for right in (found.correctness, None):
        one = msgspec.structs.replace(found, correctness=right)
        verdicts = [
            judge(msgspec.structs.replace(one, estimated_accuracy=other), policy, labels=COSTS)
            for other in (estimated, flattering, None)
        ]
        assert verdicts[0] == verdicts[1] == verdicts[2]
        assert verdicts[0].criteria or right is None


def test_costs_and_answers_that_end_a_request_change_no_policy() -> None:
    from gnomon_diff.settings import Never, policy_digest

    shown = LabelSettings(cost=Cost(false_positive=1, false_negative=5), never=Never(label="blocked"))
    assert policy_digest(POLICY, shown) == policy_digest(POLICY, LabelSettings())
    assert policy_digest(POLICY, LabelSettings(deadline="8d")) != policy_digest(POLICY, LabelSettings())
