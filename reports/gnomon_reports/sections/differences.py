"""In which ways the answers differ, and how far apart they are: for whatever is not one of a few labels."""

from __future__ import annotations

from gnomon_diff.comparison import DifferenceKind, Differences, Distance

from gnomon_reports.figure import Column, Figure, grid, more, num
from gnomon_reports.markup import Content, Markup, group, say, strong, value
from gnomon_reports.numerals import MINUS, PERCENT, THIN, count, many, quote, share
from gnomon_reports.run import Run

MOST_KINDS, MOST_CASES = 50, 20
_WORDS = {
    "label": "another label",
    "unseen_label": "a label that is neither declared nor among those that users got",
    "score_range": "one score alone is out of its range, 0 to 1",
    "value": "another value",
    "not_finite": "one value alone is NaN or infinite",
    "items": "other ids",
    "text": "another text",
    "distance": "too far apart",
    "type": "another type",
    "missing": "missing in the candidate",
    "extra": "only in the candidate",
    "order": "another order",
    "length": "another length",
}


def kinds_figure(run: Run) -> Figure | None:
    """None where answers differ in their labels alone, which the flip matrix shows."""
    found = run.comparison.differences
    if found is None or not found.kinds or [one.kind for one in found.kinds] == ["label"]:
        return None
    by_path = any(one.path is not None for one in found.kinds)
    whole = run.comparison.disagreement
    first = found.kinds[0]
    return Figure(
        "where-kinds",
        say(
            "The most frequent: {kind}{path}, in {part} of the pairs",
            kind=_WORDS.get(first.kind, first.kind),
            path=group(" at ", value(first.path, 60)) if first.path is not None else "",
            part=_share(first),
        ),
        f"answers differ where {found.rule}; counted"
        + (", a request in each way in which its answers differ" if by_path else ""),
        group(_kinds(run, found, by_path=by_path), _cases(run, found)),
        foot=[
            f"n {count(whole.n)}",
            f"noise on n {count(whole.noise_n)}" if by_path and whole.noise_n else "counted, so no interval",
            *(["there are more kinds"] if found.more_kinds or len(found.kinds) > MOST_KINDS else []),
        ],
    )


def _kinds(run: Run, found: Differences, *, by_path: bool) -> Markup:
    columns: list[Column | Markup | str] = ["How", num("Pairs"), num("Share")]
    if by_path:
        columns = ["Path", *columns, num("Noise")]
    rows: list[list[Content]] = []
    for one in found.kinds[:MOST_KINDS]:
        row: list[Content] = [_WORDS.get(one.kind, one.kind), count(one.n), _share(one)]
        if by_path:
            noise = "n/a" if one.noise is None else _part(one.noise, run.comparison.disagreement.noise_n)
            row = [value(one.path, 80), *row, noise]
        rows.append(row)
    return grid("Kinds of difference", columns, rows)


def _cases(run: Run, found: Differences) -> Content:
    rows: list[list[Content]] = [
        [value(one.path, 60), one.kind, value(case.request_id, 30), _side(case.served), _side(case.candidate)]
        for one in found.kinds[:MOST_CASES]
        for case in one.cases[:1]
    ]
    if not rows:
        return None
    columns: list[Column | Markup | str] = [
        "Path",
        "How",
        "Request",
        Column(run.primary),
        Column(run.candidate),
    ]
    return more("One request of each", grid("Examples of differences by path", columns, rows))


def _side(text: str | None) -> Content:
    return "nothing" if text is None else value(text, 80)


def _share(one: DifferenceKind) -> str:
    return _part(one.share, round(one.n / one.share) if one.share else 0)


def _part(frac: float, n: int) -> str:
    return share(frac * n, n) if n else quote(PERCENT, frac).text


def distances_answer(distance: Distance) -> Content:
    """What the middle and the tail are, beside the models against themselves."""
    if not distance.n:
        return f"No {distance.name}: no pair has one."
    itself = (
        f"; of a model against itself {_number(distance.noise_quantiles['p50'])}"
        if distance.noise_n
        else "; of the models against themselves it was not measured"
    )
    return say(
        "{middle} 5{thin}% of the pairs are at or below {low}, 5{thin}% at or above {high}, over {n}, counted{itself}.",
        middle=strong(f"The middle {distance.name} is {_number(distance.quantiles['p50'])}."),
        low=_number(distance.quantiles["p05"]),
        high=_number(distance.quantiles["p95"]),
        n=many(distance.n, "pair"),
        itself=itself,
        thin=THIN,
    )


def distances_figure(run: Run) -> Figure | None:
    """The quantiles of every distance; None where the task has none."""
    found = run.comparison.differences
    distances = found.distances if found is not None else []
    if not distances:
        return None
    names = list(distances[0].quantiles) or list(distances[0].noise_quantiles)
    columns: list[Column | Markup | str] = ["what", num("n"), num("mean"), *(num(name) for name in names)]
    rows: list[list[Content]] = []
    for one in distances:
        rows.append([one.name, count(one.n), _number(one.mean), *_row(one.quantiles, names)])
        if one.noise_n:
            again = [_number(one.noise_mean), *_row(one.noise_quantiles, names)]
            rows.append(
                [group(one.name, ", of both models against themselves"), count(2 * one.noise_n), *again]
            )
    return Figure(
        "scores-distances",
        "How far apart the answers are",
        f"quantiles over the pairs that have one; {distances[0].reason or 'counted'}",
        grid("Distances", columns, rows),
        foot=[f"n {count(distances[0].n)}", f"noise on n {count(distances[0].noise_n)}"],
    )


def _row(quantiles: dict[str, float], names: list[str]) -> list[Content]:
    return [_number(quantiles.get(name)) for name in names]


def _number(number: float | None) -> str:
    return "n/a" if number is None else f"{number:,.4g}".replace(",", THIN).replace("-", MINUS)
