"""A comparison as a notebook shows it: a small table in which each figure has its n, and its interval or the reason that it has none.

It holds no verdict, and no value from the traffic but names, which are escaped.
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import NamedTuple

from gnomon_diff.comparison import Accounts, Comparison, PartOf

_NO_VERDICT = "Not a verdict: gnomon.judge, or `gnomon gate`, gives one."
_HEAD = ("figure", "value", "95 % interval, or why none", "n")


class Row(NamedTuple):
    """One figure in words."""

    figure: str
    value: str
    interval: str
    n: str


def rows(comparison: Comparison) -> list[Row]:
    """The figures, always in this order; what was not measured says so."""
    return list(_rows(comparison))


def _rows(comparison: Comparison) -> Iterator[Row]:
    found, accounts, right = comparison.disagreement, comparison.accounts, comparison.correctness
    none_yet = found.reason or "none"
    yield Row(
        "answers that differ", _percent(found.rate), _ends(found.low, found.high, none_yet), _count(found.n)
    )
    yield Row("noise floor", _percent(found.noise), "counted on the noise sample", _count(found.noise_n))
    yield Row(
        "disagreement above noise",
        _percent(found.excess, " points"),
        _ends(found.excess_low, found.excess_high, none_yet),
        _count(found.n),
    )
    failed = accounts.paired - accounts.predicted
    share = failed / accounts.paired if accounts.paired else None
    yield Row("candidate's errors", _percent(share), "counted", _count(accounts.paired))
    latency = comparison.latency
    if latency is None or latency.ratio_p95 is None:
        why = (latency.reason if latency is not None else None) or "no request was timed on both sides"
        yield Row("p95 latency, candidate / primary", "–", why, _count(latency.n if latency else 0))
    else:
        ends = _between(
            latency.ratio_low, latency.ratio_high, latency.reason or "too few timed requests", 1.0, ""
        )
        yield Row("p95 latency, candidate / primary", f"{latency.ratio_p95:.2f}", ends, _count(latency.n))
    if right is None or not right.labelled:
        yield Row("accuracy, candidate − primary", "–", "no labels yet: `gnomon labels FILE`", "0")
        return
    change = right.difference
    yield Row(
        "accuracy, candidate − primary",
        _percent(change.rate, " points"),
        _ends(change.low, change.high, change.reason or "none"),
        _count(right.labelled),
    )


def as_html(comparison: Comparison) -> str:
    """A table that needs no style sheet and runs no script."""
    title, notes = _title(comparison), _notes(comparison)
    head = "".join(f"<th>{html.escape(name)}</th>" for name in _HEAD)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
        for row in rows(comparison)
    )
    below = "".join(f"<div>{html.escape(note)}</div>" for note in notes)
    return (
        f"<div><strong>{html.escape(title)}</strong>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{below}</div>"
    )


def as_markdown(comparison: Comparison) -> str:
    """The same in Markdown."""
    lines = [
        f"**{_plain(_title(comparison))}**",
        "",
        "| " + " | ".join(_HEAD) + " |",
        "|---|---|---|---|",
        *("| " + " | ".join(_plain(cell) for cell in row) + " |" for row in rows(comparison)),
        "",
        *(f"{_plain(note)}  " for note in _notes(comparison)),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _title(comparison: Comparison) -> str:
    subject = comparison.subject
    primary = subject.primary_version or "primary"
    return f"{subject.experiment}: {primary} → {subject.candidate_version or 'no candidate'}"


def _notes(comparison: Comparison) -> list[str]:
    subject = comparison.subject
    if subject.first_ts is None or subject.last_ts is None:
        when = "No pairs."
    else:
        when = (
            f"{_count(comparison.accounts.paired)} pairs, {subject.first_ts:%Y-%m-%d %H:%M} to "
            f"{subject.last_ts:%Y-%m-%d %H:%M} UTC, {comparison.disagreement.days} whole days."
        )
    part = comparison.part
    notes = [when] if part is None else [when, _part(part)]
    if part is None or part.where is None:
        notes.append(_accounts(comparison.accounts))
    return [*notes, _NO_VERDICT if part is None else "A part of the traffic has no verdict."]


def _part(part: PartOf) -> str:
    said = [
        f"from {part.from_ts:%Y-%m-%d %H:%M} UTC" if part.from_ts is not None else "",
        f"to {part.to_ts:%Y-%m-%d %H:%M} UTC" if part.to_ts is not None else "",
        f"where {part.where}" if part.where is not None else "",
    ]
    return f"A part, of {_count(part.pairs_of_all)} pairs in all: {', '.join(filter(None, said))}."


def _accounts(accounts: Accounts) -> str:
    wrong = [line.name for line in accounts.balances if line.balanced is False]
    if wrong:
        return f"The accounts do not balance: {', '.join(wrong)}."
    if accounts.missing:
        return f"{_count(accounts.missing)} records are missing."
    unknown = [line.reason for line in accounts.balances if line.balanced is None and line.reason]
    return f"Accounts: as far as known ({unknown[0]})." if unknown else "The accounts balance."


def _count(n: int) -> str:
    return f"{n:,}"


def _percent(share: float | None, unit: str = " %") -> str:
    return "–" if share is None else f"{100 * share:.2f}{unit}"


def _ends(low: float | None, high: float | None, why: str) -> str:
    return _between(low, high, why, 100.0, "")


def _between(low: float | None, high: float | None, why: str, scale: float, unit: str) -> str:
    if low is None and high is None:
        return why
    ends = ("none" if end is None else f"{scale * end:.2f}{unit}" for end in (low, high))
    return f"[{', '.join(ends)}]"


def _plain(text: str) -> str:
    """Text in which nothing is Markdown or HTML."""
    escaped = html.escape(" ".join(text.split()), quote=False)
    return "".join(f"\\{char}" if char in "\\|*_[]`" else char for char in escaped)
