"""The accounts as a picture and as lines: from what was served to what has a label."""

from __future__ import annotations

from gnomon_reports.marks import chip, percent, picture
from gnomon_reports.markup import (
    Content,
    Markup,
    caption,
    div,
    group,
    h2,
    rect,
    span,
    table,
    tbody,
    td,
    th,
    tr,
)
from gnomon_reports.numerals import MINUS, count
from gnomon_reports.run import Run


def stages(run: Run) -> list[tuple[str, int | None]]:
    """Served, mirrored, paired, predicted, labelled; null where it is not known."""
    accounts, right = run.comparison.accounts, run.comparison.correctness
    labelled = right.labelled if right is not None else 0
    part = run.comparison.part
    if part is not None and part.where is not None:  # what did not become a pair has no columns to ask
        return [("paired", accounts.paired), ("predicted", accounts.predicted), ("labelled", labelled)]
    return [
        ("served", accounts.seen),
        ("mirrored", accounts.mirrored),
        ("paired", accounts.paired),
        ("predicted", accounts.predicted),
        ("labelled", labelled),
    ]


def balance_chip(run: Run, good: str, bad: str) -> Markup:
    """Whether the accounts balance; open where a side of a line cannot be known, neither where there is nothing."""
    accounts = run.comparison.accounts
    if not accounts.rows and not accounts.mirrored:
        return chip("none", "no records", quiet=True)
    if not run.balanced:
        return chip("fail", bad)
    unknown = any(line.balanced is None for line in accounts.balances)
    return chip("open", f"{good} as far as known") if unknown else chip("pass", good)


def funnel(run: Run) -> Markup:
    """Each stage as a bar with the loss beside it."""
    known = [n for _, n in stages(run) if n is not None]
    most = max([*known, 1])
    rows: list[Markup] = []
    before: int | None = None
    for name, n in stages(run):
        loss: Content = ""
        if n is not None and before is not None and before != n:
            loss = f"{MINUS}{count(before - n)}" if n < before else f"+{count(n - before)}"
        bar = group(
            rect(cls="track", width="100%", height=8),
            rect(cls="filled", width=percent((n or 0) / most), height=8),
        )
        rows.append(
            tr(
                th(name, scope="row"),
                td(picture(8, bar) if n is not None else None),
                td(count(n) if n is not None else "unknown"),
                td(loss, cls="mut"),
            )
        )
        before = before if n is None else n
    wrong = [line for line in run.comparison.accounts.balances if line.balanced is False]
    return div(
        h2(
            "From paired to labelled " if stages(run)[0][0] == "paired" else "From served to labelled ",
            span(balance_chip(run, "balances", "does not balance")),
            cls="h3 beside-chip",
        ),
        table(caption("From requests served to pairs labelled", cls="vh"), tbody(*rows), cls="funnel"),
        *(
            div(
                f"{line.name} does not add up: {count(line.left or 0)} against {count(line.right or 0)}",
                cls="line fail",
            )
            for line in wrong
        ),
        id="verdict-accounts",
    )
