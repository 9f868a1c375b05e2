"""`compare`: a log, and what it says about one candidate against what users got."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gnomon_replay.errors import LogError
from gnomon_replay.pairs import SCHEMA_VERSION
from gnomon_replay.pending import Pending
from gnomon_replay.settings import Experiment

from gnomon_diff.accounts import NO_NUMBERS, ask_accounts, coverage_frac, numbers_table
from gnomon_diff.binning import ask_bins
from gnomon_diff.columns import pair_columns
from gnomon_diff.comparison import Comparison, Coverage, ErrorExample, ErrorKind, Flip, Subject
from gnomon_diff.daysums import WEIGHT, ask_days, day_rows
from gnomon_diff.differences import ask_differences, refuse_unknown_paths
from gnomon_diff.disagreement import disagreement, segments
from gnomon_diff.estimated import ask_estimated_accuracy
from gnomon_diff.examples import ask_examples, example_places
from gnomon_diff.functions import declared, settle
from gnomon_diff.inputs import ReferenceFiles, with_inputs
from gnomon_diff.latency import ask_latency
from gnomon_diff.part import Part, part_of
from gnomon_diff.partaccounts import ask_part_accounts
from gnomon_diff.questions import Questions
from gnomon_diff.quoting import literal
from gnomon_diff.reading import Log, open_log
from gnomon_diff.rules import Rule
from gnomon_diff.scores import ask_scores
from gnomon_diff.segmenting import Split, binned_splits, chosen_splits, possible_splits
from gnomon_diff.settings import LabelSettings, Policy
from gnomon_diff.shifts import ask_shifts
from gnomon_diff.slices import ask_slices
from gnomon_diff.truth import about_labels, ask_truth
from gnomon_diff.twowindows import Bounds, ask_moved, held_against, shown_part
from gnomon_diff.views import connect
from gnomon_diff.window import BUSY_FRAC, EPOCH, Window, first_full_hour, read_upto

MOST_FLIPS = 1000
"""Cells of the flip matrix, the largest first: labels that a model makes up have no end."""


def compare(
    log: Log | str | Path,
    experiment: Experiment,
    policy: Policy,
    *,
    labels: LabelSettings = LabelSettings(),  # noqa: B008 - a frozen value
    candidate_version: str | None = None,
    candidate_digest: str | None = None,
    primary_version: str | None = None,
    primary_digest: str | None = None,
    pending: Pending | None = None,
    traffic: str = "",
    examples: int = 50,
    from_ts: datetime.datetime | None = None,
    to_ts: datetime.datetime | None = None,
    where: str | None = None,
    against: Bounds | None = None,
    inputs: bool = True,
    reference: ReferenceFiles | None = None,
    seed: int = 0,
    explain: bool = True,
    gnomon_version: str = "",
    now: datetime.datetime | None = None,
) -> Comparison:
    """Compares a candidate with what users got.

    The same log gives the same comparison, whatever the number of threads.

    Args:
        log: an opened log, or its folder, `<log>/<experiment>`.
        policy: names the segments that are judged, and the limit of latency; it judges nothing here.
        labels: how late labels may come, what a wrong answer costs, and which pairs can never have a label.
        candidate_version, candidate_digest: which candidate; without a digest the one replayed last, of this
            version if one is given.
        primary_version, primary_digest: as configured; shown.
        pending: what stands in the traffic beyond this opening of the log; None when it could not be reached.
        traffic: its address; shown.
        examples: how many requests to show one by one, at most.
        from_ts, to_ts: only requests served at or after the one and before the other.
        where: only requests for which this holds: a condition in SQL on the columns of the view `pairs`.
        against: another window (from, to), which this one is held against; `where` holds for both.
        inputs: also measure what no criterion rests on: what was lost, empty values, distances of samples; of all the traffic only.
        reference: what the traffic is held against, where it is.
        seed: of the search for slices, and of the examples.
        explain: also what is never judged and reads every row again: segments of binned features, and slices.
        gnomon_version, now: shown.

    Raises:
        UsageError: the policy names a segment that the traffic does not have, or one with too many values; a
            declared path is in no answer; the user's function that tells answers apart failed; the window or the
            condition is none.
        LogError: the log cannot be read, or was written by a later gnomon.
    """
    if not isinstance(log, Log):
        log = open_log(log, Rule.of(experiment))
    elif log.rule.task != experiment.task:
        log = dataclasses.replace(log, rule=Rule.of(experiment))
    rule = log.rule
    part = part_of(log, from_ts, to_ts, where)
    now = now or datetime.datetime.now(datetime.UTC)
    held = None
    if against is not None:
        other = compare(
            log,
            experiment,
            policy,
            labels=labels,
            candidate_version=candidate_version,
            candidate_digest=candidate_digest,
            pending=pending,
            examples=0,
            inputs=False,
            explain=False,
            from_ts=against[0],
            to_ts=against[1],
            where=where,
            now=now,
        )
        held = held_against(other)
    with contextlib.closing(connect(log)) as connection:
        questions = Questions(connection, log.folder)
        version, digest = _candidate(questions, candidate_version, candidate_digest)
        inside = part.condition(f"candidate_digest = {literal(digest)}")
        questions.about(
            candidate=literal(digest),
            inside=inside,
            pairs=f"(FROM pairs WHERE {inside})",
            pending=NO_NUMBERS,
            outside=NO_NUMBERS,
            stratum=rule.stratum,
        )
        settle(connection, log, digest)
        refuse_unknown_paths(questions, rule)
        if pending is not None:
            for name, numbers in (("pending", pending.seqs), ("outside", pending.outside)):
                if numbers:
                    connection.register(name, numbers_table(numbers))
                    questions.about(**{name: name})
        columns = pair_columns(log.pairs.schema, rule)
        possible = possible_splits(columns, policy.segments)
        overview = _overview(questions, log, possible)
        rows = questions.ask("rows", busy_frac=str(BUSY_FRAC)).to_pylist()
        window = _window(rows, pending, now, part)
        splits = chosen_splits(possible, overview["distinct_values"], policy.segments)
        weighted = not overview["least_weight"] == overview["most_weight"] == 1
        questions.about(weight=WEIGHT if weighted else "1")
        about_labels(questions, window, labels)
        sums = ask_days(questions, window, splits)
        differ = disagreement(sums)
        measured, slices, shown = [sums], None, list(splits)
        if explain:
            bins = ask_bins(questions, columns, overview["pairs"])
            if more := binned_splits(bins, splits):
                measured.append(ask_days(questions, window, more, at_once=3))
                shown = [*splits, *more]
            slices = ask_slices(questions, bins, window, sums, differ, policy, seed=seed)
        by_segment = segments(*measured)
        errors = [_error(row) for row in questions.ask("errors").to_pylist()]
        part_rows = None if part.is_whole else questions.ask("part_rows").to_pylist()[0]
        if part_rows is None:
            accounts = ask_accounts(questions, overview, rows, errors, pending)
        else:
            accounts = ask_part_accounts(questions, part, overview, part_rows, errors, pending)
        scores, cutoffs = ask_scores(questions) if experiment.task == "binary" else (None, [])
        correctness, cutoffs = ask_truth(
            questions, experiment, labels, window, sums, splits, cutoffs, weighted=weighted
        )
        whole_days = sums.days[sums.whole].tolist()
        comparison = Comparison(
            subject=Subject(
                experiment=experiment.name,
                task=experiment.task,
                positive=experiment.positive_label,
                primary_version=primary_version,
                primary_digest=primary_digest,
                candidate_version=version,
                candidate_digest=digest,
                primary_digests=overview["primary_digests"] or [],
                traffic=traffic,
                log=str(log.folder),
                log_version=log.pairs.version,
                first_ts=overview["first_ts"],
                last_ts=overview["last_ts"],
                timezone=experiment.timezone,
            ),
            accounts=accounts,
            coverage=Coverage(
                # What was dropped in a window is not known.
                frac=coverage_frac(accounts) if part.is_whole else None,
                hours_of_week=_hours(questions, experiment.timezone),
            ),
            disagreement=differ,
            flips=_flips(questions, sums.all_traffic.total("rows")) if rule.has_matrix else [],
            segments=by_segment,
            days=day_rows(sums, window),
            scores=scores,
            cutoffs=cutoffs,
            shifts=ask_shifts(questions, columns, window, whole_days)
            if against is None
            else ask_moved(questions, columns, part.moved_to(*against), inside),
            latency=ask_latency(questions, overview, policy),
            errors=errors,
            correctness=correctness,
            estimated_accuracy=ask_estimated_accuracy(questions, experiment),
            examples=ask_examples(
                questions, columns, examples, places=example_places(slices, by_segment, shown), seed=seed
            ),
            queries=questions.asked,
            gnomon_version=gnomon_version,
            generated_at=now,
            differences=ask_differences(
                questions, rule, declared(rule), sums.all_traffic, examples=examples > 0
            ),
            part=None if part_rows is None else shown_part(part, part_rows["pairs_of_all"]),
            against=held,
            slices=slices,
            examples_seed=seed,
        )
        if not inputs or not part.is_whole:
            return comparison
        return with_inputs(comparison, questions, columns, splits, window, whole_days, reference)


def _error(row: Mapping[str, Any]) -> ErrorKind:
    examples = [ErrorExample(**one) for one in row["examples"]]
    return ErrorKind(**{**row, "examples": examples})


def _candidate(questions: Questions, version: str | None, digest: str | None) -> tuple[str, str]:
    """Version and digest of the candidate; both empty where the log has none and none was named."""
    if version is not None and digest is not None:
        return version, digest
    known = questions.ask("candidates").to_pylist()
    fitting = [
        row
        for row in known
        if (row["digest"] == digest if digest is not None else version is None or row["version"] == version)
    ]
    if not fitting:
        return version or "", digest or ""
    return version or fitting[0]["version"] or "", fitting[0]["digest"]


def _overview(questions: Questions, log: Log, splits: Sequence[Split]) -> dict[str, Any]:
    """What there is. Duplicates that the flag missed are counted here, and left out of every later question."""
    distinct = ", ".join(f"count(DISTINCT {split.sql()})" for split in splits)
    [overview] = questions.ask("overview", distinct=distinct).to_pylist()
    if overview["newest_schema"] is not None and overview["newest_schema"] > SCHEMA_VERSION:
        raise LogError(
            str(log.folder),
            f"{log.folder} has rows of schema {overview['newest_schema']}; this gnomon reads up to "
            f"{SCHEMA_VERSION}: upgrade it",
        )
    if overview["pairs"] == overview["requests"]:
        return {**overview, "missed_duplicates": 0}
    [row] = questions.ask("missed_duplicates").to_pylist()
    questions.about(pairs=f"({_FIRST_OF_EACH.format(pairs=questions.part('pairs'))})")
    [overview] = questions.ask("overview", distinct=distinct).to_pylist()
    return {**overview, "missed_duplicates": row["missed"]}


_FIRST_OF_EACH = (
    "FROM {pairs} QUALIFY row_number() OVER (PARTITION BY request_id "
    "ORDER BY source_name, source_partition, source_offset, source_line) = 1"
)


def _window(
    rows: Sequence[Mapping[str, Any]], pending: Pending | None, now: datetime.datetime, part: Part
) -> Window:
    newest = {row["place"]: row["newest"] for row in rows if row["newest"] is not None}
    first = min((row["oldest"] for row in rows if row["oldest"] is not None), default=None)
    reached = read_upto(newest, pending)
    # A window's days begin and end with it; what lies beyond its end has been read for others.
    if first is not None and part.from_ts is not None:
        first = max(first, part.from_ts)
    # No day is over before its end, whatever a clock says.
    ends = [end for end in (reached, now, part.to_ts) if end is not None]
    return Window(EPOCH if first is None else first_full_hour(first), None if reached is None else min(ends))


def _hours(questions: Questions, timezone: str) -> list[list[int]]:
    week = [[0] * 24 for _ in range(7)]
    for row in questions.ask("hours", timezone=literal(timezone)).to_pylist():
        week[row["weekday"] - 1][row["hour"]] = row["n"]
    return week


def _flips(questions: Questions, rows: float) -> list[Flip]:
    return [
        Flip(share=row.pop("weight") / rows, **row, waiting=row["n"] - row["labelled"] - row["never"])
        for row in questions.ask("flips", most=str(MOST_FLIPS)).to_pylist()
    ]
