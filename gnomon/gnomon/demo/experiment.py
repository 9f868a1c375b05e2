"""The demo's experiment: its folder, its configuration, and half a year of flights as traffic."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from gnomon_capture import Mirror
from gnomon_capture.errors import TrafficError, UsageError
from gnomon_capture.stats import MirrorStats

from gnomon.demo.flights import FEATURES, LATE, ON_TIME

MARKER = ".gnomon-demo"
MICRO_BATCH = 500
"""Flights the caller scores at once; one at a time would take many minutes."""
MOST_WAITING = 20_000
CUTOFF = 0.5

CONFIG = """\
# The demo's experiment; `gnomon replay`, `report`, `gate` and `sql` read it by --config.
[experiment]
name     = "arrival-delay"
task     = "binary"
positive = "late"
log      = "shadow"
timezone = "America/New_York"

[traffic]
from = "{traffic}"

[primary]
version = "3.2"
model   = "primary.skops"

[[candidate]]
version = "{version}"
model   = "{model}"

[replay]
latency_min = 3000                                # requests run alone and timed: the p95 of a busy machine needs them

[gate]                                            # gnomon's defaults, written out
disagreement.max_excess      = 0.05               # above the noise floor
error_rate                   = {{ max_increase_rel = 0.05, max_increase_abs = 0.001 }}
latency_p95.max_increase_rel = 0.50
accuracy.max_decrease_rel    = 0.10
critical_errors.max          = 0

[gate.segments]
by = ["features.carrier"]
"""

CANDIDATES = {"good": ("3.3", "candidate.skops"), "broken": ("3.3-broken", "broken:predict")}


def prepare(folder: Path, candidate: str, traffic: str) -> Path:
    """Makes the demo's folder anew, with its configuration; returns that file's path.

    Raises:
        UsageError: the folder is there, and is not a demo's.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / MARKER).exists():
        raise UsageError(f"{folder} is not empty and not a demo's; name another by --folder")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / MARKER).write_text("Made by `gnomon demo`, which empties this folder when it runs again.\n")
    version, model = CANDIDATES[candidate]
    config = folder / "gnomon.toml"
    config.write_text(CONFIG.format(traffic=traffic, version=version, model=model))
    return config


def first_days(flights: pd.DataFrame, days: int | None) -> pd.DataFrame:
    """The flights of the first so many whole days of 24 hours, and a little of the next; None for all."""
    if days is None:
        return flights
    begin = flights["departed_at"].iloc[0].ceil("h")
    early: pd.DataFrame = flights[flights["departed_at"] <= begin + pd.Timedelta(days=days, minutes=30)]
    return early


def load_primary(folder: Path) -> Any:
    """The primary as the serving app loads it."""
    import skops.io

    file = folder / "primary.skops"
    types = [name for name in skops.io.get_untrusted_types(file=file) if name.startswith("numpy.")]
    return skops.io.load(file, trusted=types)


def serve(flights: pd.DataFrame, model: Any, to: str, progress: Callable[[int], None]) -> MirrorStats:
    """Answers every flight as the serving app would, and mirrors each request.

    Args:
        model: the primary, loaded.
        to: where the mirror sends, `spool:…` or `kafka://…`.
        progress: told after each micro-batch how many flights have been answered.

    Returns:
        The mirror's counts, after it was closed.

    Raises:
        TrafficError: not everything could be mirrored.
    """
    late = list(model.classes_).index(LATE)
    with Mirror(to, service="arrival-delay", require=True) as mirror:
        for start in range(0, len(flights), MICRO_BATCH):
            batch = flights.iloc[start : start + MICRO_BATCH]
            features = batch[list(FEATURES)]
            began = time.perf_counter_ns()
            scores = model.predict_proba(features)[:, late].tolist()
            latency_us = round((time.perf_counter_ns() - began) / 1000 / len(batch))
            rows = zip(
                batch["flight_id"],
                batch["departed_at"].dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
                batch["tailnum"],
                [dict(zip(FEATURES, row, strict=True)) for row in features.itertuples(index=False)],
                scores,
                strict=True,
            )
            for flight_id, departed_at, tailnum, row, score in rows:
                mirror.record(
                    row,
                    served={
                        "version": "3.2",
                        "label": LATE if score > CUTOFF else ON_TIME,
                        "score": score,
                        "latency_us": latency_us,
                    },
                    key=tailnum,
                    attributes={"origin": row["origin"], "carrier": row["carrier"]},
                    request_id=flight_id,
                    ts=departed_at,
                )
            # History comes faster than any serving app's requests: give the sender time. A serving app never waits.
            while mirror.stats().waiting > MOST_WAITING:
                time.sleep(0.01)
            progress(start + len(batch))
    counts = mirror.stats()
    lost = sum(counts.dropped.values()) + counts.refused + counts.unacknowledged
    if lost:
        raise TrafficError(to, f"{lost} of {len(flights)} requests did not reach {to}: {counts.dropped}")
    return counts


def write_labels(flights: pd.DataFrame, folder: Path) -> Path:
    """What became of the flights, as the file that `gnomon labels` takes."""
    file = folder / "labels.csv"
    known = flights.loc[flights["late"].notna(), ["flight_id", "late"]]
    known.rename(columns={"flight_id": "request_id", "late": "label"}).to_csv(file, index=False)
    return file
