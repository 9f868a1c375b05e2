"""Logs for the tests of diff: Delta tables written directly, by the contract's schemas, from pandas frames."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from gnomon_replay.pairs import (
    ANSWERS,
    DEAD_LETTERS,
    FEATURE_TYPES,
    LABELS,
    LEDGER,
    PARTITION_BY,
    TIMESTAMP,
    pairs_schema,
    struct_of,
)
from gnomon_replay.pending import Pending
from gnomon_replay.settings import Experiment

START = pd.Timestamp("2026-03-02T06:40:00", tz="UTC")  # a Monday; the first full hour is 07:00
DIGEST = "sha256:candidate"


@pytest.fixture(scope="session")
def experiment() -> Experiment:
    return Experiment(name="trial", task="binary", positive="late", timezone="Asia/Kolkata")


@pytest.fixture(scope="session")
def now() -> datetime.datetime:
    return datetime.datetime(2026, 5, 1, tzinfo=datetime.UTC)


WriteLog = Callable[..., Path]


@pytest.fixture(scope="session")
def write_log() -> WriteLog:
    """Writes a log.

    Args:
        folder: of the experiment.
        pairs: a flat frame: the contract's columns, `served_label`, …, `source_…`, `origin_…`, and features and
            attributes as `features.<name>` and `attributes.<name>`. What it leaves out is null, or a default.
            A struct whose fields are all null is null.
        features: type of each feature, as in the contract.
        commits: how many.
        labels, ledger, dead_letters: rows, as the contract's schemas have them.
    """
    return _write_log


def _write_log(
    folder: Path,
    pairs: pd.DataFrame | None = None,
    *,
    features: Mapping[str, str] = {},
    commits: int = 1,
    labels: Sequence[Mapping[str, Any]] | None = None,
    ledger: Sequence[Mapping[str, Any]] | None = None,
    dead_letters: Sequence[Mapping[str, Any]] | None = None,
) -> Path:
    if pairs is not None:
        table = _pairs_table(pairs, features)
        path = str(folder / "pairs")
        if not DeltaTable.is_deltatable(path):
            DeltaTable.create(path, table.schema, partition_by=PARTITION_BY["pairs"])
        step = max(1, -(-table.num_rows // commits))
        for at in range(0, table.num_rows, step):
            write_deltalake(path, table.slice(at, step), mode="append", schema_mode="merge")
    others = {
        "labels": (labels, LABELS),
        "ledger": (ledger, LEDGER),
        "dead_letters": (dead_letters, DEAD_LETTERS),
    }
    for name, (rows, schema) in others.items():
        if rows is not None:
            table = pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
            write_deltalake(str(folder / name), table, mode="append", partition_by=PARTITION_BY.get(name))
    return folder


_DEFAULTS = {
    "weight": 1.0,
    "candidate_digest": DIGEST,
    "primary_digest": "sha256:primary",
    "noise_frac": 0.1,
    "threads": 1,
    "duplicate": False,
    "replayed_at": pd.Timestamp("2026-04-30", tz="UTC"),
    "schema_version": 1,
    "source_name": "spool:trial",
    "source_partition": "web-1",
    "source_line": 0,
}


def _pairs_table(frame: pd.DataFrame, features: Mapping[str, str]) -> pa.Table:
    frame = frame.reset_index(drop=True).assign(
        **{name: value for name, value in _DEFAULTS.items() if name not in frame}
    )
    if "source_offset" not in frame:
        frame["source_offset"] = range(len(frame))
    attributes = [name.partition(".")[2] for name in frame if name.startswith("attributes.")]
    schema = pairs_schema(
        struct_of((name, FEATURE_TYPES[kind]) for name, kind in features.items()),
        struct_of((name, pa.string()) for name in attributes),
    )
    frame["day"] = frame["ts"].dt.tz_convert("UTC").dt.date
    columns = []
    for field in schema:
        if field.name in ANSWERS or field.name in ("source", "origin"):
            columns.append(_struct(frame, field.type, f"{field.name}_", nullable=True))
        elif field.name in ("features", "attributes"):
            columns.append(_struct(frame, field.type, f"{field.name}.", nullable=False))
        else:
            columns.append(_array(frame, field.name, field.type))
    return pa.table(columns, schema=schema)


def _struct(frame: pd.DataFrame, kind: pa.StructType, prefix: str, *, nullable: bool) -> pa.StructArray:
    arrays = [_array(frame, prefix + field.name, field.type) for field in kind]
    present = np.zeros(len(frame), bool)
    for array in arrays:
        present |= array.is_valid().to_numpy(zero_copy_only=False)
    return pa.StructArray.from_arrays(
        arrays, fields=list(kind), mask=pa.array(~present) if nullable else None
    )


def _array(frame: pd.DataFrame, name: str, kind: pa.DataType) -> pa.Array:
    if name not in frame:
        return pa.nulls(len(frame), kind)
    values = frame[name]
    if name.startswith("features.") and pa.types.is_floating(kind):
        # None is no value, NaN is one.
        return pa.array(values.to_numpy(dtype=object), kind, from_pandas=False)
    if kind == TIMESTAMP:
        return pa.array(values.dt.as_unit("us"), kind)
    if pa.types.is_integer(kind):
        return pa.array(values.astype("Int64"), kind)
    return pa.array(values.to_numpy(dtype=object), kind, from_pandas=True)


@dataclass(frozen=True)
class Planted:
    """A log with everything planted in it, and what was planted.

    Attributes:
        rows: every row of the log for the candidate.
        pairs: those that count: the first of each request.
        truth: the label of each request that has one.
        sent: the numbers that each process sent, by where they went.
    """

    folder: Path
    rows: pd.DataFrame
    pairs: pd.DataFrame
    truth: pd.Series[str]
    pending: Pending
    sent: dict[str, dict[str, set[int]]]
    ledgers: dict[str, dict[str, Any]]
    features: dict[str, str]


FEATURES = {
    "carrier": "string",
    "route": "string",  # with more values than a segment may have
    "delay": "double",
    "hour": "double",
    "constant": "double",
    "empty": "double",
    "big": "int64",
    "holiday": "bool",
}


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory, write_log: WriteLog) -> Planted:
    rng = np.random.default_rng(20260302)
    frame = _requests(rng, 24_000)
    frame, sent = _numbered(frame, rng)
    rows = _with_duplicates(frame, rng)
    others = _other_candidate(rows.head(500))
    ledgers = _ledgers(sent)
    truth = _truth(frame, rng)
    folder = write_log(
        tmp_path_factory.mktemp("log") / "trial",
        pd.concat([rows, others]).sort_values(["source_partition", "source_offset"]),
        features=FEATURES,
        commits=3,
        labels=_label_rows(truth),
        ledger=_ledger_rows(ledgers, sent),
        dead_letters=_dead_letter_rows(sent),
    )
    pending = Pending(
        records=sum(len(places["pending"]) for places in sent.values()) + 7,  # seven without a number
        seqs={process: sorted(places["pending"]) for process, places in sent.items() if places["pending"]},
        places=frozenset({"spool:trial/web-2"}),
    )
    first = rows.sort_values(["source_name", "source_partition", "source_offset", "source_line"])
    pairs = first[~first["duplicate"]].drop_duplicates("request_id")
    return Planted(folder, rows, pairs, truth, pending, sent, ledgers, FEATURES)


def _requests(rng: np.random.Generator, n: int) -> pd.DataFrame:
    """Requests over 17 days, one of them without traffic, with answers of every kind."""
    seconds = np.sort(rng.uniform(0, 17 * 86_400, n)).round(3)
    seconds = seconds[(seconds < 5.2 * 86_400) | (seconds > 7.5 * 86_400)]  # day 6 has none
    n = len(seconds)
    frame = pd.DataFrame({"request_id": [f"r{index:05d}" for index in rng.permutation(n)]})
    frame["ts"] = START + pd.to_timedelta(seconds, unit="s")
    frame["key"] = [f"k{index}" for index in rng.integers(0, 900, n)]
    frame["weight"] = rng.choice([1.0, 2.5, 1 / 0.3], n, p=[0.5, 0.3, 0.2])
    frame["features.carrier"] = rng.choice(["AA", "B6", "MQ", "", None], n, p=[0.45, 0.3, 0.2, 0.02, 0.03])
    frame["features.route"] = [f"route {index}" for index in rng.zipf(1.6, n) % 90]
    later = seconds > 9 * 86_400
    frame["features.carrier"] = frame["features.carrier"].mask(later & (rng.random(n) < 0.02), "new")
    frame["features.delay"] = np.round(rng.normal(5 + 3 * later, 12, n), 1).astype(object)
    frame.loc[rng.random(n) < 0.04, "features.delay"] = None
    frame.loc[rng.random(n) < 0.03, "features.delay"] = float("nan")
    frame.loc[rng.random(n) < 0.005, "features.delay"] = float("inf")
    frame.loc[rng.random(n) < 0.005, "features.delay"] = float("-inf")
    frame["features.hour"] = frame["ts"].dt.hour.astype(float).astype(object)
    frame["features.constant"] = pd.Series([1.5] * n, dtype=object)
    frame["features.empty"] = pd.Series([None] * n, dtype=object)
    frame["features.big"] = (2**60 + rng.integers(0, 9, n)).astype("int64")
    frame["features.holiday"] = (
        pd.Series(rng.random(n) < 0.1).astype(object).where(rng.random(n) > 0.05, None)
    )
    frame["attributes.region"] = rng.choice(["us-east", "us-west", "eu"], n, p=[0.7, 0.25, 0.05])
    frame["attributes.client"] = rng.choice(["ios", "web", None], n)

    odd = frame["features.carrier"].eq("MQ").to_numpy()
    score = rng.beta(1.2, 2.5, n).round(3)
    label = np.where(score >= 0.5, "late", "on time")

    def answered(side: str, scores: np.ndarray, labels: np.ndarray, there: np.ndarray) -> None:
        version = "3.3" if side.startswith("candidate") else "3.2"
        frame[f"{side}_version"] = pd.Series([version] * n, dtype=object).where(there, None)
        frame[f"{side}_label"] = pd.Series(labels, dtype=object).where(there, None)
        frame[f"{side}_score"] = pd.Series(scores).where(there)
        for field in ("error", "message"):
            frame[f"{side}_{field}"] = pd.Series([None] * n, dtype=object)
        frame[f"{side}_latency_us"] = pd.Series([None] * n, dtype="Int64")

    def flipped(labels: np.ndarray, share: np.ndarray | float) -> np.ndarray:
        other = np.where(labels == "late", "on time", "late")
        return np.where(rng.random(n) < share, other, labels)

    moved = np.clip(score + rng.normal(0.01, 0.05, n) + 0.3 * odd, -0.02, 1.03).round(4)
    theirs = np.where(moved >= 0.5, "late", "on time")
    everywhere = np.ones(n, bool)
    sampled = rng.random(n) < 0.1
    timed = ~sampled & (rng.random(n) < 0.03)
    unseen = rng.random(n) < 0.05
    answered("served", score, flipped(label, 0.01), ~unseen)
    answered("primary", score, flipped(label, 0.02), sampled | timed | unseen)
    answered("primary_again", score, flipped(label, 0.02), sampled)
    answered("candidate", moved, theirs, everywhere)
    answered("candidate_again", moved, flipped(theirs, 0.015), sampled)
    frame["served_latency_us"] = pd.Series(rng.lognormal(7, 0.5, n).astype(int), dtype="Int64").mask(unseen)
    for side, shift in (("primary", 9.0), ("candidate", 9.2)):
        timing = pd.Series(rng.lognormal(shift, 0.4, n).astype(int), dtype="Int64")
        frame[f"{side}_latency_us"] = timing.where(timed)

    def failed(side: str, where: np.ndarray, kind: str, message: str) -> None:
        frame.loc[where, [f"{side}_label", f"{side}_score"]] = None
        frame.loc[where, [f"{side}_error", f"{side}_message"]] = [kind, message]

    failed("candidate", rng.random(n) < 0.010, "exception", "ValueError: bad carrier")
    failed("candidate", rng.random(n) < 0.004, "nan_output", "score is NaN")
    failed("candidate", rng.random(n) < 0.003, "timeout", "unreproduced: 60 s")
    failed("candidate", rng.random(n) < 0.002, "crash", "signal 11")
    failed("served", ~unseen & (rng.random(n) < 0.008), "exception", "upstream said 503")
    failed("primary", unseen & (rng.random(n) < 0.02), "exception", "KeyError")
    failed("primary_again", sampled & (rng.random(n) < 0.02), "exception", "KeyError")
    frame.loc[~unseen & (rng.random(n) < 0.004), "served_label"] = None  # a score, but no answer
    frame.loc[rng.random(n) < 0.003, "candidate_label"] = None
    frame.loc[~unseen & (rng.random(n) < 0.003), "served_score"] = float("inf")
    frame["noise_frac"] = np.where(frame["ts"] < START + pd.Timedelta(days=4), 0.1, 0.12)
    return frame


def _numbered(
    frame: pd.DataFrame, rng: np.random.Generator
) -> tuple[pd.DataFrame, dict[str, dict[str, set[int]]]]:
    """Gives the requests to three processes that number them and one that does not; loses some on the way."""
    n = len(frame)
    process = rng.choice(["web-1", "web-2", "web-3", "old"], n, p=[0.5, 0.3, 0.15, 0.05])
    frame["source_partition"] = process
    frame["origin_process"] = pd.Series(process, dtype=object).where(process != "old", None)
    number = frame.groupby("source_partition").cumcount()
    frame["origin_seq"] = number.where(process != "old").astype("Int64")
    frame["source_offset"] = number
    sent: dict[str, dict[str, set[int]]] = {}
    fate = rng.choice(["pairs", "dead", "removed", "missing"], n, p=[0.985, 0.005, 0.005, 0.005])
    kept = np.ones(n, bool)
    for name in ("web-1", "web-2", "web-3"):
        mine = process == name
        numbers = number[mine]
        places = {
            where: set(numbers[fate[mine] == where].tolist())
            for where in ("pairs", "dead", "removed", "missing")
        }
        last = int(numbers.max())
        first = min(places["pairs"] | places["dead"] | places["removed"])
        places["missing"] = {seq for seq in places["missing"] if name != "web-3" or first < seq}
        places["pending"] = {last + 1, last + 2, last + 4} if name == "web-2" else set()
        kept &= ~mine | (fate == "pairs")
        sent[name] = places
    return frame[kept | (process == "old")].reset_index(drop=True), sent


def _with_duplicates(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Adds duplicates: some that the flag caught, some in another partition, which it cannot see."""
    copies = frame.sample(300, random_state=1)
    caught = copies.head(200).assign(duplicate=True, candidate_label="nonsense", source_line=1)
    missed = copies.tail(100).assign(
        source_partition="zz", source_offset=range(100), candidate_label="nonsense", origin_process=None
    )
    missed["origin_seq"] = pd.array([None] * len(missed), dtype="Int64")
    rows = pd.concat([frame, caught, missed], ignore_index=True)
    rows["duplicate"] = rows["duplicate"].fillna(False).astype(bool)
    rows["source_line"] = rows["source_line"].fillna(0).astype(int)
    return rows.assign(
        candidate_digest=DIGEST, source_name="spool:trial", replayed_at=pd.Timestamp("2026-04-30", tz="UTC")
    )


