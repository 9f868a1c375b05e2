"""A log in Python: its views as DuckDB relations, and comparisons of its candidates.

import gnomon

log = gnomon.open_log("gnomon.toml")
log.pairs().filter("disagrees").df()
log.compare()
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from gnomon_capture.errors import UsageError
from gnomon_diff import compare as compare_pairs
from gnomon_diff.comparison import Comparison
from gnomon_diff.quoting import literal
from gnomon_diff.reading import Log
from gnomon_diff.reading import open_log as snapshot
from gnomon_diff.settings import Policy, Segments, default_policy
from gnomon_diff.views import connect
from gnomon_replay.settings import Experiment

from gnomon.config import Config, load

if TYPE_CHECKING:
    import duckdb

Moment = datetime.datetime | str
"""A time with its zone, or text such as 2026-11-24T08:00, which is UTC unless it names an offset."""


class OpenLog:
    """A log as it stood when it was opened; what workers write later is not seen. Not to be shared between threads.

    Every relation of one log belongs to the same connection, so that they can be joined.
    """

    def __init__(self, log: Log, config: Config | None) -> None:
        self._log = log
        self._config = config
        self._connection: duckdb.DuckDBPyConnection | None = None

    def __repr__(self) -> str:
        return f"<gnomon log {self.folder}, version {self._log.pairs.version}>"

    @property
    def folder(self) -> Path:
        """`<log>/<experiment>`."""
        return self._log.folder

    @property
    def policy(self) -> Policy | None:
        """What the configuration allows; None where the log was opened by its folder."""
        return None if self._config is None else self._config.policy

    def pairs(self, candidate: str | None = None) -> duckdb.DuckDBPyRelation:
        """One row per request and candidate, without duplicates; of one candidate's version, or of all.

        `gnomon sql --schema pairs` lists the columns.

        Raises:
            LogError: files of the log are gone or broken.
        """
        pairs = self.view("pairs")
        return pairs if candidate is None else pairs.filter(f"candidate_version = {literal(candidate)}")

    def labels(self) -> duckdb.DuckDBPyRelation:
        """What turned out to be true: the latest row of each request."""
        return self.view("labels")

    def view(self, name: str) -> duckdb.DuckDBPyRelation:
        """One of the views of `gnomon sql`: pairs, all_pairs, labels, dead_letters, ledger, decisions."""
        if self._connection is None:
            self._connection = connect(self._log)
        return self._connection.view(name)

    def compare(
        self,
        candidate: str | None = None,
        *,
        from_ts: Moment | None = None,
        to_ts: Moment | None = None,
        where: str | None = None,
        against: tuple[Moment | None, Moment | None] | None = None,
        positive: str | None = None,
        segments: Sequence[str] | None = None,
        examples: int = 0,
    ) -> Comparison:
        """What the log says about one candidate against what users got. In a notebook it shows itself.

        With a configuration, experiment and policy are its own, and what is pending in the traffic is counted.

        Args:
            candidate: its version; by default the only one configured, or the one replayed last.
            from_ts, to_ts: only requests served at or after the one and before the other.
            where: only requests for which this holds, in SQL over the columns of `pairs`.
            against: another window (from, to), which this one is held against.
            positive: the label that a score is the probability of; only without a configuration.
            segments: features and attributes to split by, as `features.carrier`; by default all of few values.
            examples: how many requests to show one by one, at most.

        Raises:
            UsageError: no such candidate, window, condition or segment.
            LogError: the log cannot be read.
        """
        part: dict[str, Any] = {
            "from_ts": _moment(from_ts),
            "to_ts": _moment(to_ts),
            "where": where,
            "against": None if against is None else (_moment(against[0]), _moment(against[1])),
        }
        if self._config is not None:
            if positive is not None:
                raise UsageError(f"`positive` stands in {self._config.path}; leave it out here")
            from gnomon.judging import measure

            model = self._config.candidate(candidate)
            return measure(self._config, model, examples=examples, log=self._log, segments=segments, **part)
        if positive is None:
            raise UsageError(
                "name the positive label, as compare(positive='late'), or open the log by its gnomon.toml"
            )
        experiment = Experiment(name=self.folder.name, task="binary", positive=positive)
        policy = default_policy(has_primary_model=True)  # says what to split by; nothing is judged here
        if segments is not None:
            policy = msgspec.structs.replace(policy, segments=Segments(by=tuple(segments)))
        return compare_pairs(
            self._log, experiment, policy, candidate_version=candidate, examples=examples, **part
        )


def open_log(path: str | Path) -> OpenLog:
    """Opens a log by its folder, or by the configuration that it belongs to.

    Args:
        path: `<log>/<experiment>`, which may not exist yet; or a `gnomon.toml`, with which comparisons are those of
            `gnomon report`.

    Raises:
        UsageError: there is no such configuration.
        SettingsError: a line of it is wrong.
        LogError: a table cannot be read.
    """
    path = Path(path)
    if path.suffix == ".toml":
        config = load(path)
        return OpenLog(snapshot(config.log, config.rule), config)
    return OpenLog(snapshot(path), None)


def compare(log: OpenLog | str | Path, candidate: str | None = None, **options: Any) -> Comparison:
    """`open_log(log).compare(candidate, …)`."""
    return (log if isinstance(log, OpenLog) else open_log(log)).compare(candidate, **options)


def _moment(moment: Moment | None) -> datetime.datetime | None:
    from gnomon_capture.record import parse_ts

    if not isinstance(moment, str):
        return moment
    try:
        return parse_ts(moment)
    except ValueError as exc:
        raise UsageError(str(exc)) from exc
