"""Is the log the traffic, and the input the same? Accounts, hours of the week, shift of every column."""

from __future__ import annotations

from gnomon_diff.comparison import Balance

from gnomon_reports.figure import Column, Figure, Section, grid, more, num
from gnomon_reports.limits import unseen_hours
from gnomon_reports.marks import chip, percent, picture, words
from gnomon_reports.markup import (
    Content,
    Markup,
    b,
    defs,
    group,
    listed,
    path,
    pattern,
    rect,
    span,
    strong,
    value,
)
from gnomon_reports.numerals import MINUS, count, many, share
from gnomon_reports.part import NO_ACCOUNTS, OF_A_WINDOW
from gnomon_reports.run import Run
from gnomon_reports.sections.shift import moved, shift_figure
from gnomon_reports.sections.traffic import distances_figure, filled_figure, losses_figure, reference_figure
from gnomon_reports.sentences import kind_words

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
LEVELS = 6
_BALANCES = {
    "seen": "seen = not selected + mirrored + dropped",
    "mirrored": "mirrored = in pairs + dead letters + removed + outside + pending + missing",
    "paired": "paired = predicted + errors",
    "rows": "rows = paired + duplicates",
}
_HATCH = defs(
    pattern(
        path(cls="hatch", d="M0 0V5"),
        id="hatch",
        width=5,
        height=5,
        patternUnits="userSpaceOnUse",
        patternTransform="rotate(45)",
    )
)


def input_section(run: Run) -> Section:
    found = [
        _accounts(run),
        _hours(run),
        _balances(run),
        losses_figure(run),
        shift_figure(run),
        distances_figure(run),
        filled_figure(run),
        reference_figure(run),
    ]
    figures = [figure for figure in found if figure is not None]
    return Section(
        "input", "Log and input", "Is the log the traffic, and the input the same?", _answer(run), figures
    )


def _answer(run: Run) -> list[Content]:
    accounts, coverage, part = run.comparison.accounts, run.comparison.coverage, run.comparison.part
    wrong = sum(line.balanced is False for line in accounts.balances)
    if wrong:
        first: Content = group(
            strong("No."),
            f" {many(wrong, 'line')} of the accounts do not balance: find the records before reading on.",
        )
    elif part is not None and part.where is not None:
        first = NO_ACCOUNTS
    elif accounts.missing:
        first = group(strong(f"{many(accounts.missing, 'record')} missing."), " All else is accounted for.")
    elif accounts.missing is None:
        first = group(
            strong("Not known."),
            " Some numbers are nowhere, and the traffic could not be reached to find them.",
        )
    elif any(line.balanced is None for line in accounts.balances):
        first = group(
            strong("As far as known."), " Not every line of the accounts can be counted on both sides."
        )
    elif not accounts.paired:
        first = (
            "No record was read."
            if not accounts.mirrored
            else "Every record is accounted for, and none became a pair."
        )
    else:
        first = group(strong("Every record is accounted for."), _covered(coverage.frac))
    answer: list[Content] = [first, *_uneven(run)]
    if part is not None and part.where is None:
        answer.append(OF_A_WINDOW)
    columns = run.comparison.shifts
    if columns and accounts.paired:
        far = moved(columns)
        halves = "two windows" if run.comparison.against else "two halves of the window"
        names = listed([value(shift.column.split(".", 1)[-1], 40) for shift in far[:3]])
        if far:
            answer.append(
                group(
                    f"{many(len(far), 'column')} of {count(len(columns))} moved between the {halves}: ",
                    names,
                    ", …." if len(far) > 3 else ".",
                )
            )
        else:
            answer.append(
                f"None of {many(len(columns), 'column')} is shown to have moved past 0.1: look for the cause in the models first."
            )
    return answer


def _uneven(run: Run) -> list[Content]:
    """What was lost where, and the features that were not those served, where it is little enough to go on."""
    lines: list[Content] = []
    losses = run.comparison.losses
    shown = [loss for loss in losses.most if loss.shown] if losses is not None else []
    if shown:
        one = shown[0]
        name = group(value(one.by.split(".", 1)[-1], 40), " = ", value(one.value or "missing", 40))
        lines.append(
            group(
                "But not evenly: ",
                name,
                f" lost {share(one.lost, one.n)}, all else {share(one.rest_frac * 1e6, 1e6)}.",
            )
        )
    skew, n = run.comparison.disagreement.skew, run.comparison.disagreement.noise_n
    if skew is not None and n and not run.skewed:
        lines.append(f"Serving skew, counted over {many(n, 'pair')}: {share(max(skew, 0.0) * n, n)}.")
    return lines