def _other_candidate(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(
        candidate_digest="sha256:older",
        candidate_version="3.1",
        candidate_label="late",
        replayed_at=pd.Timestamp("2026-04-01", tz="UTC"),
    )


def _ledgers(sent: Mapping[str, Mapping[str, set[int]]]) -> dict[str, dict[str, Any]]:
    """The last ledgers: web-1 closed; web-2 went on after it and never closed; web-3 wrote none."""
    last = {
        name: max(set().union(*(places[where] for where in ("pairs", "dead", "removed", "missing"))))
        for name, places in sent.items()
    }
    upto = {"web-1": last["web-1"], "web-2": last["web-2"] - 40}
    return {
        name: {
            "process": name,
            "upto_seq": seq,
            "mirrored": seq + 1,
            "not_selected": 500,
            "dropped": {"buffer_full": 30, "closing": 4} if name == "web-1" else {"buffer_full": 1},
            "seen": seq + 1 + 500 + (34 if name == "web-1" else 1),
            "closed": name == "web-1",
        }
        for name, seq in upto.items()
    }


def _ledger_rows(ledgers: Mapping[str, dict[str, Any]], sent: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for name, last in ledgers.items():
        source = {"name": "spool:trial", "partition": name, "line": 0}
        early = {
            **last,
            "upto_seq": 9,
            "mirrored": 10,
            "not_selected": 0,
            "dropped": {},
            "seen": 10,
            "closed": False,
        }
        for offset, row in (
            (10, early),
            (900_000, last),
            (900_000, last),
        ):  # the last one twice, after a crash
            rows.append(
                {
                    **row,
                    "dropped": list(row["dropped"].items()),
                    "source": {**source, "offset": offset},
                    "ts": datetime.datetime(2026, 4, 1, tzinfo=datetime.UTC),
                    "schema_version": 1,
                }
            )
    for name, places in sent.items():
        rows += [
            {"process": name, "removed": {"from_seq": seq, "to_seq": seq}, "schema_version": 1}
            for seq in sorted(places["removed"])
        ]
    return rows


def _dead_letter_rows(sent: Mapping[str, Mapping[str, set[int]]]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for name, places in sent.items():
        for place, seq in enumerate(sorted(places["dead"])):
            row = {
                "source": {"name": "spool:trial", "partition": name, "offset": seq, "line": 0},
                "origin": {"process": name, "seq": seq},
                "reason": "wrong_type" if place % 3 else "feature_type",
                "detail": "Expected `float`, got `str`",
                "bytes": b"{}",
                "day": datetime.date(2026, 4, 1),
                "read_at": datetime.datetime(2026, 4, 1, tzinfo=datetime.UTC),
                "schema_version": 1,
            }
            rows += [row] * (2 if place % 4 == 0 else 1)  # written again after a crash
    rows.append(
        {
            **rows[0],
            "source": {"name": "spool:trial", "partition": "web-1", "offset": 10**6, "line": 0},
            "origin": None,
            "reason": "malformed",
        }
    )
    return rows


def _truth(frame: pd.DataFrame, rng: np.random.Generator) -> pd.Series[str]:
    """Labels for four requests in five, and for one that nobody asked."""
    score = frame["candidate_score"].fillna(0.4).clip(0, 1)
    late = rng.random(len(frame)) < score
    labels = pd.Series(np.where(late, "late", "on time"), index=frame["request_id"])
    labels = labels[rng.random(len(labels)) < 0.8]
    labels["nobody"] = "late"
    return labels


def _label_rows(truth: pd.Series[str]) -> list[dict[str, Any]]:
    """Every label, some of them wrong at first: corrected in the same file, or in a later one."""
    loads = [datetime.datetime(2026, 4, day, tzinfo=datetime.UTC) for day in (10, 20)]
    wrong = {"late": "on time", "on time": "late"}
    rows: list[dict[str, Any]] = []
    for place, (request, label) in enumerate(truth.items()):
        versions = [(loads[0], place, label)]
        if place % 10 == 0:
            versions = [(loads[0], place, wrong[label]), (loads[0], place + 10**6, label)]
        elif place % 10 == 1:
            versions = [(loads[1], 0, label), (loads[0], place, wrong[label])]
        rows += [
            {"request_id": request, "label": text, "loaded_at": loaded, "row": row, "schema_version": 1}
            for loaded, row, text in versions
        ]
    return rows
