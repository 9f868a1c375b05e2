"""Which pairs have their label, which still wait, which never get one; and whether the labelled look like the rest."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from gnomon_capture.errors import SettingsError
from gnomon_capture.settings import from_mapping
from gnomon_diff import compare
from gnomon_diff.comparison import Comparison, LabelCoverage
from gnomon_diff.evidence import stratum_log_e
from gnomon_diff.settings import Critical, LabelSettings, Never, Policy
from gnomon_replay.settings import Experiment
from scipy.stats import nchypergeom_fisher

from .conftest import START, WriteLog

DAY_0 = START.ceil("h")
LOADED = datetime.datetime(2026, 3, 22, 7, tzinfo=datetime.UTC)  # twenty days after the first full hour
NOW = datetime.datetime(2026, 5, 1, tzinfo=datetime.UTC)
WEEK = pd.Timedelta(days=7)


def traffic(n: int, days: float = 20) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"request_id": [f"r{index:05d}" for index in range(n)]})
    frame["ts"] = START + pd.to_timedelta(np.linspace(0, days * 86_400, n).round(3), unit="s")
    score = rng.beta(1.3, 2.6, n)
    frame["served_score"], frame["candidate_score"] = score, np.clip(score + rng.normal(0, 0.05, n), 0, 1)
    for side in ("served", "candidate"):
        frame[f"{side}_label"] = np.where(frame[f"{side}_score"] >= 0.5, "late", "on time")
    frame["attributes.region"] = rng.choice(["east", "west", None], n, p=[0.6, 0.3, 0.1])
    return frame.assign(candidate_version="3.3")


def compared(
    write_log: WriteLog,
    folder: Path,
    experiment: Experiment,
    frame: pd.DataFrame,
    known: Any,
    labels: LabelSettings | None = None,
    delay: Any = None,
) -> Comparison:
    rows = [
        {"request_id": request, "label": "late", "loaded_at": LOADED, "row": row, "labelled_at": when}
        for row, (request, is_known, when) in enumerate(
            zip(frame["request_id"], known, [None] * len(frame) if delay is None else delay, strict=True)
        )
        if is_known
    ]
    folder = write_log(folder / "log", frame, labels=rows)
    policy = Policy(critical_errors=Critical())
    return compare(folder, experiment, policy, labels=labels or LabelSettings(), examples=0, now=NOW)


def coverage_of(found: Comparison) -> LabelCoverage:
    assert found.correctness is not None and found.correctness.coverage is not None
    return found.correctness.coverage


def test_every_pair_is_labelled_waiting_overdue_or_never(
    tmp_path: Path, write_log: WriteLog, experiment: Experiment
) -> None:
    frame = traffic(4000)
    rng = np.random.default_rng(2)
    frame["served_label"] = frame["served_label"].mask(frame["served_score"] > 0.8, "blocked")
    blocked = frame["served_label"].eq("blocked")
    known = (rng.random(len(frame)) < 0.6) & (~blocked | (rng.random(len(frame)) < 0.1))
    found = compared(
        write_log, tmp_path, experiment, frame, known, LabelSettings(never=Never(label="blocked"))
    )
    of, past = coverage_of(found), frame["ts"] < LOADED - WEEK
    assert (of.n, of.labelled, of.never) == (len(frame), known.sum(), (~known & blocked).sum())
    assert of.overdue == (~known & ~blocked & past).sum()
    assert of.waiting == (~known & ~blocked & ~past).sum()
    assert of.labelled + of.waiting + of.overdue + of.never == of.n
    day = (frame["ts"] - DAY_0) // pd.Timedelta(days=1)
    settled = (day >= 0) & (day < 13)
    assert (of.settled_days, of.settled_n) == (13, settled.sum())
    assert of.settled_labelled == (settled & known).sum()
    for flip in found.flips:
        cell = (frame["served_label"] == flip.primary) & (frame["candidate_label"] == flip.candidate)
        assert (flip.n, flip.labelled) == (cell.sum(), (cell & known).sum())
        assert flip.never == (cell & ~known & blocked).sum()
        assert flip.labelled + flip.waiting + flip.never == flip.n
    assert any(flip.never for flip in found.flips)


def test_intervals_use_only_days_whose_labels_have_had_their_time(
    tmp_path: Path, write_log: WriteLog, experiment: Experiment
) -> None:
    """Bad outcomes that are known late make the newest days look good: they must not enter."""
    frame = traffic(4000)
    old = frame["ts"] < LOADED - WEEK
    wrong = frame["served_label"] != "late"  # every label says late
    found = compared(write_log, tmp_path, experiment, frame, old | ~wrong)
    right = found.correctness
    assert right is not None and right.primary.days == right.difference.days == 13
    assert right.primary.high is not None
    assert right.primary.high < 1 - wrong.mean() + 0.1  # the newest days alone would say 1
    week = LabelSettings(deadline="14d")
    late = compared(write_log, tmp_path / "again", experiment, frame, old | ~wrong, week).correctness
    assert late is not None and (late.primary.days, late.primary.low, late.primary.high) == (6, None, None)
    assert late.primary.reason == (
        "no interval before 7 whole days whose labels have had their time, there are 6"
    )


def test_delays_are_what_numpy_computes(tmp_path: Path, write_log: WriteLog, experiment: Experiment) -> None:
    frame = traffic(1000)
    rng = np.random.default_rng(3)
    hours = rng.exponential(60, len(frame))
    hours[:5] = -2.0
    delay = frame["ts"] + pd.to_timedelta(hours, unit="h").round("s")
    known = rng.random(len(frame)) < 0.7
    of = coverage_of(
        compared(
            write_log, tmp_path, experiment, frame, known, delay=[when.to_pydatetime() for when in delay]
        )
    )
    seconds = (delay - frame["ts"]).dt.total_seconds()[known]
    positive = seconds[seconds >= 0]
    assert (of.delay_n, of.early) == (len(positive), (seconds < 0).sum())
    assert of.after_deadline == (seconds > 7 * 86_400).sum()
    expected = dict(
        zip(("p10", "p50", "p90", "p99"), np.quantile(positive, [0.1, 0.5, 0.9, 0.99]), strict=True)
    )
    assert of.delay_s == {name: pytest.approx(value, abs=1e-5) for name, value in expected.items()}


def test_a_labelled_part_unlike_the_rest_is_named(
    tmp_path: Path, write_log: WriteLog, experiment: Experiment
) -> None:
    frame = traffic(6000)
    rng = np.random.default_rng(4)
    west = frame["attributes.region"].eq("west")
    known = rng.random(len(frame)) < np.where(west, 0.3, 0.7)
    of = coverage_of(compared(write_log, tmp_path, experiment, frame, known))
    past = frame["ts"] < LOADED - WEEK
    assert of.tested_n == past.sum()
    worst = of.unlike[0]
    assert (worst.column, worst.value) == ("attributes.region", "west")
    assert (worst.n, worst.labelled) == ((west & past).sum(), (west & past & known).sum())
    assert worst.share == pytest.approx(known[west & past].mean())
    assert worst.rest_share == pytest.approx(known[~west & past].mean())
    assert {one.column for one in of.unlike} == {"attributes.region"}


def test_labels_that_depend_on_the_score_are_seen_by_its_range(
    tmp_path: Path, write_log: WriteLog, experiment: Experiment
) -> None:
    frame = traffic(6000)
    known = np.random.default_rng(5).random(len(frame)) < 0.8 - 0.5 * frame["served_score"]
    of = coverage_of(compared(write_log, tmp_path, experiment, frame, known))
    named = {one.value: one for one in of.unlike if one.column == "served.score"}
    edges = frame["served_score"][frame["ts"] < LOADED - WEEK].quantile([0.2, 0.8], interpolation="lower")
    assert f"below {edges[0.2]:.3g}" in named and f"{edges[0.8]:.3g} and above" in named


@pytest.mark.parametrize("by_day", [False, True])
def test_labels_that_come_at_random_give_no_warning(
    tmp_path: Path, write_log: WriteLog, experiment: Experiment, by_day: bool
) -> None:
    """Nor where the share that is labelled changes from day to day, and the traffic with it."""
    frame = traffic(6000)
    rng = np.random.default_rng(6)
    share = np.full(len(frame), 0.6)
    if by_day:
        later = (frame["ts"] > START + pd.Timedelta(days=6)).to_numpy()
        share[later] = 0.2
        frame.loc[later & (rng.random(len(frame)) < 0.5), "attributes.region"] = "west"
    of = coverage_of(compared(write_log, tmp_path, experiment, frame, rng.random(len(frame)) < share))
    assert of.tested_n > 3000 and of.tested_parts > 10
    assert of.unlike == []


def test_with_every_label_there_is_nothing_to_compare(
    tmp_path: Path, write_log: WriteLog, experiment: Experiment
) -> None:
    of = coverage_of(compared(write_log, tmp_path, experiment, traffic(500), np.ones(500, bool)))
    assert (of.tested_n, of.tested_parts, of.unlike, of.delay_n, of.delay_s) == (0, 0, [], 0, {})


def test_the_stratified_evidence_is_a_likelihood_ratio_of_fishers_law() -> None:
    """Against SciPy's noncentral hypergeometric distribution, whose odds ratio is e^tilt."""
    blocks = np.array([[1000, 300, 100, 45], [800, 240, 160, 66], [50, 50, 20, 20], [40, 10, 0, 0]])
    tilts = np.concatenate([-0.02 * 2.0 ** np.arange(8), 0.02 * 2.0 ** np.arange(8)])
    ratios = []
    for tilt in tilts:
        ratio = 1.0
        for n, n1, k, k1 in blocks:
            law = [nchypergeom_fisher(n, n1, k, odds).pmf(k1) for odds in (np.exp(tilt), 1.0)]
            ratio *= law[0] / law[1]
        ratios.append(ratio)
    assert stratum_log_e(*blocks.T) == pytest.approx(np.log(np.mean(ratios)), rel=1e-6)


def test_under_the_null_the_evidence_seldom_reaches_its_threshold() -> None:
    rng = np.random.default_rng(7)
    rates = np.array([0.1, 0.4, 0.5, 0.7, 0.9, 0.2])
    reached = 0
    for _ in range(2000):
        sizes = rng.integers(50, 300, len(rates))
        part = rng.binomial(sizes, 0.3)
        chosen_part, other = rng.binomial(part, rates), rng.binomial(sizes - part, rates)
        reached += stratum_log_e(sizes, part, chosen_part + other, chosen_part) >= np.log(20)
    assert reached / 2000 <= 0.05


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"cost": {"false_positive": 1}}, "false_negative"),
        ({"cost": {"false_positive": 0, "false_negative": 0}}, "must cost something"),
        ({"cost": {"false_positive": -1, "false_negative": 0}}, "false_positive"),
        ({"cost": {"false_positiv": 1, "false_negative": 0}}, "false_positive"),
        ({"never": {"label": ""}}, "name the primary's label"),
        ({"never": "blocked"}, "never"),
    ],
)
def test_wrong_settings_are_refused(table: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        from_mapping(LabelSettings, table, "labels")
