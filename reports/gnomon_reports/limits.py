"""What this shadow cannot tell: three to six lines, by how much of the traffic each is about."""

from __future__ import annotations

from collections.abc import Iterator

from gnomon_reports.markup import Content, code, listed, say, value
from gnomon_reports.numerals import about, many, share
from gnomon_reports.part import size
from gnomon_reports.run import Run

MOST = 6
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def limits(run: Run) -> list[Content]:
    """The lines, the widest first."""
    lines = sorted(_lines(run), key=lambda line: -line[0])
    return [line for _, line in lines[:MOST]]


def _lines(run: Run) -> Iterator[tuple[float, Content]]:
    """Each limit with the share of the traffic that it is about."""
    comparison, accounts = run.comparison, run.comparison.accounts
    candidate = run.candidate
    part = comparison.part
    if part is not None:
        yield 4.0, f"What the rest of the traffic says: these are {size(run, part)}."
    yield 3.0, say("What people would have done: nobody acted on {candidate}'s answers.", candidate=candidate)
    if run.whole_days:
        yield 1.1, f"Seasons, events and kinds of day not in these {many(run.whole_days, 'day')}."
    if comparison.disagreement.noise is None and accounts.paired:
        yield (
            2.0,
            say(
                "No noise floor: the primary was not run out of band, so part of every difference may be noise. Name its {model}.",
                model=code("model"),
            ),
        )
    yield from _about_labels(run)
    if comparison.latency is not None and comparison.latency.n:
        yield 1.5, f"Latency under load: {about(comparison.latency.n)} timed alone, not in serving."
    unseen = unseen_hours(comparison.coverage.hours_of_week)
    if accounts.paired and unseen:
        yield sum(row.count(0) for row in comparison.coverage.hours_of_week) / 168, f"{unseen}: never seen."
    if accounts.without_ledger:
        names = listed([value(name, 30) for name in accounts.without_ledger[:3]])
        yield 1.2, say("What was dropped at capture by {names}: no ledger came from there.", names=names)
    lost = sum(accounts.dropped.values()) + (accounts.missing or 0)
    if lost:
        frac = lost / max(accounts.mirrored + sum(accounts.dropped.values()), 1)
        yield frac, f"What {about(lost)} dropped or missing {'record' if lost == 1 else 'records'} held."
    if accounts.paired > accounts.predicted > 0:
        failed = accounts.paired - accounts.predicted
        yield (
            failed / accounts.paired,
            say(
                "How {candidate} would answer {n} on which it failed.",
                candidate=candidate,
                n=many(failed, "request"),
            ),
        )


def _about_labels(run: Run) -> Iterator[tuple[float, Content]]:
    right = run.comparison.correctness
    pairs = run.comparison.accounts.paired
    if right is None or right.labelled == 0:
        if pairs:
            yield 1.8, "Who is right: there are no labels yet."
        return
    never = 0 if right.coverage is None else right.coverage.never
    if never:
        yield (
            never / right.n,
            say(
                "Who is right on {n} ({part}) that {primary} ended: no label can come.",
                n=many(never, "pair"),
                part=share(never, right.n),
                primary=run.primary,
            ),
        )
    waiting = right.n - right.labelled - never
    if waiting > 0:
        yield (
            waiting / right.n,
            f"Who is right on {many(waiting, 'pair')} ({share(waiting, right.n)}) without a label.",
        )


def unseen_hours(hours: list[list[int]]) -> str:
    """`Saturday 00 to 06 and 17 other hours of the week`; empty if every hour was seen."""
    empty = [(day, hour) for day, row in enumerate(hours) for hour, n in enumerate(row) if n == 0]
    if not empty or not any(map(any, hours)):
        return ""
    runs: list[list[tuple[int, int]]] = []
    for cell in empty:
        if runs and runs[-1][-1] == (cell[0], cell[1] - 1):
            runs[-1].append(cell)
        else:
            runs.append([cell])
    longest = max(runs, key=len)
    day, first = longest[0]
    text = f"{_DAYS[day]} {first:02d} to {longest[-1][1] + 1:02d}"
    others = len(empty) - len(longest)
    return text + (f" and {many(others, 'other hour')} of the week" if others else "")
