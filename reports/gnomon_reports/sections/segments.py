"""Segments: each one's disagreement above noise, against its limit."""

from __future__ import annotations

from collections.abc import Sequence

from gnomon_diff.comparison import Criterion, Segment

from gnomon_reports.criteria import limit_of
from gnomon_reports.figure import Column, Figure, grid, more, num
from gnomon_reports.marks import Scale, chip, interval, picture, ticks, vertical, words
from gnomon_reports.markup import Content, Markup, b, group, span
from gnomon_reports.numerals import (
    PERCENT,
    POINTS,
    Quote,
    about,
    count,
    in_words,
    many,
    quote,
    rate,
    sentence,
    share,
)
from gnomon_reports.run import Run, feature_name, segment_name

SHOWN = 10
LISTED = 200  # beyond these, segments are pooled in one line: a page holds aggregates
HEIGHT = 22


def segments_figure(run: Run) -> Figure | None:
    """Failing first, then by evidence; those that are too small to say anything stay in sight."""
    segments = _once(run.comparison.segments)
    if not segments or run.comparison.disagreement.n < 2:
        return None
    twins = len(run.comparison.segments) - len(segments)
    ordered = sorted(segments, key=lambda segment: _order(run, segment))
    open_ones = [s for s in ordered[SHOWN:] if (c := run.criterion(s)) is not None and c.state == "open"]
    first = ordered[:SHOWN] + open_ones[:SHOWN]
    rest = [segment for segment in ordered if segment not in first]
    axis = _axis(run, first)
    above = run.comparison.disagreement.excess is not None
    body: list[Content] = [_table(run, first, axis, above, "Disagreement by segment")]
    if rest:
        listed, pooled = rest[:LISTED], rest[LISTED:]
        body.append(
            more(
                f"{many(len(rest), 'more segment')}",
                _table(run, listed, axis, above, "Disagreement of the other segments"),
            )
        )
        if pooled:
            n, flips = sum(s.n for s in pooled), sum(s.flips for s in pooled)
            body.append(
                f"{many(len(pooled), 'other')}, pooled: {about(flips)} of {about(n)} differ ({share(flips, n)}), counted."
            )
    judged = [c for segment in segments if (c := run.criterion(segment)) is not None]
    unit = (
        "points of disagreement above the noise floor"
        if above
        else "share of answers that differ, noise included"
    )
    bounds = (
        "bar: the bounds that decide, all segments controlled together"
        if judged
        else "bar: 95\u202f% interval"
    )
    return Figure(
        "where-segments",
        _title(len(segments), judged),
        f"{unit}; {bounds}",
        group(*body),
        foot=[
            f"n {count(run.comparison.disagreement.n)}",
            f"{many(len(segments), 'segment')}, {count(len(judged))} judged",
            *([f"{count(twins)} more are the same requests under an attribute's name"] if twins else []),
        ],
    )


def _once(segments: Sequence[Segment]) -> list[Segment]:
    """Without those that are there twice, as a feature and as an attribute; the judged one of two stays."""
    kept: dict[tuple[str, str, str | None, int, int], Segment] = {}
    for segment in sorted(segments, key=lambda segment: not segment.judged):
        key = segment.key
        kept.setdefault((feature_name(key.feature), key.kind, key.value, segment.n, segment.flips), segment)
    return list(kept.values())


def _order(run: Run, segment: Segment) -> tuple[int, float, int]:
    """Failing, open, the rest; within these by what is shown at the least, not by what luck gave a small one."""
    criterion = run.criterion(segment)
    least = segment.excess_low if segment.excess_low is not None else segment.low
    rank = {"fail": 0, "open": 1}.get(criterion.state, 2) if criterion is not None else 2
    return rank, -(least if least is not None else -1.0), -segment.n


def _title(segments: int, judged: list[Criterion]) -> str:
    """What the bounds have shown of the judged ones; without any, no claim."""
    if not judged:
        return "Disagreement by segment"
    beyond = sum(c.state == "fail" for c in judged)
    still_open = sum(c.state == "open" for c in judged)
    if beyond:
        return f"{sentence(in_words(beyond))} of {count(len(judged))} judged segments {'is' if beyond == 1 else 'are'} beyond the limit"
    if still_open:
        return f"No segment is shown beyond its limit, {in_words(still_open)} of {count(len(judged))} {'is' if still_open == 1 else 'are'} open"
    return f"All {count(len(judged))} judged segments lie within their limit"


def _bounds(run: Run, segment: Segment, above: bool) -> tuple[float | None, float | None, float | None]:
    """Estimate and ends: of the criterion that judged it, so that state and picture agree, or its own interval."""
    criterion = run.criterion(segment)
    if criterion is not None and criterion.estimate is not None:
        return criterion.estimate, criterion.low, criterion.high
    if above:
        return segment.excess, segment.excess_low, segment.excess_high
    return segment.rate, segment.low, segment.high


def _axis(run: Run, segments: list[Segment]) -> Scale:
    limits = [c.limit for s in segments if (c := run.criterion(s)) is not None]
    above = run.comparison.disagreement.excess is not None
    found = [_bounds(run, segment, above) for segment in segments]
    estimates = [estimate for estimate, _, _ in found if estimate is not None]
    highs = [high for _, _, high in found if high is not None]
    reach = max([*estimates, *limits, 0.001])
    return Scale(0, max(reach * 1.25, min(max(highs, default=0), reach * 2)))


def _table(run: Run, segments: list[Segment], axis: Scale, above: bool, name: str) -> Markup:
    limit = next((c.limit for s in segments if (c := run.criterion(s)) is not None), None)
    marks = [at for at in ticks(0, axis.high, 4) if limit is None or abs(axis(at) - axis(limit)) > 0.12]
    head = picture(
        16,
        *(
            words(axis(at), 12, f"{100 * at:g}", cls="" if at == 0 else "h")
            for at in marks
            if axis(at) < 0.95
        ),
        words(axis(limit), 12, f"limit {100 * limit:g}", cls="h b") if limit is not None else None,
    )
    columns = [
        Column("Segment"),
        num("Pairs", narrow=False),
        Column(group(span("Bounds", cls="vh"), head), "pic w34"),
        num("Points, bounds" if above else "Share, bounds"),
        num(run.flips.capitalize(), narrow=False),
        Column("Finding"),
    ]
    rows = [_row(run, segment, axis, above) for segment in segments]
    return grid(name, columns, rows)


def _row(run: Run, segment: Segment, axis: Scale, above: bool) -> list[Content]:
    criterion = run.criterion(segment)
    estimate, low, high = _bounds(run, segment, above)
    found: Quote = quote(POINTS if above else PERCENT, estimate, low, high)
    if not above and low is None and high is None:
        found = rate(estimate, None, None, segment.n)
    too_few = low is None and high is None
    state = criterion.state if criterion is not None else "none"
    if too_few and state in ("open", "none"):
        finding = chip("open", "too few")
    elif criterion is None:
        finding = span("with the small ones" if segment.judged else "not judged", cls="mut")
    else:
        finding = chip(state, state, quiet=state == "pass")
    drawing = picture(
        HEIGHT,
        vertical("limit", axis(criterion.limit), 0, HEIGHT) if criterion is not None else None,
        interval(axis, estimate, low, high, HEIGHT),
        label=f"{found.text}, bounds {found.span}" + (f", limit {limit_of(criterion)}" if criterion else ""),
        cls=state,
    )
    return [
        segment_name(segment.key),
        count(segment.n),
        drawing,
        group(b(found.number), " ", span(found.bracket.strip() or "too few days", cls="ends")),
        count(segment.flips),
        finding,
    ]
