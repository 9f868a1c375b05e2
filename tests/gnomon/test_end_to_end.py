"""The main job on three weeks of real flights, by the command line alone, through a folder and through Kafka.

Every count and rate is compared with what pandas and scikit-learn give for the same flights.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops.io
from gnomon.demo import FEATURES, experiment, flights
from sklearn.metrics import accuracy_score, log_loss

DAYS = 21


def gnomon(*arguments: str, status: tuple[int, ...] = (0,)) -> subprocess.CompletedProcess[str]:
    """Runs the command line as a user would."""
    done = subprocess.run(
        [sys.executable, "-m", "gnomon.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=240,
        env=os.environ | {"GNOMON_DEBUG": "1"},
    )
    assert done.returncode in status, done.stderr
    return done


def rows(config: Path, query: str) -> list[dict]:
    return json.loads(gnomon("sql", "--config", str(config), "--format", "json", query).stdout)


def model(file: Path):
    return skops.io.load(file, trusted=skops.io.get_untrusted_types(file=file))


@pytest.fixture(scope="module")
def departures() -> pd.DataFrame:
    return experiment.first_days(flights.traffic(), DAYS)


@pytest.fixture(scope="module")
def truth(departures, demo_models) -> pd.DataFrame:
    """The flights with both models' answers, computed here."""
    known = departures.copy()
    for name in ("primary", "candidate"):
        scores = model(demo_models / f"{name}.skops").predict_proba(known[list(FEATURES)])
        classes = list(model(demo_models / f"{name}.skops").classes_)
        known[f"{name}_score"] = scores[:, classes.index("late")]
        known[name] = np.array(classes)[scores.argmax(axis=1)]
    known["differ"] = known["primary"] != known["candidate"]
    return known


@pytest.fixture(scope="module", params=["spool", "kafka"])
def judged(request, tmp_path_factory, departures, demo_models):
    """Traffic, replay, labels and report of those flights; the folder and what each step printed."""
    folder = tmp_path_factory.mktemp("shadow") / "demo"
    address = "spool:traffic"
    if request.param == "kafka":
        topic = request.getfixturevalue("module_topic")
        address = f"kafka://{request.getfixturevalue('bootstrap')}/{topic}"
    config = experiment.prepare(folder, "good", address)
    config.write_text(config.read_text().replace("latency_min = 3000", "latency_min = 300"))
    for file in demo_models.iterdir():
        folder.joinpath(file.name).write_bytes(file.read_bytes())
    to = address if request.param == "kafka" else f"spool:{folder / 'traffic'}"
    experiment.serve(departures, experiment.load_primary(folder), to, lambda done: None)
    replayed = json.loads(gnomon("replay", "--config", str(config), "--json").stdout)
    gnomon("labels", "--config", str(config), str(experiment.write_labels(departures, folder)))
    page = Path(gnomon("report", "--config", str(config)).stdout.strip())
    comparison = json.loads(page.with_name("comparison.json").read_text())["comparison"]
    return config, replayed, page, comparison


def test_every_flight_is_one_pair_and_the_accounts_show_it(judged, departures):
    config, replayed, _, comparison = judged
    assert replayed["pairs"] == len(departures)
    logged = rows(config, "select request_id, count(*) n from pairs group by 1")
    assert {row["request_id"] for row in logged} == set(departures["flight_id"])
    assert {row["n"] for row in logged} == {1}
    accounts = comparison["accounts"]
    expected = {"seen": len(departures), "mirrored": len(departures), "paired": len(departures), "pending": 0}
    assert {name: accounts[name] for name in expected} == expected
    assert (accounts["missing"], accounts["duplicates"], accounts["dead_letters"]) == (0, 0, {})
    assert [line["balanced"] for line in accounts["balances"]] == [True] * len(accounts["balances"])


def test_the_features_arrive_as_they_were_served(judged, departures):
    config, *_ = judged
    columns = ", ".join(FEATURES)
    logged = pd.DataFrame(rows(config, f"select request_id, key, ts, {columns} from pairs")).set_index(
        "request_id"
    )
    served = departures.set_index("flight_id").loc[logged.index]
    pd.testing.assert_frame_equal(
        logged[list(FEATURES)], served[list(FEATURES)], check_names=False, check_dtype=False
    )
    assert (logged["key"] == served["tailnum"]).all()
    assert (pd.to_datetime(logged["ts"], utc=True) == served["departed_at"]).all()


