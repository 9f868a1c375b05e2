"""One judgement: measures the log as the configuration has it, judges it, records and shows the verdict."""

from __future__ import annotations

import contextlib
import datetime
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import gnomon_diff
import gnomon_reports
import msgspec
import pyarrow as pa
from gnomon_capture.errors import TrafficError, UsageError
from gnomon_diff.comparison import Comparison, Verdict
from gnomon_diff.decision import Decision
from gnomon_diff.inputs import ReferenceFiles
from gnomon_diff.labels import LoadedLabels
from gnomon_diff.reading import Log, open_log
from gnomon_diff.reference import reference_files
from gnomon_diff.settings import Segments
from gnomon_diff.views import schema_rows
from gnomon_replay.log import PairLog, app_id
from gnomon_replay.model import locate
from gnomon_replay.pending import Pending, count_pending
from gnomon_replay.settings import Model
from gnomon_replay.sources import open_source
from gnomon_replay.standing import BEGAN
from gnomon_reports.decisions import read_decisions, record_decision

from gnomon import __version__
from gnomon.config import Config


@dataclass(frozen=True)
class Judged:
    """A comparison and the verdict on it."""

    comparison: Comparison
    verdict: Verdict


def compare_and_judge(
    config: Config,
    candidate: Model,
    *,
    examples: int,
    seed: int = 0,
    explain: bool = False,
    advisory: bool = False,
    inputs: bool = True,
    reference: str | None = None,
) -> Judged:
    """Measures the log and judges the candidate by the experiment's policy. Raises what `measure` raises.

    Args:
        seed, explain, inputs, reference: as `measure` has them.
    """
    history = read_decisions(config.log / "decisions")
    comparison = measure(
        config, candidate, examples=examples, seed=seed, explain=explain, inputs=inputs, reference=reference
    )
    verdict = gnomon_diff.judge(
        comparison,
        config.policy,
        history,
        labels=config.labels,
        defaults=not config.policy_given,
        advisory=advisory,
    )
    return Judged(comparison, verdict)


def measure(
    config: Config,
    candidate: Model,
    *,
    examples: int,
    from_ts: datetime.datetime | None = None,
    to_ts: datetime.datetime | None = None,
    where: str | None = None,
    against: tuple[datetime.datetime | None, datetime.datetime | None] | None = None,
    log: Log | None = None,
    segments: Sequence[str] | None = None,
    seed: int = 0,
    explain: bool = False,
    inputs: bool = True,
    reference: str | None = None,
) -> Comparison:
    """Measures the log, or the part of it that is named, on which there is no verdict.

    Args:
        log: as it was opened; by default as it stands now.
        segments: to split by instead of the policy's.
        examples, seed: how many requests to show one by one, and which.
        explain: also search for slices and bin numbers, which no verdict needs.
        inputs: also what no criterion rests on: what was lost, and how far the input moved.
        reference: what the traffic is held against, in place of `[reference]`.

    Raises:
        ModelError: a model's file cannot be read; its digest says which pairs are its.
        LogError, DecisionError: the log or its decisions cannot be read.
        UsageError: the policy or `[disagreement]` does not fit the log, or the part is none.
    """
    log = log or open_log(config.log, config.rule)
    policy = config.policy
    if segments is not None:
        policy = msgspec.structs.replace(policy, segments=Segments(by=tuple(segments)))
    primary = config.primary
    digest = locate(candidate, config.folder).digest
    return gnomon_diff.compare(
        log,
        config.experiment,
        policy,
        labels=config.labels,
        candidate_version=candidate.version,
        candidate_digest=digest,
        primary_version=primary.version,
        primary_digest=None if primary.model is None else locate(primary, config.folder).digest,
        pending=_pending(config, log, digest),
        traffic=config.traffic.address,
        examples=examples,
        from_ts=from_ts,
        to_ts=to_ts,
        where=where,
        against=against,
        seed=seed,
        explain=explain,
        inputs=inputs,
        reference=_reference(config, reference) if inputs else None,
        gnomon_version=__version__,
    )


def _reference(config: Config, named: str | None) -> ReferenceFiles | None:
    """What the traffic is held against. A path on the command line is relative to where one stands."""
    name = named or (config.reference.address if config.reference is not None else None)
    if name is None:
        return None
    folder = Path.cwd() if named else config.folder
    return ReferenceFiles(name, tuple(reference_files(name, folder)))


