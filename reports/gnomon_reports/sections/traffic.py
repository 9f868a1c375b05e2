"""What the log lacks of the traffic, what its features lack, and how far they lie from a reference."""

from __future__ import annotations

from collections.abc import Sequence

from gnomon_diff.comparison import Filled, Loss, PairedShift, Presence, Shift, TwoSample

from gnomon_reports.figure import Column, Figure, grid, more, num
from gnomon_reports.marks import chip
from gnomon_reports.markup import Content, Markup, group, li, listed, p, span, ul, value
from gnomon_reports.numerals import PLAIN, count, day, fixed, many, quote, share
from gnomon_reports.run import Run

SHOWN = 12
TELLING = 0.01  # a smaller fall of the AUC is what shuffling any column may bring
_STAGES = {"mirrored": "before sending", "paired": "on the way", "predicted": "in the candidate"}


def losses_figure(run: Run) -> Figure | None:
    """Which parts of the traffic were lost more often than the rest."""
    found = run.comparison.losses
    if found is None or not (found.most or found.unknown):
        return None
    shown = [loss for loss in found.most if loss.shown]
    first, rest = found.most[:SHOWN], found.most[SHOWN:]
    body: list[Content] = [
        _losses(first) if first else p("No part lost more than the rest.", cls="line"),
        more(many(len(rest), "more part"), _losses(rest)) if rest else None,
        p("Not compared:", cls="line") if found.unknown else None,
        ul(*(li(value(line, 200)) for line in found.unknown), cls="plain") if found.unknown else None,
    ]
    return Figure(
        "input-losses",
        f"{many(len(shown), 'part')} lost more often than the rest"
        if shown
        else "No part is shown to be lost more often than the rest",
        f"lost requests, beside the share that all else lost; held against each other within each {found.block}, at 5\u202f% false findings",
        group(*body),
        foot=[
            f"n {count(run.comparison.accounts.mirrored or run.comparison.accounts.paired)}",
            f"{many(found.parts, 'part')} looked at",
            "counted, so no interval",
        ],
    )


def _losses(losses: Sequence[Loss]) -> Markup:
    columns: list[Column | str] = [
        "part",
        "lost",
        num("requests"),
        num("lost"),
        num("share"),
        num("of the rest"),
        num("too many"),
        "finding",
    ]
    rows: list[list[Content]] = [
        [
            group(value(loss.by.split(".", 1)[-1], 40), " = ", value("missing" if loss.value is None else loss.value, 40)),
            _STAGES[loss.stage],
            count(loss.n),
            count(loss.lost),
            share(loss.lost, loss.n),
            share(loss.rest_frac * 1e6, 1e6),
            count(loss.excess),
            chip("open", "loses more") if loss.shown else "not shown",
        ]
        for loss in losses
    ]  # fmt: skip
    return grid("What was lost, by part of the traffic", columns, rows)


def filled_figure(run: Run) -> Figure | None:
    """Null and default rates, by day and by served version: the features whose rates vary most."""
    found = run.comparison.presence
    if found is None or not found.n:
        return None
    rows = sorted(found.columns, key=lambda one: -_spread(one, found))
    columns: list[Column | str] = [
        "feature",
        num("null"),
        num("most on a day"),
        num("by version"),
        num("stand-in value"),
        num("most on a day"),
        num("by version"),
    ]
    first, rest = rows[:SHOWN], rows[SHOWN:150]
    name = "Null and default rates"
    return Figure(
        "input-filled",
        "Features without a value, or with one that usually stands for none",
        group(
            "share of requests; by day, and from the least to the greatest of the versions that served; those that "
            "vary most come first; stand-ins are 0, ",
            "\u22121, \u221299, \u2212999, \u22129999, and text such as unknown or n/a",
        ),
        group(
            grid(name, columns, [_filled(one, found) for one in first]),
            more(many(len(rest), "more feature"), grid(f"{name}, the others", columns, [_filled(one, found) for one in rest]))
            if rest
            else None,
        ),
        foot=[
            f"n {count(found.n)}",
            f"{many(len(found.days), 'day')}",
            f"{many(len(found.versions), 'served version')}",
            "counted, so no interval",
        ],
    )  # fmt: skip


