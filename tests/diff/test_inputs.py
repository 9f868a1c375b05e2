"""Is the log the traffic, and is the input the same: each figure against a count of its own on planted logs."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from gnomon_capture.errors import SettingsError, UsageError
from gnomon_capture.settings import from_mapping
from gnomon_diff import compare
from gnomon_diff.columns import pair_columns
from gnomon_diff.comparison import Comparison, from_json, to_json
from gnomon_diff.evidence import ks_radius, paired_ratio_bounds, ratio_grid, stratum_log_e
from gnomon_diff.evidence.quantile import buckets
from gnomon_diff.inputs import ReferenceFiles, with_sample
from gnomon_diff.questions import Questions
from gnomon_diff.reading import open_log
from gnomon_diff.reference import FIRST_DAY, reference_files
from gnomon_diff.settings import Critical, Policy, ReferenceSettings
from gnomon_diff.shifts import shifts_between, subjects_of
from gnomon_diff.sides import between
from gnomon_diff.views import connect
from gnomon_replay.pending import Pending
from gnomon_replay.settings import Experiment
from scipy import stats

from .conftest import DIGEST, Planted, WriteLog

POLICY = Policy(critical_errors=Critical())
FIRST = pd.Timestamp("2026-03-02T07:00:00", tz="UTC")  # a Monday, on the hour
N, DAYS = 12_000, 20
FEATURES = {"carrier": "string", "delay": "double", "origin": "string", "steady": "double"}


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """20 days. carrier MQ fails eight times as often; `origin` is empty under version 2 and `delay` moves on day 10."""
    rng = np.random.default_rng(3)
    seconds = np.sort(rng.uniform(0, DAYS * 86_400, N))
    seconds[0] = 0  # so that the window begins with it
    frame = pd.DataFrame({"request_id": [f"r{index:05d}" for index in range(N)]})
    frame["ts"] = FIRST + pd.to_timedelta(seconds.round(3), unit="s")
    frame["d"] = ((frame["ts"] - FIRST) // pd.Timedelta(days=1)).astype(int)
    frame["features.carrier"] = rng.choice(["AA", "B6", "MQ"], N, p=[0.6, 0.3, 0.1])
    frame["features.delay"] = (rng.normal(0, 10, N) + 8 * (frame["d"] >= 10)).astype(object)
    frame["features.steady"] = rng.normal(0, 1, N).astype(object)
    second = frame["d"] == 7
    frame["served_version"] = np.where(second, "2", "1")
    frame["features.origin"] = np.where(second & (rng.random(N) < 0.5), "unknown", "EWR")
    frame.loc[rng.random(N) < 0.02, "features.origin"] = None
    frame["served_score"] = rng.beta(2, 3, N)
    frame["candidate_score"] = np.clip(frame["served_score"] + rng.normal(0.03, 0.05, N), 0, 1)
    frame["served_label"] = np.where(frame["served_score"] > 0.5, "late", "on time")
    frame["candidate_label"] = np.where(frame["candidate_score"] > 0.5, "late", "on time")
    frame.loc[frame.index[:5], "candidate_label"] = "diverted"
    fails = rng.random(N) < np.where(frame["features.carrier"] == "MQ", 0.08, 0.01)
    frame["candidate_error"] = np.where(fails, "timeout", None)
    frame["candidate_message"] = np.where(fails, "unreproduced: 5 s", None)
    frame.loc[fails, ["candidate_label", "candidate_score"]] = None
    frame["candidate_version"] = "3.3"
    timed = rng.random(N) < 0.3
    for side, centre in (("primary", 9.0), ("candidate", 9.2)):
        times = pd.Series(rng.lognormal(centre, 0.4, N).astype(int), dtype="Int64")
        frame[f"{side}_latency_us"] = times.where(timed & ~fails)
    frame["served_latency_us"] = pd.Series(rng.lognormal(7, 0.5, N).astype(int), dtype="Int64")
    frame["origin_process"] = np.where(rng.random(N) < 0.5, "web-1", "web-2")
    frame["origin_seq"] = frame.groupby("origin_process").cumcount().astype("Int64")
    frame["source_partition"] = frame["origin_process"]
    frame["source_offset"] = frame["origin_seq"]
    return frame


@pytest.fixture(scope="module")
def folder(rows: pd.DataFrame, write_log: WriteLog, tmp_path_factory: pytest.TempPathFactory) -> Path:
    last = rows.groupby("origin_process")["origin_seq"].max()
    ledger = [
        {"process": name, "ts": datetime.datetime(2026, 4, 1, tzinfo=datetime.UTC), "upto_seq": int(last[name]),
         "mirrored": int(last[name]) + 1, "seen": int(last[name]) + 1 + dropped, "not_selected": 0,
         "dropped": [("full", dropped)], "closed": True}
        for name, dropped in (("web-1", 900), ("web-2", 100))
    ]  # fmt: skip
    at = tmp_path_factory.mktemp("inputs") / "trial"
    return write_log(at, rows.drop(columns="d"), features=FEATURES, ledger=ledger)


def run(folder: Path, experiment: Experiment, **more: object) -> Comparison:
    found = compare(
        folder, experiment, POLICY, pending=Pending(0, {}, frozenset()),
        now=datetime.datetime(2026, 5, 1, tzinfo=datetime.UTC), **more,  # type: ignore[arg-type]
    )  # fmt: skip
    assert from_json(to_json(found, None)).comparison == found
    return found


@pytest.fixture(scope="module")
def compared(folder: Path, experiment: Experiment) -> Comparison:
    return run(folder, experiment)


def test_the_segment_that_loses_most_is_named_with_its_counts(
    compared: Comparison, rows: pd.DataFrame
) -> None:
    assert compared.losses is not None and compared.losses.block == "hour"
    [loss] = [one for one in compared.losses.most if (one.by, one.value) == ("features.carrier", "MQ")]
    odd, failed = rows["features.carrier"] == "MQ", rows["candidate_error"].notna()
    assert (loss.stage, loss.n, loss.lost) == ("predicted", odd.sum(), (odd & failed).sum())
    assert loss.rest_frac == pytest.approx(failed[~odd].mean())
    assert loss.excess == pytest.approx(loss.lost - loss.n * failed[~odd].mean())
    assert loss.shown
    hour = (rows["ts"] - FIRST) // pd.Timedelta(hours=1)
    table = pd.DataFrame({"hour": hour, "odd": odd, "kept": ~failed, "both": odd & ~failed}).groupby("hour")
    log_e = stratum_log_e(table.size(), table["odd"].sum(), table["kept"].sum(), table["both"].sum())
    assert loss.log_e == pytest.approx(log_e, rel=1e-9)


def test_nothing_else_of_the_candidates_errors_is_shown(compared: Comparison) -> None:
    assert compared.losses is not None
    shown = {(one.stage, one.by, one.value) for one in compared.losses.most if one.shown}
    assert shown == {("predicted", "features.carrier", "MQ"), ("mirrored", "process", "web-1")}


def test_every_part_is_counted(compared: Comparison) -> None:
    """3 carriers, 2 origins and none, 2 labels, 2 sizes, 168 hours, 2 processes at one stage."""
    assert compared.losses is not None
    assert compared.losses.parts == 3 + 3 + 2 + 2 + 168 + 2


def test_hours_of_the_week_are_those_of_the_time_zone(
    folder: Path, experiment: Experiment, rows: pd.DataFrame, tmp_path: Path, write_log: WriteLog
) -> None:
    local = rows["ts"].dt.tz_convert(experiment.timezone)
    night = (local.dt.day_of_week == 2) & (local.dt.hour == 3)
    hit = rows.drop(columns="d").assign(candidate_error=np.where(night, "timeout", None))
    found = run(write_log(tmp_path / "log", hit, features=FEATURES), experiment).losses
    assert found is not None
    [loss] = [one for one in found.most if one.by == "hour of week" and one.shown]
    assert (loss.value, loss.n, loss.lost, loss.rest_frac) == ("Wed 03", night.sum(), night.sum(), 0.0)


def test_what_cannot_be_compared_is_said(planted: Planted, experiment: Experiment) -> None:
    found = compare(planted.folder, experiment, POLICY, candidate_digest=DIGEST, pending=planted.pending)
    assert found.losses is not None
    text = " ".join(found.losses.unknown)
    for what in (
        "dead letters",
        "missing records",
        "dropped at capture",
        "without a ledger",
        "without a number",
    ):
        assert what in text


def test_presence_is_what_pandas_counts(compared: Comparison, rows: pd.DataFrame) -> None:
    found = compared.presence
    assert found is not None
    assert (found.n, found.versions) == (N, ["1", "2"])
    assert found.day_n == rows.groupby("d").size().tolist()
    [origin] = [one for one in found.columns if one.column == "features.origin"]
    null, default = rows["features.origin"].isna(), rows["features.origin"] == "unknown"
    assert (origin.nulls, origin.defaults) == (null.sum(), default.sum())
    assert origin.day_nulls == null.groupby(rows["d"]).sum().tolist()
    assert origin.day_defaults == default.groupby(rows["d"]).sum().tolist()
    assert origin.version_defaults == default.groupby(rows["served_version"]).sum().tolist()
    assert origin.version_defaults[0] == 0 < origin.version_defaults[1]


def test_distances_of_a_column_are_those_of_scipy(compared: Comparison, rows: pd.DataFrame) -> None:
    """All rows fit into the sample, so that it is every row of the whole days."""
    [shift] = [one for one in compared.shifts if one.column == "features.delay"]
    then, now = (
        rows.loc[part, "features.delay"].astype(float)
        for part in (rows["d"] < 9, (rows["d"] >= 9) & (rows["d"] < 19))
    )
    assert (shift.sampled_then, shift.sampled_now) == (len(then), len(now))
    assert shift.ks == pytest.approx(stats.ks_2samp(then, now, method="asymp").statistic)
    assert shift.wasserstein == pytest.approx(stats.wasserstein_distance(then, now) / then.std(ddof=0))
    h = 1 / len(then) + 1 / len(now)
    assert shift.ks_chance == pytest.approx(1.358 * h**0.5)
    assert shift.psi_chance == pytest.approx(stats.chi2.ppf(0.95, 9) * h)
    assert shift.ks > 5 * shift.ks_chance


def test_the_sides_are_told_apart_by_the_feature_that_moved(compared: Comparison) -> None:
    found = compared.two_sample
    assert found is not None and found.auc is not None and found.low is not None
    assert (found.days_then, found.days_now) == (9, 10)
    assert found.low > 0.5
    assert found.telling[0].column == "features.delay"


def test_the_same_requests_are_held_against_each_other(compared: Comparison, rows: pd.DataFrame) -> None:
    score, label = compared.paired_shifts
    fine = rows[rows["candidate_error"].isna()]
    p, c = fine["served_score"].to_numpy(float), fine["candidate_score"].to_numpy(float)
    assert (score.n, score.sampled) == (len(fine), len(fine))
    assert score.ks == pytest.approx(stats.ks_2samp(p, c, method="asymp").statistic)
    assert score.wasserstein == pytest.approx(stats.wasserstein_distance(p, c))
    assert score.ks_high == pytest.approx(score.ks + 2 * ks_radius(len(fine), 0.025))
    edges = np.quantile(p, np.arange(1, 10) / 10, method="inverted_cdf")
    i, j = np.searchsorted(edges, p, side="left"), np.searchsorted(edges, c, side="left")
    r, k = (np.bincount(side, minlength=10) / len(fine) for side in (i, j))
    assert score.psi == pytest.approx(((k - r) * np.log(k / r)).sum())
    assert score.psi_excess is not None and score.psi_excess < score.psi
    assert (label.n, label.new_values, label.gone_values) == (len(fine), ["diverted"], [])


def test_every_quantile_of_latency_has_its_ratio_and_bounds(compared: Comparison) -> None:
    found = compared.latency
    assert found is not None
    times = np.array(found.pairs_us)
    assert len(times) == found.n
    growth = ratio_grid(1.5).growth
    for quantile in found.quantiles:
        p, c = (np.quantile(side, quantile.p, method="inverted_cdf") for side in times.T)
        assert quantile.ratio == pytest.approx(c / p)
        bounds = paired_ratio_bounds(
            buckets(times[:, 0], growth),
            buckets(times[:, 1], growth),
            growth=growth,
            p=quantile.p,
            alpha=0.025,
        )
        assert (quantile.ratio_low, quantile.ratio_high) == (bounds.low, bounds.high)
        if quantile.p < 0.99:
            assert bounds.low is not None and bounds.high is not None and bounds.low < c / p < bounds.high
    p95 = found.quantiles[2]
    assert (p95.ratio, p95.ratio_low, p95.ratio_high) == (found.ratio_p95, found.ratio_low, found.ratio_high)


def test_served_latency_stands_apart(compared: Comparison, rows: pd.DataFrame) -> None:
    assert compared.latency is not None
    waited = rows["served_latency_us"].astype(int)
    assert compared.latency.served_us == {
        f"p{round(100 * p)}": np.quantile(waited, p, method="inverted_cdf") for p in (0.5, 0.9, 0.95, 0.99)
    }


def test_errors_come_with_three_requests(compared: Comparison, rows: pd.DataFrame) -> None:
    [error] = compared.errors
    ids = {one.request_id for one in error.examples}
    assert len(ids) == 3
    assert ids <= set(rows.loc[rows["candidate_error"].notna(), "request_id"])
    assert {one.message for one in error.examples} == {"unreproduced: 5 s"}


def test_a_window_is_held_against_another(folder: Path, rows: pd.DataFrame) -> None:
    log = open_log(folder)
    with connect(log) as connection:
        questions = Questions(connection, folder)
        middle = (FIRST + pd.Timedelta(days=10)).isoformat()
        sides = between(
            f"(FROM pairs WHERE ts < '{middle}'::TIMESTAMPTZ)",
            f"(FROM pairs WHERE ts >= '{middle}'::TIMESTAMPTZ)",
        )
        columns = pair_columns(log.pairs.schema, log.rule)
        moved = shifts_between(questions, subjects_of(columns), sides)
        shifts, told = with_sample(questions, columns, sides, moved)
    [shift] = [one for one in shifts if one.column == "features.delay"]
    assert (shift.n_then, shift.n_now) == ((rows["d"] < 10).sum(), (rows["d"] >= 10).sum())
    assert shift.psi_low is not None and shift.psi_low > 0.1
    assert told is not None and told.low is not None and told.low > 0.6


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(8)
    n = 5000
    table = pa.table(
        {
            "Carrier": rng.choice(["AA", "B6", "OO"], n, p=[0.6, 0.3, 0.1]),
            "delay": rng.normal(0, 10, n),
            "steady": [f"about {value:.1f}" for value in rng.normal(0, 1, n)],
            "target": rng.random(n) < 0.2,
        }
    )
    file = tmp_path_factory.mktemp("reference") / "it's [1] train.parquet"
    pq.write_table(table, file)
    return file


def test_the_traffic_is_held_against_training_data(
    folder: Path, experiment: Experiment, training: Path, rows: pd.DataFrame
) -> None:
    files = reference_files(training.name, training.parent)
    found = run(folder, experiment, reference=ReferenceFiles(training.name, tuple(files))).reference
    assert found is not None
    assert (found.name, found.n_reference, found.n_traffic) == (training.name, 5000, N)
    assert (found.only_traffic, found.only_reference, found.unreadable) == (
        ["features.origin"],
        ["target"],
        ["features.steady"],
    )
    carrier, delay = found.shifts
    assert (carrier.new_values, carrier.gone_values) == (["MQ"], ["OO"])
    then = pq.read_table(training)["delay"].to_numpy()
    assert delay.ks == pytest.approx(
        stats.ks_2samp(then, rows["features.delay"].astype(float), method="asymp").statistic
    )
    assert found.two_sample is not None and found.two_sample.low is not None and found.two_sample.low > 0.5
    assert {one.column for one in found.two_sample.telling} == {"features.carrier", "features.delay"}


def test_the_first_day_is_a_reference(folder: Path, experiment: Experiment, rows: pd.DataFrame) -> None:
    files = reference_files(FIRST_DAY, Path())
    found = run(folder, experiment, reference=ReferenceFiles(FIRST_DAY, tuple(files))).reference
    assert found is not None
    assert (found.n_reference, found.n_traffic) == (
        (rows["d"] == 0).sum(),
        ((rows["d"] > 0) & (rows["d"] < 19)).sum(),
    )


@pytest.mark.parametrize(
    ("name", "said"), [("none.parquet", "there is no reference at"), ("no.parquet", "not a Parquet")]
)
def test_a_reference_that_is_none_is_refused(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "no.parquet").write_text("a,b\n1,2\n")
    with pytest.raises(UsageError, match=said):
        reference_files(name, tmp_path)


def test_a_reference_without_any_feature_is_refused(
    folder: Path, experiment: Experiment, tmp_path: Path
) -> None:
    pq.write_table(pa.table({"other": [1]}), tmp_path / "other.parquet")
    files = reference_files("*.parquet", tmp_path)
    with pytest.raises(UsageError, match="none of the traffic's features"):
        run(folder, experiment, reference=ReferenceFiles("*.parquet", tuple(files)))


def test_the_gate_need_not_pay_for_it(folder: Path, experiment: Experiment, compared: Comparison) -> None:
    found = run(folder, experiment, inputs=False)
    assert (found.losses, found.presence, found.two_sample, found.paired_shifts) == (None, None, None, [])
    assert found.disagreement == compared.disagreement


def test_a_reference_is_named_in_the_configuration() -> None:
    assert from_mapping(ReferenceSettings, {"from": "train.parquet"}, "reference").address == "train.parquet"
    with pytest.raises(SettingsError, match="did you mean `from`"):
        from_mapping(ReferenceSettings, {"form": "train.parquet"}, "reference")