def test_both_models_answers_are_those_that_the_models_give(judged, truth):
    config, *_ = judged
    logged = pd.DataFrame(
        rows(
            config,
            "select request_id, served_label, served_score, candidate_label, candidate_score from pairs",
        )
    ).set_index("request_id")
    known = truth.set_index("flight_id").loc[logged.index]
    assert (logged["served_label"] == known["primary"]).all()
    assert (logged["candidate_label"] == known["candidate"]).all()
    np.testing.assert_allclose(logged["served_score"], known["primary_score"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(logged["candidate_score"], known["candidate_score"], rtol=0, atol=1e-9)


def test_disagreement_is_what_pandas_counts_overall_and_by_carrier(judged, truth):
    _, _, _, comparison = judged
    found = comparison["disagreement"]
    assert (found["n"], found["flips"]) == (len(truth), int(truth["differ"].sum()))
    assert found["rate"] == pytest.approx(truth["differ"].mean(), abs=1e-12)
    by_carrier = truth.groupby("carrier")["differ"].agg(["size", "sum"])
    segments = {
        part["key"]["value"]: (part["n"], part["flips"])
        for part in comparison["segments"]
        if part["key"]["feature"] == "features.carrier"
    }
    assert segments == {carrier: (row["size"], row["sum"]) for carrier, row in by_carrier.iterrows()}
    cells = truth.groupby(["primary", "candidate"]).size().to_dict()
    assert {(cell["primary"], cell["candidate"]): cell["n"] for cell in comparison["flips"]} == cells


def test_the_noise_sample_is_measured_on_about_a_twentieth_and_finds_models_that_repeat_themselves(
    judged, truth
):
    config, _, _, comparison = judged
    found = comparison["disagreement"]
    n = len(truth)
    assert abs(found["noise_n"] - 0.05 * n) < 4 * np.sqrt(0.05 * 0.95 * n)
    [row] = rows(
        config,
        "select count(*) filter (primary_label is not null and primary_again_label is not null) sample, "
        "count(*) filter (primary_label <> primary_again_label or candidate_label <> candidate_again_label) unlike "
        "from pairs",
    )
    assert row == {"sample": found["noise_n"], "unlike": 0}
    assert (found["noise"], found["skew"]) == (0, 0)


def test_the_days_are_24_hours_from_the_first_full_hour(judged, truth):
    _, _, _, comparison = judged
    begin = truth["departed_at"].min().ceil("h")
    day = ((truth["departed_at"] - begin) // pd.Timedelta(days=1)).rename("day")
    inside = truth[(truth["departed_at"] >= begin) & (day < DAYS)]
    expected = inside.groupby(day)["differ"].agg(["size", "sum"])
    found = [
        (row["pairs"], row["flags"]) for row in comparison["days"] if row["segment"] is None and row["whole"]
    ]
    assert found == [(row["size"], row["sum"]) for _, row in expected.iterrows()]


def test_who_is_right_is_what_scikit_learn_says(judged, truth):
    _, _, _, comparison = judged
    known = truth[truth["late"].notna()]
    found = comparison["correctness"]
    assert found["labelled"] == len(known)
    for side, name in (("primary", "primary"), ("candidate", "candidate")):
        assert found[side]["rate"] == pytest.approx(accuracy_score(known["late"], known[name]), abs=1e-12)
        loss = log_loss(known["late"] == "late", known[f"{name}_score"])
        assert found[f"log_loss_{side}"] == pytest.approx(loss, rel=1e-9)


def test_timed_requests_were_run_alone_on_both_sides(judged):
    config, replayed, _, comparison = judged
    [row] = rows(
        config,
        "select count(primary_latency_us) p, count(candidate_latency_us) c, "
        "count(*) filter (primary_latency_us is not null and primary_again_label is not null) twice from pairs",
    )
    assert replayed["timed"] == row["p"] == row["c"] == comparison["latency"]["n"] >= 300
    assert row["twice"] == 0


def test_a_second_replay_finds_nothing_to_do(judged, departures):
    config, *_ = judged
    assert json.loads(gnomon("replay", "--config", str(config), "--json").stdout)["pairs"] == 0
    assert rows(config, "select count(*) n from pairs") == [{"n": len(departures)}]


def test_three_weeks_show_the_good_candidate_within_the_limits_on_all_traffic(judged):
    config, *_ = judged
    verdict = json.loads(gnomon("gate", "--config", str(config), "--json", status=(0, 3)).stdout)
    assert verdict["look"] == DAYS
    whole = {row["name"]: row["state"] for row in verdict["criteria"] if row["segment"] is None}
    latency = whole.pop("latency_p95")  # how fast a shared machine is decides this one
    assert latency in ("pass", "open")
    assert whole == dict.fromkeys(("disagreement", "error_rate", "accuracy", "critical_errors"), "pass")


def test_the_report_is_one_file_with_the_verdict_on_top(judged):
    _, _, page, comparison = judged
    html = page.read_text()
    assert html.index("<h1") < html.index("<h2")
    assert "arrival-delay" in html
    assert comparison["subject"]["candidate_version"] == "3.3"
    assert len(html) < 1_600_000