def _filled(one: Filled, found: Presence) -> list[Content]:
    return [
        value(one.column.split(".", 1)[-1], 60),
        share(one.nulls, found.n),
        _worst_day(one.day_nulls, found),
        _versions(one.version_nulls, found),
        share(one.defaults, found.n),
        _worst_day(one.day_defaults, found),
        _versions(one.version_defaults, found),
    ]


def _spread(one: Filled, found: Presence) -> float:
    """The widest range of a rate over the days, or over the versions."""
    widest = 0.0
    for counts, n in (
        (one.day_nulls, found.day_n),
        (one.day_defaults, found.day_n),
        (one.version_nulls, found.version_n),
        (one.version_defaults, found.version_n),
    ):
        rates = [part / whole for part, whole in zip(counts, n, strict=True) if whole]
        widest = max(widest, max(rates, default=0.0) - min(rates, default=0.0))
    return widest


def _worst_day(counts: Sequence[int], found: Presence) -> Content:
    if not any(counts):
        return "0"
    at = max(range(len(counts)), key=lambda index: counts[index] / max(found.day_n[index], 1))
    return group(share(counts[at], found.day_n[at]), span(f", {day(found.days[at], year=False)}", cls="mut"))


def _versions(counts: Sequence[int], found: Presence) -> Content:
    rates = [(part / n, part, n) for part, n in zip(counts, found.version_n, strict=True) if n]
    if len(rates) < 2:
        return "one version"
    (_, a, b), (_, c, d) = min(rates), max(rates)
    return f"{share(a, b)} to {share(c, d)}"


def distances_figure(run: Run) -> Figure | None:
    """The distances beside PSI, each with what chance alone shows, and whether the halves can be told apart."""
    shifts = [shift for shift in run.comparison.shifts if shift.psi_chance is not None]
    if not shifts:
        return None
    told = run.comparison.two_sample
    sampled = max((shift.sampled_then + shift.sampled_now for shift in shifts), default=0)
    title = "Distances beside what chance shows"
    if told is not None and told.low is not None and told.low > 0.5:
        title = "The two halves can be told apart by their features"
    return Figure(
        "input-distances",
        title,
        "later against earlier half of the window; in brackets what independent rows of one law exceed in 5 of 100 cases (W1: show on average), days put more on it",
        group(_told(told, "the later half"), _distances(shifts)),
        foot=[
            f"n {count(max(shift.n_now for shift in shifts))} against {count(max(shift.n_then for shift in shifts))}",
            f"KS and W1 on {count(sampled)} drawn",
            "effect sizes; the interval of PSI stands above",
        ],
    )


def _told(told: TwoSample | None, what: str) -> Markup | None:
    """What a classifier made of it, in one line."""
    if told is None:
        return None
    if told.auc is None:
        return p(f"No classifier was trained: {told.reason}.", cls="line")
    found = quote(PLAIN, told.auc, told.low, told.high)
    telling = [one for one in told.telling[:3] if one.auc_drop > TELLING]
    names = listed([value(one.column.split(".", 1)[-1], 40) for one in telling])
    given = group("; most by ", names) if telling and (told.low or 0) > 0.5 else ""
    return p(
        f"A classifier tells {what} from the other on days it has not seen with AUC {found.text}{found.bracket} "
        f"(0.5: not at all), n {count(told.n_now)} against {count(told.n_then)}, {count(told.days_now)} against "
        f"{count(told.days_then)} days or rows",
        given,
        f"; {told.reason}." if told.reason else ".",
        cls="line",
    )


