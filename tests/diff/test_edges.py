"""Logs at the edges: whatever is missing is said to be missing, and nothing breaks."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from gnomon_capture.errors import UsageError
from gnomon_diff import compare
from gnomon_diff.compare import MOST_FLIPS
from gnomon_diff.comparison import Comparison, SegmentKey, from_json, to_json
from gnomon_diff.settings import Critical, Policy, Segments
from gnomon_replay.errors import LogError
from gnomon_replay.pending import Pending
from gnomon_replay.settings import Experiment

from .conftest import START, WriteLog
from .test_views import HOSTILE

Compare = Callable[..., Comparison]
POLICY = Policy(critical_errors=Critical())
NO_FLOOR = "no noise floor: no request was answered twice by both models"


@pytest.fixture
def compared(tmp_path: Path, write_log: WriteLog, experiment: Experiment, now: datetime.datetime) -> Compare:
    """Compares a log of these rows; the comparison survives its JSON."""

    def run(
        rows: pd.DataFrame | None,
        *,
        features: dict[str, str] | None = None,
        policy: Policy = POLICY,
        labels: list[dict[str, Any]] | None = None,
        **more: Any,
    ) -> Comparison:
        folder = write_log(tmp_path / "log", rows, features=features or {}, labels=labels)
        found = compare(folder, experiment, policy, now=now, **more)
        assert from_json(to_json(found, None)).comparison == found
        return found

    return run


def requests(n: int, *, hours: float = 1.0, **columns: Any) -> pd.DataFrame:
    frame = pd.DataFrame({"request_id": [f"r{index:05d}" for index in range(n)]})
    frame["ts"] = START + pd.to_timedelta(np.arange(n) * hours, unit="h")
    return frame.assign(
        **{
            "served_label": "on time",
            "served_score": 0.25,
            "candidate_label": "on time",
            "candidate_score": 0.25,
        }
        | {"candidate_version": "3.3"}
        | columns
    )


def test_an_empty_log_says_so_everywhere(compared: Compare) -> None:
    found = compared(None, candidate_version="3.3", candidate_digest="sha256:new")
    assert (found.subject.candidate_version, found.subject.candidate_digest) == ("3.3", "sha256:new")
    assert (found.subject.log_version, found.subject.first_ts) == (None, None)
    assert (found.accounts.rows, found.accounts.paired, found.coverage.frac) == (0, 0, None)
    assert (found.disagreement.n, found.disagreement.rate, found.disagreement.days) == (0, None, 0)
    assert found.disagreement.reason == "no request has an answer on both sides"
    assert (found.flips, found.segments, found.days, found.cutoffs, found.shifts, found.errors) == ([],) * 6
    assert (found.scores, found.latency, found.correctness, found.examples) == (None, None, None, [])
    assert sum(map(sum, found.coverage.hours_of_week)) == 0


def test_an_empty_log_with_no_candidate_named_has_none(compared: Compare) -> None:
    assert compared(None).subject.candidate_digest == ""


def test_a_table_without_rows_is_an_empty_log(compared: Compare) -> None:
    assert compared(requests(1).head(0)).accounts.rows == 0


def test_a_candidate_that_was_never_replayed_has_no_figures(compared: Compare) -> None:
    found = compared(requests(3), candidate_digest="sha256:unknown")
    assert (found.accounts.rows, found.disagreement.n, found.days) == (0, 0, [])


def test_one_pair(compared: Compare) -> None:
    found = compared(requests(1, candidate_label="late", candidate_score=0.75))
    assert (found.disagreement.n, found.disagreement.flips, found.disagreement.rate) == (1, 1, 1.0)
    assert (found.disagreement.low, found.disagreement.high) == (None, None)
    assert found.disagreement.reason == "no interval before 7 whole days, there are 0; " + NO_FLOOR
    assert found.days == []  # the only hour is not a full one
    assert found.scores is not None
    assert (found.scores.n, found.scores.mean, found.scores.quantiles["p50"]) == (1, 0.5, 0.5)
    assert [example.stratum for example in found.examples] == ["on time → late"]
    assert found.shifts == []


def test_all_equal(compared: Compare) -> None:
    found = compared(requests(24 * 16), pending=Pending(0, {}, frozenset()))
    assert (found.disagreement.n, found.disagreement.flips, found.disagreement.days) == (384, 0, 15)
    assert found.disagreement.high is not None
    assert found.disagreement.low is None
    assert found.disagreement.reason == f"15 whole days do not bound it from below yet; {NO_FLOOR}"
    assert (found.disagreement.excess, found.disagreement.noise) == (None, None)
    assert [(flip.primary, flip.n) for flip in found.flips] == [("on time", 384)]
    assert found.scores is not None
    assert (found.scores.mean, found.scores.mean_abs, found.scores.psi) == (0.0, 0.0, 0.0)
    assert found.examples == []
    [score] = [shift for shift in found.shifts if shift.column == "served.score"]
    assert (score.psi, score.js, score.then, score.now) == (0.0, 0.0, [168, 0], [192, 0])


def test_all_different(compared: Compare) -> None:
    found = compared(requests(24 * 9, candidate_label="late"))
    assert found.disagreement.rate == 1.0
    assert found.disagreement.low is not None


def test_all_errors(compared: Compare) -> None:
    rows = requests(
        50, candidate_label=None, candidate_score=None, candidate_error="timeout", candidate_message="60 s"
    )
    found = compared(rows)
    assert (found.accounts.paired, found.accounts.predicted, found.accounts.errors) == (
        50,
        0,
        {"timeout": 50},
    )
    assert (found.disagreement.n, found.disagreement.rate) == (0, None)
    assert found.disagreement.reason == "no request has an answer on both sides"
    assert (found.flips, found.scores, found.cutoffs) == ([], None, [])
    [error] = found.errors
    assert (error.side, error.n, error.critical, error.example) == ("candidate", 50, 50, "60 s")
    assert found.days[0].candidate_errors == found.days[0].critical_errors == 24


def test_no_labels_is_no_correctness_and_labels_of_others_are_none_here(compared: Compare) -> None:
    assert compared(requests(5)).correctness is None
    loaded = datetime.datetime(2026, 4, 1, tzinfo=datetime.UTC)
    others = [{"request_id": "somebody else", "label": "late", "loaded_at": loaded, "row": 0}]
    found = compared(None, labels=others).correctness
    assert found is not None
    assert (found.labelled, found.primary.rate, found.primary.reason) == (0, None, "no pair has a label")
    assert (found.last_load, found.log_loss_primary) == (loaded, None)


def test_a_failed_side_is_wrong_and_two_failed_sides_are_nothing(compared: Compare) -> None:
    rows = requests(4).assign(
        served_error=[None, "exception", "exception", None],
        candidate_error=["crash", None, "crash", None],
        served_label=["late", None, None, None],  # the last one did not answer
        candidate_label=[None, "late", None, "late"],
    )
    labels = [
        {"request_id": f"r{index:05d}", "label": "late", "loaded_at": START, "row": index}
        for index in range(4)
    ]
    found = compared(rows, labels=labels).correctness
    assert found is not None
    assert (found.labelled, found.only_primary, found.only_candidate, found.both, found.neither) == (
        2,
        1,
        1,
        0,
        0,
    )


def test_no_primary_model_is_no_noise_floor_and_no_fair_latency(compared: Compare) -> None:
    found = compared(requests(24 * 16, noise_frac=0.0, primary_digest=None, served_latency_us=900))
    assert (found.disagreement.noise_n, found.disagreement.noise, found.disagreement.skew) == (0, None, None)
    assert (found.disagreement.excess, found.disagreement.excess_high) == (None, None)
    assert found.disagreement.high is not None
    assert found.subject.primary_digests == []
    assert found.latency is not None
    assert (found.latency.n, found.latency.quantiles, found.latency.ratio_p95) == (0, [], None)
    assert (found.latency.reason, found.latency.served_p95_us) == (
        "no request was timed with both models",
        900,
    )


def test_where_nothing_else_is_lacking_the_floor_is(compared: Compare) -> None:
    rows = requests(24 * 16, candidate_label=["late", "on time"] * 192)
    assert compared(rows).disagreement.reason == NO_FLOOR


def test_no_served_answer_is_a_stand_in(compared: Compare) -> None:
    rows = requests(24, served_label=None, served_score=None, primary_label="late", primary_score=0.75)
    rows["primary_again_label"] = ["on time", *["late"] * 11, *[None] * 12]
    rows["candidate_again_label"] = [*["on time"] * 12, *[None] * 12]
    found = compared(rows)
    assert (found.disagreement.n, found.disagreement.flips) == (24, 24)
    assert (found.disagreement.noise_n, found.disagreement.noise) == (12, 0.5 / 12)
    assert found.disagreement.skew is None  # nobody saw what users got
    assert found.disagreement.excess == 1 - 0.5 / 12
    assert found.days[0].noise_sum == 0.0  # the one that differed came before the first full hour
    assert found.scores is not None
    assert found.scores.mean == -0.5


def test_features_of_hostile_names_and_values(compared: Compare) -> None:
    columns: dict[str, Any] = {f"features.{name}": ["x'\"; DROP", "{braces}", None] * 80 for name in HOSTILE}
    columns |= {f"attributes.{name}": "</script>" for name in HOSTILE[:13]}
    rows = requests(240, candidate_label=["late", "on time"] * 120, **columns)
    named = tuple(f"features.{name}" for name in HOSTILE[:20])
    found = compared(
        rows,
        features=dict.fromkeys(HOSTILE, "string"),
        policy=Policy(critical_errors=Critical(), segments=Segments(by=named)),
    )
    values = {(part.key.feature, part.key.value): part.n for part in found.segments}
    for name in HOSTILE:
        assert {values[f"features.{name}", value] for value in ("x'\"; DROP", "{braces}", None)} == {80}
        [shift] = [shift for shift in found.shifts if shift.column == f"features.{name}"]
        assert (shift.null_then, shift.bins) == (1 / 3, ["x'\"; DROP", "{braces}"])
    assert {part.key.feature for part in found.segments if part.judged} == set(named)
    assert set(found.examples[0].features) == set(HOSTILE)
    assert found.disagreement.flips == 120


def test_numbers_of_hostile_names(compared: Compare) -> None:
    columns: dict[str, Any] = {f"features.{name}": [1.0, 2.0, 3.0, None] * 60 for name in HOSTILE}
    found = compared(requests(240, **columns), features=dict.fromkeys(HOSTILE, "double"))
    for name in HOSTILE:
        [shift] = [shift for shift in found.shifts if shift.column == f"features.{name}"]
        assert (shift.null_now, shift.bins) == (0.25, ["≤ 1", "1 to 2", "2 to 3", "> 3"])


def test_a_feature_that_is_always_missing(compared: Compare) -> None:
    rows = requests(240, **{"features.gone": None, "attributes.gone": None})
    found = compared(rows, features={"gone": "string"})
    assert [(part.key, part.n, part.judged) for part in found.segments] == [
        (SegmentKey(feature="attributes.gone", kind="missing", value=None), 240, True),
        (SegmentKey(feature="features.gone", kind="missing", value=None), 240, False),
    ]
    assert found.segments[0].lift is None  # there is no other pair
    assert [shift.null_then for shift in found.shifts if shift.column == "features.gone"] == [1.0]


def test_a_number_is_a_segment_where_the_policy_says_so(compared: Compare) -> None:
    rows = requests(240, **{"features.hour": [7.0, 8.5, float("nan"), None] * 60, "features.big": 2**60})
    rows["features.hour"] = pd.Series([7.0, 8.5, float("nan"), None] * 60, dtype=object)
    policy = Policy(critical_errors=Critical(), segments=Segments(by=("features.hour", "features.big")))
    found = compared(rows, features={"hour": "double", "big": "int64"}, policy=policy)
    assert {(part.key.kind, part.key.value): part.n for part in found.segments} == {
        ("value", "7.0"): 60,
        ("value", "8.5"): 60,
        ("missing", None): 120,
        ("value", str(2**60)): 240,
    }


def test_without_a_policy_for_segments_attributes_are_judged(compared: Compare) -> None:
    rows = requests(
        120, **{"features.a": "x", "attributes.b": "y", "attributes.many": [f"v{i}" for i in range(120)]}
    )
    found = compared(rows, features={"a": "string"}, explain=False)  # else the frequent ones of many, too
    assert [(part.key.feature, part.judged) for part in found.segments] == [
        ("attributes.b", True),
        ("features.a", False),
    ]
    assert {day.segment.feature for day in found.days if day.segment} == {"attributes.b"}


def test_a_segment_that_the_traffic_does_not_have_is_refused_with_the_nearest(compared: Compare) -> None:
    policy = Policy(critical_errors=Critical(), segments=Segments(by=("features.carier",)))
    with pytest.raises(UsageError, match=r"features\.carier.*did you mean features\.carrier\?"):
        compared(requests(3, **{"features.carrier": "AA"}), features={"carrier": "string"}, policy=policy)


def test_a_segment_is_not_refused_before_there_is_traffic(compared: Compare) -> None:
    policy = Policy(critical_errors=Critical(), segments=Segments(by=("features.carier",)))
    assert compared(None, policy=policy).segments == []


def test_a_segment_with_too_many_values_is_refused(compared: Compare) -> None:
    policy = Policy(critical_errors=Critical(), segments=Segments(by=("features.id",)))
    rows = requests(1001, hours=0.1, **{"features.id": [f"v{index}" for index in range(1001)]})
    with pytest.raises(UsageError, match="1001 different values"):
        compared(rows, features={"id": "string"}, policy=policy)


def test_more_segments_than_one_question_asks_for(compared: Compare) -> None:
    names = [f"f{index:02d}" for index in range(19)]
    rows = requests(50, **{f"features.{name}": ["a", "b"] * 25 for name in names})
    found = compared(rows, features=dict.fromkeys(names, "string"))
    assert {(part.key.feature, part.key.value, part.n) for part in found.segments} == {
        (f"features.{name}", value, 25) for name in names for value in ("a", "b")
    }


def test_labels_without_end_fill_no_more_than_the_flip_matrix_holds(compared: Compare) -> None:
    rows = requests(1200, hours=0.1, candidate_label=[f"made up {index}" for index in range(1200)])
    found = compared(rows)
    assert len(found.flips) == MOST_FLIPS
    assert found.disagreement.n == 1200
    assert len(found.examples) == 50


def test_weights_of_any_size_are_summed(compared: Compare) -> None:
    rows = requests(25, weight=[1e-6, 1.0, 1e9, 1 / 3, 2.5] * 5)
    [day] = compared(rows).days
    assert day.pairs == pytest.approx(sum(rows["weight"][1:]), rel=1e-12)


def test_scores_that_are_no_probabilities_are_counted_apart(compared: Compare) -> None:
    rows = requests(6)
    rows["candidate_score"] = [0.0, 1.0, -0.1, 1.1, 1e300, None]
    rows["served_score"] = [0.0, 1.0, 0.5, 0.5, 0.5, float("-inf")]
    found = compared(rows).scores
    assert found is not None
    assert (found.n, found.out_of_range) == (2, 3)
    assert found.joint[0][0] == found.joint[49][49] == 1


def test_a_score_on_an_edge_lies_in_the_bin_above_it(compared: Compare) -> None:
    edges = np.arange(51) / 50
    scores = np.clip(np.concatenate([edges, np.nextafter(edges, -1), np.nextafter(edges, 2)]), 0, 1)
    found = compared(requests(len(scores), hours=0.1, served_score=scores, candidate_score=0.0)).scores
    assert found is not None
    assert found.primary.counts == np.histogram(scores, edges)[0].tolist()
    assert found.delta.counts == np.histogram(0.0 - scores, np.arange(-50, 51) / 50)[0].tolist()


def test_hours_of_the_week_follow_the_time_zone(compared: Compare) -> None:
    rows = requests(1)
    rows["ts"] = pd.Series([pd.Timestamp("2026-03-01T18:45:00", tz="UTC")], dtype="datetime64[us, UTC]")
    hours = compared(rows).coverage.hours_of_week
    assert (
        hours[0][0] == sum(map(sum, hours)) == 1
    )  # Sunday evening in UTC is Monday, a quarter past midnight


def test_a_day_is_whole_once_every_partition_with_something_pending_is_past_it(compared: Compare) -> None:
    rows = requests(24 * 4)
    rows["source_partition"] = np.where(np.arange(96) < 30, "slow", "fast")
    rows["source_offset"] = range(96)

    def whole(pending: Pending | None) -> int:
        return sum(day.whole for day in compared(None, pending=pending).days)

    compared(rows)
    assert whole(None) == 3
    assert whole(Pending(0, {}, frozenset())) == 3
    assert whole(Pending(5, {}, frozenset({"spool:trial/slow"}))) == 1
    assert whole(Pending(5, {}, frozenset({"spool:trial/slow", "spool:trial/fast"}))) == 1
    assert whole(Pending(5, {}, frozenset({"spool:trial/fast"}))) == 3
    assert whole(Pending(5, {}, frozenset({"spool:trial/never read"}))) == 0


def test_a_full_hour_is_a_start_of_its_own_and_a_day_ends_where_the_next_begins(compared: Compare) -> None:
    rows = requests(24 * 4 + 1)
    rows["ts"] = rows["ts"].dt.floor("h")
    found = compared(rows)
    assert [day.start for day in found.days] == rows["ts"][::24].tolist()
    assert [(day.pairs, day.whole) for day in found.days] == [(24, True)] * 4 + [(1, False)]
    assert {(shift.n_then, shift.n_now) for shift in found.shifts} == {(48, 48)}


def test_rows_of_a_later_schema_are_refused(compared: Compare) -> None:
    with pytest.raises(LogError, match=r"schema 99.*upgrade"):
        compared(requests(2, schema_version=99))


def test_examples_may_be_none(compared: Compare) -> None:
    assert compared(requests(5, candidate_label="late"), examples=0).examples == []


@pytest.mark.parametrize("stray", ["1970-01-02T00:00:00Z", "2099-01-01T00:00:00Z"])
def test_records_with_a_wrong_clock_neither_make_days_nor_end_them(compared: Compare, stray: str) -> None:
    rows = requests(24 * 60, hours=0.1)  # six days
    rows.loc[[0, 1], "ts"] = pd.Timestamp(stray)
    found = compared(rows)
    whole = [day for day in found.days if day.segment is None and day.whole]
    assert len(whole) == 5  # the sixth has not been read past its end
    assert {day.pairs for day in whole} == {240.0}
    assert found.disagreement.n == len(rows)  # counted all the same


def test_no_day_is_whole_before_it_is_over(compared: Compare, now: datetime.datetime) -> None:
    rows = requests(200)
    rows["ts"] = pd.Timestamp(now) + pd.to_timedelta(np.arange(200), unit="h")
    assert not any(day.whole for day in compared(rows).days)


def test_without_a_flip_the_bound_still_allows_a_few(compared: Compare) -> None:
    found = compared(requests(24 * 100, hours=0.1)).disagreement  # ten days
    assert (found.flips, found.rate) == (0, 0.0)
    assert found.high is not None
    assert found.high >= 3 / found.n  # the rule of three: what 0 of n leaves open
