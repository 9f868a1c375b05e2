"""Did the primary see what was captured? Shown before all else when it did not: it undermines every figure."""

from __future__ import annotations

from gnomon_reports.figure import Figure, Section, grid, num
from gnomon_reports.markup import Content, say, strong
from gnomon_reports.numerals import count, many, share
from gnomon_reports.run import Run


def skew_section(run: Run) -> Section | None:
    """Only where serving skew was found."""
    found = run.comparison.disagreement
    if found.skew is None or not run.skewed:
        return None
    size = share(found.skew * found.noise_n, found.noise_n)
    answer: list[Content] = [
        say(
            "{no} Run again on what was captured, {primary} answers otherwise than was served {size} more often than it disagrees with itself, counted over {n}.",
            no=strong("No."),
            primary=run.primary,
            size=size,
            n=many(found.noise_n, "pair"),
        ),
        "So the features captured are not those that were served. Mend that before reading on.",
    ]
    noise = found.noise or 0.0
    rows: list[list[Content]] = [
        ["serving skew", size, count(found.noise_n)],
        ["noise floor", share(noise * found.noise_n, found.noise_n), count(found.noise_n)],
        ["answers that differ", share(found.flips, found.n), count(found.n)],
    ]
    figure = Figure(
        "skew-figures",
        "Serving skew beside noise and disagreement",
        "shares of pairs, counted, so no interval",
        grid("Serving skew", ["what", num("share"), num("n")], rows),
        foot=[f"n {count(found.noise_n)}"],
        wide=6,
    )
    return Section("skew", "Skew", "Did the primary see what was captured?", answer, [figure])