def _distances(shifts: Sequence[Shift]) -> Markup:
    ranked = sorted(shifts, key=lambda shift: -(shift.psi_excess or 0.0))
    columns: list[Column | str] = ["column", num("PSI"), num("Jensen-Shannon"), num("KS"), num("W1, in sd")]
    rows: list[list[Content]] = [
        [
            value(shift.column.removeprefix("features."), 60),
            _beside(shift.psi, shift.psi_chance),
            _beside(shift.js, shift.js_chance),
            _beside(shift.ks, shift.ks_chance),
            _beside(shift.wasserstein, shift.wasserstein_chance),
        ]
        for shift in ranked
    ]
    table = grid("Distances by column", columns, rows[:SHOWN])
    rest = rows[SHOWN:100]
    return group(
        table,
        more(many(len(rest), "more column"), grid("Distances of the other columns", columns, rest)) if rest else None,
    )  # fmt: skip


def _beside(size: float | None, chance: float | None) -> Content:
    if size is None:
        return "n/a"
    if chance is None:
        return fixed(size, 3)
    return group(fixed(size, 3), span(f" ({fixed(chance, 3)})", cls="mut"))


def reference_figure(run: Run) -> Figure | None:
    """The traffic against the reference that was named."""
    found = run.comparison.reference
    if found is None:
        return None
    missing: list[tuple[str, Sequence[str]]] = [
        ("Only in the traffic", found.only_traffic),
        ("Only in the reference", found.only_reference),
        ("Of another type in the reference, so not compared", found.unreadable),
    ]
    named: list[Content] = [
        p(f"{words}: ", ", ".join(name.removeprefix("features.")[:60] for name in names[:30]), cls="line")
        for words, names in missing
        if names
    ]
    strange = [
        p(
            value(shift.column.removeprefix("features."), 60),
            f": {words} ",
            ", ".join(name[:60] for name in names),
            cls="line",
        )
        for shift in found.shifts
        for words, names in (("new", shift.new_values), ("gone", shift.gone_values))
        if names
    ]
    return Figure(
        "input-reference",
        group("The traffic beside ", value(found.name, 60)),
        "each feature's distance from the reference; in brackets what independent rows of one law exceed in 5 of 100 cases (W1: show on average)",
        group(
            _told(found.two_sample, "the traffic"),
            _distances([shift for shift in found.shifts if shift.psi is not None]),
            *strange[:20],
            *named,
        ),
        foot=[
            f"n {count(found.n_traffic)} against {count(found.n_reference)}",
            "effect sizes, so no interval",
        ],
    )


def paired_figure(run: Run) -> Figure | None:
    """The candidate's scores and labels as a distribution, against those that users got."""
    found = run.comparison.paired_shifts
    if not found:
        return None
    columns: list[Column | str] = [
        "answer",
        num("n"),
        num("PSI"),
        num("less pairing"),
        num("Jensen-Shannon"),
        num("KS"),
        num("W1"),
    ]
    strange = [
        p(
            f"Labels that only {words}: ", ", ".join(value_text[:60] for value_text in names), cls="line"
        )
        for one in found
        for words, names in (("the candidate gives", one.new_values), ("users got", one.gone_values))
        if names
    ]  # fmt: skip
    return Figure(
        "scores-paired",
        "The answers as a distribution",
        "candidate against what users got, on the same requests; KS with 95\u202f% bounds for independent requests",
        group(grid("Distance of the answers", columns, [_paired(one) for one in found]), *strange),
        foot=[f"n {count(max(one.n for one in found))}", *dict.fromkeys(one.reason for one in found)],
    )


def _paired(one: PairedShift) -> list[Content]:
    ks = quote(PLAIN, one.ks, one.ks_low, one.ks_high)
    return [
        one.column,
        count(one.n),
        "n/a" if one.psi is None else fixed(one.psi, 4),
        "n/a" if one.psi_excess is None else fixed(one.psi_excess, 4),
        "n/a" if one.js is None else fixed(one.js, 3),
        group(ks.text, ks.bracket),
        "n/a" if one.wasserstein is None else fixed(one.wasserstein, 4),
    ]
