"""What each run took, model by model: the table `runs` of the log, and the lines at a run's end."""

from __future__ import annotations

import dataclasses
import datetime
import os
import time

import pyarrow as pa

from gnomon_replay.asking import Panel
from gnomon_replay.log import PairLog
from gnomon_replay.model import HostedModel
from gnomon_replay.pairs import RUNS, SCHEMA_VERSION
from gnomon_replay.usage import Usage

EVERY_S = 3600.0
"""A run that goes on for weeks is recorded so often, in rows that add up."""
_COUNTS = ("answers", "cpu_s", "timed", "warm_up", "restarts", "network_attempts")


class Runs:
    """Records one run. Not thread-safe."""

    def __init__(self, log: PairLog, source: str, panel: Panel, threads: int) -> None:
        self._log = log
        self._source = source
        self._threads = threads
        self._models = [("candidate", model) for model in panel.candidates]
        if panel.primary is not None:
            self._models.append(("primary", panel.primary))
        self._run_id = os.urandom(8).hex()
        self._before = [Usage() for _ in self._models]
        self._began = datetime.datetime.now(datetime.UTC)
        self._recorded_at = time.monotonic()

    def record_if_due(self) -> None:
        """Appends rows if the last ones are an hour old.

        Raises:
            LogError: the log cannot be written.
        """
        if time.monotonic() - self._recorded_at >= EVERY_S:
            self.record()

    def record(self) -> None:
        """Appends a row for each model: what it took since the last one.

        Raises:
            LogError: the log cannot be written.
        """
        now = datetime.datetime.now(datetime.UTC)
        rows = []
        for index, (role, model) in enumerate(self._models):
            usage, before = model.usage, self._before[index]
            rows.append(
                {
                    "run_id": self._run_id,
                    "began_at": self._began,
                    "ended_at": now,
                    "source": self._source,
                    "role": role,
                    "version": model.version,
                    "digest": model.digest,
                    "threads": self._threads,
                    "peak_bytes": usage.peak_bytes,
                    "first_attempt": usage.first_attempt or None,
                    "network_isolated": model.network_isolated,
                    "schema_version": SCHEMA_VERSION,
                }
                | {name: getattr(usage, name) - getattr(before, name) for name in _COUNTS}
                | (
                    {} if usage.peak_bytes else {"cpu_s": None, "peak_bytes": None}
                )  # an endpoint runs elsewhere
            )
            self._before[index] = dataclasses.replace(usage)
        self._log.record_run(pa.Table.from_pylist(rows, RUNS))
        self._began, self._recorded_at = now, time.monotonic()

    def lines(self) -> list[str]:
        """What to tell whoever ran it, of the whole run."""
        return [line for _, model in self._models for line in told(model)]


def told(model: HostedModel) -> list[str]:
    """What one model took, in words."""
    usage = model.usage
    if not usage.answers:
        return []
    if usage.peak_bytes:
        parts = [
            f"model {model.version}: {1000 * usage.cpu_s / usage.answers:.3g} CPU s per 1,000 answers",
            f"{usage.peak_bytes / 2**20:,.0f} MB at most",
        ]
    else:
        parts = [
            f"model {model.version}: what it takes to serve is not seen here: an endpoint runs elsewhere"
        ]
    if usage.timed or usage.warm_up:
        parts.append(f"{usage.warm_up:,} requests to warm up before {usage.timed:,} timed ones")
    if usage.restarts:
        parts.append(f"{usage.restarts:,} restarts")
    lines = [", ".join(parts)]
    if usage.network_attempts:
        lines.append(
            f"model {model.version} tried to reach a network {usage.network_attempts:,} times, first by "
            f"{usage.first_attempt}; refused. Attempts of native code are not counted"
        )
    return lines