def _covered(frac: float | None) -> str:
    return "" if frac is None else f" {share(frac * 1e4, 1e4)} of what was mirrored or dropped is in the log."


def _accounts(run: Run) -> Figure:
    accounts, candidate = run.comparison.accounts, run.candidate
    letters = sum(accounts.dead_letters.values())
    rows: list[list[Content]] = [
        ["served", "unknown" if accounts.seen is None else count(accounts.seen), _ledgers(run)],
        [f"{MINUS} not selected", _or_unknown(accounts.not_selected), "by the sampling rule"],
        [f"{MINUS} dropped", count(sum(accounts.dropped.values())), _kinds(accounts.dropped)],
        ["= mirrored", b(count(accounts.mirrored)), "numbered records that were sent"],
        [f"{MINUS} dead letters", count(letters), _kinds(accounts.dead_letters)],
        [f"{MINUS} removed", count(accounts.removed), "by forget and retention"],
        [f"{MINUS} outside", count(accounts.outside), "sent before the window, not replayed"],
        [f"{MINUS} pending", _or_unknown(accounts.pending), "in the traffic, not yet read"],
        [f"{MINUS} missing", _or_unknown(accounts.missing), _missing(accounts.missing)],
        ["+ unnumbered", count(accounts.unnumbered), "from producers that do not number"],
        [f"{MINUS} duplicates", count(accounts.duplicates), _duplicates(run)],
        ["= paired", b(count(accounts.paired)), ""],
        [
            group(f"{MINUS} errors of ", candidate),
            count(accounts.paired - accounts.predicted),
            _kinds(accounts.errors),
        ],
        ["= predicted", b(count(accounts.predicted)), ""],
    ]
    part = run.comparison.part
    if part is not None:  # of a condition only pairs are known; of a window, what has numbers
        rows = rows[-4:] if part.where is not None else rows[3:]
    rows = [row for row in rows if row[1] != "0" or _kept(row[0])]
    wrong = [line for line in accounts.balances if line.balanced is False]
    if wrong:
        title = f"{many(len(wrong), 'line')} of the accounts do not balance"
    elif part is not None and part.where is not None:
        title = "Pairs for which the condition holds"
    elif accounts.missing:
        title = f"{many(accounts.missing, 'record')} missing"
    elif accounts.missing is None:
        title = "Some records may be missing"
    elif not accounts.rows and not accounts.mirrored:
        title = "No records"
    elif any(line.balanced is None for line in accounts.balances):
        title = "Every line that can be known adds up"
    else:
        title = "Nothing is lost unaccounted"
    return Figure(
        "input-accounts",
        title,
        "records, by stage; every number is counted on its own",
        group(grid("Accounts", ["line", num("records"), "of which"], rows), _processes(run)),
        foot=[
            *([f"n {count(accounts.mirrored)} mirrored"] if part is None or part.where is None else []),
            f"{many(accounts.rows, 'row')} in the log",
            "counted, so no interval",
        ],
        width=6,
        wide=4,
    )


def _kept(name: Content) -> bool:
    """Lines that say something even at nought."""
    return isinstance(name, str) and not any(
        word in name for word in ("removed", "outside", "unnumbered", "not selected")
    )


def _or_unknown(number: int | None) -> str:
    return "unknown" if number is None else count(number)


def _missing(missing: int | None) -> Content:
    if missing is None:
        return chip("open", "gaps, which may be pending")
    return chip("fail", "gaps in the numbers") if missing else "no gap in the numbers"


def _ledgers(run: Run) -> Content:
    accounts = run.comparison.accounts
    if accounts.seen is None:
        return "no ledger came with the traffic"
    without = f", {count(len(accounts.without_ledger))} without" if accounts.without_ledger else ""
    return f"by the ledgers of {many(len(accounts.processes) - len(accounts.without_ledger), 'process', 'processes')}{without}"


def _duplicates(run: Run) -> str:
    missed = run.comparison.accounts.missed_duplicates
    return f"same request_id; {many(missed, 'more')} found by count" if missed else "same request_id"


def _kinds(kinds: dict[str, int]) -> Content:
    parts = [
        group(value(kind_words(name), 40), f" {count(n)}")
        for name, n in sorted(kinds.items(), key=lambda item: -item[1])
        if n
    ]
    return group(*(group(" · " if index else "", part) for index, part in enumerate(parts)))