def _pending(config: Config, log: Log, digest: str) -> Pending | None:
    """What stands in the traffic beyond this log; None, and a word about it, where it cannot be reached."""
    try:
        source = open_source(config.traffic, config.folder, config.experiment.name, group=None)
    except TrafficError as exc:
        print(f"note: what is pending in the traffic is not known: {exc}", file=sys.stderr)
        return None
    with contextlib.closing(source):
        written = PairLog(config.log)

        def kept(places: list[str], mark: str = "") -> dict[str, int | None]:
            ids = {place: app_id(place, digest) + mark for place in places}
            found = written.positions(ids.values(), version=log.pairs.version)
            return {place: found[name] for place, name in ids.items()}

        return count_pending(source, kept, lambda places: kept(places, BEGAN))


def write_report(config: Config, comparison: Comparison, verdict: Verdict | None, *, examples: bool) -> Path:
    """Writes the page and comparison.json, with requests one by one or without; returns the page's path."""
    folder = config.log / "reports"
    policy = config.path.read_text(encoding="utf-8")
    page = gnomon_reports.write(comparison, verdict, folder, policy_text=policy, examples=examples)
    here = Path.cwd()
    return page.relative_to(here) if page.is_relative_to(here) else page


def record(config: Config, judged: Judged) -> Decision | None:
    """Appends a decision record, where something changed."""
    return record_decision(
        config.log / "decisions", judged.comparison, judged.verdict, config.policy, config.labels
    )


def verdict_text(judged: Judged) -> str:
    """The verdict and its criteria, for a terminal."""
    return gnomon_reports.summary_text(judged.comparison, judged.verdict)


def load_labels(config: Config, file: Path) -> LoadedLabels:
    """Loads labels into the log, and says what they brought.

    Raises:
        UsageError: a label of the experiment's task is no text.
    """
    if config.experiment.task not in ("binary", "multiclass", "text", "regression"):
        raise UsageError(
            f"{config.path} has a {config.experiment.task} task, whose true answers cannot be loaded yet; "
            "labels are those of binary, multiclass and text tasks, values those of regression"
        )
    loaded = gnomon_diff.load_labels(file, config.log, config.experiment.task)
    left_out = f", {loaded.without_label:,} rows without one left out" if loaded.without_label else ""
    print(
        f"labels: {loaded.rows:,} loaded for {loaded.requests:,} requests, {loaded.matched:,} of them in the log{left_out}",
        file=sys.stderr,
    )
    for row in gnomon_diff.query(config.log, _STRANGE).to_pylist():
        print(
            f"note: {row['n']:,} labels are {row['label']!r}, which no model ever answered ({row['known']}); "
            "they count as wrong for both. Load the file again with the labels mended.",
            file=sys.stderr,
        )
    return loaded


_STRANGE = """
WITH answers AS (SELECT served_label AS label FROM pairs UNION SELECT candidate_label FROM pairs)
SELECT label, count(*) AS n, (SELECT string_agg(label, ', ' ORDER BY label) FROM answers) AS known
FROM labels
WHERE label NOT IN (SELECT label FROM answers WHERE label IS NOT NULL)
GROUP BY label
HAVING (SELECT count(label) FROM answers) > 0
ORDER BY n DESC
LIMIT 3
"""


def dead_letters(config: Config, candidate: Model | None) -> tuple[pa.Table, dict[str, int]]:
    """Lines that are no records, and how many by reason; without those that a retry made pairs.

    Args:
        candidate: of this one; None: of any.
    """
    log = open_log(config.log)
    pairs = "all_pairs"
    if candidate is not None:
        digest = locate(candidate, config.folder).digest  # letters and digits
        pairs = f"(SELECT * FROM all_pairs WHERE candidate_digest = '{digest}')"
    letters = gnomon_diff.query(log, _DEAD.format(pairs=pairs))
    counts = letters.group_by("reason").aggregate([([], "count_all")]).sort_by("reason").to_pylist()
    return letters, {row["reason"]: row["count_all"] for row in counts}


_DEAD = """
SELECT source_name AS source, source_partition AS "partition", source_offset AS position, source_line AS line,
    reason, detail, request_id, "key", read_at
FROM dead_letters ANTI JOIN {pairs} USING (source_name, source_partition, source_offset, source_line)
ORDER BY ALL
"""


def query(config: Config, sql: str, *, time_limit_s: float = 60.0) -> pa.Table:
    """Answers one SELECT over the log."""
    return gnomon_diff.query(open_log(config.log, config.rule), sql, time_limit_s=time_limit_s)


def schema(config: Config, view: str | None, *, as_json: bool) -> str:
    """The views and their columns, as text or as JSON; None: of all views.

    Raises:
        UsageError: there is no such view.
    """
    log = open_log(config.log, config.rule)
    if as_json:
        return json.dumps(schema_rows(log, view), ensure_ascii=False, indent=2)
    return gnomon_diff.schema_text(log, view).rstrip()