def _balances(run: Run) -> Figure | None:
    """Each line counted on both sides, and whether it adds up."""
    balances = run.comparison.accounts.balances
    if not balances:
        return None
    rows: list[list[Content]] = []
    for line in balances:
        cls = "fail" if line.balanced is False else None
        sides = (span(_or_unknown(line.left), cls=cls), span(_or_unknown(line.right), cls=cls))
        rows.append([value(_BALANCES.get(line.name, line.name), 80), *sides, _balance(line)])
    off = sum(line.balanced is False for line in balances)
    return Figure(
        "input-balances",
        f"{many(off, 'line')} off" if off else "Each side counted on its own",
        "records, as the ledgers have them and as the log has them",
        grid("Balances of the accounts", ["line", num("left"), num("right"), "finding"], rows),
        foot=[f"n {count(run.comparison.accounts.rows)} rows in the log", "counted, so no interval"],
        wide=4,
        stacked=True,
    )


def _balance(line: Balance) -> Content:
    if line.balanced is None:
        return chip("open", value(line.reason or "not known", 60), quiet=True)
    if line.balanced:
        return chip("pass", "balances")
    return chip("fail", f"off by {count(abs((line.right or 0) - (line.left or 0)))}")


def _processes(run: Run) -> Markup | None:
    processes = run.comparison.accounts.processes
    if not processes:
        return None
    rows: list[list[Content]] = [
        [
            value(one.process, 40),
            count(one.mirrored),
            count(one.in_pairs),
            count(one.in_dead_letters),
            _or_unknown(one.pending),
            span(count(one.missing), cls="fail") if one.missing else _or_unknown(one.missing),
            "of a window, none"
            if run.comparison.part is not None
            else "closed"
            if one.closed
            else group("unclosed, last seq ", "unknown" if one.upto_seq is None else count(one.upto_seq)),
        ]
        for one in processes[:100]
    ]
    columns: list[Column | str] = [
        "process",
        num("mirrored"),
        num("in pairs"),
        num("dead letters"),
        num("pending"),
        num("missing"),
        "ledger",
    ]
    table = grid("Accounts by process", columns, rows)
    others = (
        f"{many(len(processes) - 100, 'more process', 'more processes')} not listed."
        if len(processes) > 100
        else None
    )
    return more(many(len(processes), "capturing process", "capturing processes"), table, others)


def _hours(run: Run) -> Figure | None:
    hours = run.comparison.coverage.hours_of_week
    if not any(map(any, hours)):
        return None
    seen = sum(n > 0 for row in hours for n in row)
    zone = run.comparison.subject.timezone
    title = "Every hour of the week was seen" if seen == 168 else f"{seen} of 168 hours of the week were seen"
    rows: list[list[Content]] = [
        [name, *(count(n) for n in row)] for name, row in zip(_WEEKDAYS, hours, strict=False)
    ]
    unseen = unseen_hours(hours)
    return Figure(
        "input-hours",
        title,
        group(
            "pairs by hour of the week, ",
            value(zone, 40),
            "; darker: more; hatched: none" if seen < 168 else "; darker: more",
        ),
        _week(hours, title + (f": not {unseen}" if unseen else "")),
        foot=[f"n {count(sum(map(sum, hours)))}", "counted, so no interval"],
        data=grid("Pairs by hour of the week", ["day", *(num(f"{hour:02d}") for hour in range(24))], rows),
        wide=4,
        stacked=True,
    )


def _week(hours: list[list[int]], label: str) -> Markup:
    most, cell, gap = max(map(max, hours)), 22, 3
    parts: list[Content] = [_HATCH]
    for index, row in enumerate(hours):
        top = index * (cell + gap)
        parts.append(words(0, top + 15, _WEEKDAYS[index], cls="e", dx=-8))
        for hour, n in enumerate(row):
            shade = f"d{max(1, min(LEVELS, 1 + int(LEVELS * n / (most + 1))))}" if n else "hole"
            parts.append(rect(cls=shade, x=percent(hour / 24), width="3.9%", y=top, height=cell))
    bottom = 7 * (cell + gap) + 12
    parts += [words((hour + 0.5) / 24, bottom, f"{hour:02d}", cls="h") for hour in range(0, 24, 3)]
    return group(picture(bottom + 4, *parts, label=label, cls="week"))
