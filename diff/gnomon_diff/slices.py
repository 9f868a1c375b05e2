"""Slices: where the answers differ more than elsewhere, found on one part of the log and tested on another.

Keys are halved by the hash of their name, and whole days into even and odd ones. Slices are searched on one half
of the keys and even days (`slicing`), tested on the other half and odd days, and the rest serves neither, so
that neither a key nor a day's weather is on both sides (statistics.md, 11). Each slice is tested by its days'
evidence of lying beyond the limit for segments; e-BH over all that were proposed keeps the expected share of
false ones among those confirmed, per report, at `ALPHA`. Slices explain and are never judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np
import pyarrow as pa

from gnomon_diff.binning import Bins, drawn_sql
from gnomon_diff.comparison import Disagreement, Slice, SliceSearch
from gnomon_diff.daysums import DaySums
from gnomon_diff.disagreement import EVENTS_MIN, why_open
from gnomon_diff.evidence import DayCriterion, Interval, e_bh, reject_log_e, rule_bounds
from gnomon_diff.evidence.engine import FloatArray
from gnomon_diff.questions import Questions
from gnomon_diff.settings import Policy
from gnomon_diff.slicing import Region, propose, rows_of
from gnomon_diff.window import Window, epoch_us

ALPHA = 0.1
"""False discovery rate of a report."""
TEST_DAYS = 14
DEFAULT_LIMIT = 0.05  # as the gate's default
SEARCH_ROWS = 200_000
_SEARCH_CELLS = 20_000_000  # rows times features: what the search holds in memory
_KEY = "md5('slices:' || coalesce(\"key\", request_id))"
_SEARCHED, _TESTED = f"{_KEY} < '8'", f"{_KEY} >= '8'"


@dataclass(frozen=True)
class _Sums:
    """Of one slice: over all its requests, and by test day."""

    n: int
    flips: int
    noise_n: int
    noise: float
    test_n: int
    test_flips: int
    rows: FloatArray
    flags: FloatArray
    noise_total: FloatArray


def ask_slices(
    questions: Questions,
    bins: Sequence[Bins],
    window: Window,
    sums: DaySums,
    found: Disagreement,
    policy: Policy,
    *,
    seed: int = 0,
) -> SliceSearch:
    """Searches, and tests what it finds.

    Args:
        bins: of the features and attributes to search by.
        sums: says which days are whole.
        found: the disagreement of all traffic; with a noise floor the excess over it is tested, else the rate.
        policy: its limit for segments is what a slice must be shown to be beyond.
        seed: of the trees.

    The search reads about `SEARCH_ROWS` requests, and does not weigh them; the test reads all of its part.
    """
    whole = [int(day) for day in sums.days[sums.whole]]
    search_days, test_days = [day for day in whole if day % 2 == 0], [day for day in whole if day % 2]
    limit, excess = _limit(policy, found)
    search = SliceSearch(
        limit=limit,
        measure="excess" if excess else "rate",
        alpha=ALPHA,
        searched_n=0,
        test_n=0,
        test_days=len(test_days),
        proposed=0,
        reason=None,
        seed=seed,
        slices=[],
    )
    if not search_days or not test_days:
        return _replace(search, reason="slices are searched on even and tested on odd whole days")
    if not bins:
        return _replace(search, reason="no feature or attribute has more than one value")
    most = min(SEARCH_ROWS, _SEARCH_CELLS // len(bins))
    answer = questions.ask(
        "searched",
        start_us=str(epoch_us(window.start)),
        codes=", ".join(f"({one.sql()})::UTINYINT AS c{index}" for index, one in enumerate(bins)),
        days=", ".join(map(str, search_days)),
        searched=_SEARCHED,
        drawn=drawn_sql("'drawn:' || request_id", 4 * most / max(found.n, 1)),
    )
    kept, regions = _searched(answer, bins, seed)
    search = _replace(search, searched_n=answer.num_rows, proposed=len(regions))
    if not regions:
        return _replace(search, reason="nowhere do they differ notably more often than elsewhere")
    predicates = [
        " AND ".join(kept[feature].predicate(codes) for feature, codes in region) for region in regions
    ]
    everything, *each = _ask_sums(questions, predicates, window, test_days)
    search = _replace(search, test_n=everything.test_n)
    return _replace(search, slices=_tested(search, predicates, each, found))


def _limit(policy: Policy, found: Disagreement) -> tuple[float, bool]:
    """The limit, and whether it is one of the excess over the noise floor."""
    if policy.disagreement is None and policy.disagreement_raw is not None:
        return policy.disagreement_raw.max, False
    declared = policy.segments.disagreement or policy.disagreement
    return DEFAULT_LIMIT if declared is None else declared.max_excess, found.excess is not None


def _searched(answer: pa.Table, bins: Sequence[Bins], seed: int) -> tuple[list[Bins], list[Region]]:
    """The features searched by, and what was found; an attribute that repeats a feature is left out."""
    if not answer.num_rows:
        return list(bins), []
    columns: dict[bytes, int] = {}
    codes = [answer[f"c{index}"].to_numpy() for index in range(len(bins))]
    order = sorted(range(len(bins)), key=lambda index: bins[index].feature.startswith("attributes."))
    for index in order:
        columns.setdefault(bytes([bins[index].size]) + codes[index].tobytes(), index)
    chosen = sorted(columns.values())
    kept = [bins[index] for index in chosen]
    rows = rows_of(
        np.stack([codes[index] for index in chosen], axis=1),
        [one.size for one in kept],
        [one.ordered for one in kept],
        answer["disagrees"].to_numpy(),
        answer["day"].to_numpy(),
    )
    return kept, propose(rows, seed=seed)


def _ask_sums(
    questions: Questions,
    predicates: Sequence[str],
    window: Window,
    test_days: Sequence[int],
) -> list[_Sums]:
    """Of all traffic, and of each slice; the part `weight` says whether the log was sampled."""
    flags = [f"s{number}" for number in range(len(predicates) + 1)]
    answer = questions.ask(
        "slices",
        start_us=str(epoch_us(window.start)),
        test_key=_TESTED,
        slices=",\n        ".join(
            f"coalesce({predicate}, false) AS {name}"
            for predicate, name in zip(["true", *predicates], flags, strict=True)
        ),
        flags=", ".join(flags),
        most=str(len(flags)),
    )
    of_slice = answer["slice"].to_numpy()
    columns = {name: answer[name].to_numpy(zero_copy_only=False) for name in answer.column_names}
    return [
        _sums({name: column[of_slice == number] for name, column in columns.items()}, test_days)
        for number in range(len(flags))
    ]


def _sums(rows: Mapping[str, FloatArray], test_days: Sequence[int]) -> _Sums:
    test = rows["tested"].astype(bool) & np.isin(rows["day"], test_days)
    at = np.searchsorted(test_days, rows["day"][test].astype(int))
    by_day = {}
    for name in ("rows", "flags", "noise_total"):
        by_day[name] = np.zeros(len(test_days))
        by_day[name][at] = rows[name][test].astype(float)
    return _Sums(
        n=int(rows["n"].sum()),
        flips=int(rows["flips"].sum()),
        noise_n=int(rows["noise_n"].sum()),
        noise=float(rows["noise"].sum()),
        test_n=int(rows["n"][test].sum()),
        test_flips=int(rows["flips"][test].sum()),
        **by_day,
    )


def _tested(
    search: SliceSearch, predicates: Sequence[str], each: Sequence[_Sums], found: Disagreement
) -> list[Slice]:
    """Confirmed ones first, then by the evidence; without days enough in the order in which they were found."""
    rows, flags, noise = (
        np.stack([getattr(one, name) for one in each]) for name in ("rows", "flags", "noise_total")
    )
    tested = search.test_days >= TEST_DAYS
    of_excess = search.measure == "excess"
    criterion = DayCriterion.excess(search.limit) if of_excess else DayCriterion.rate(search.limit)
    log_e = reject_log_e(criterion, flags - noise if of_excess else flags, rows)[:, -1]
    confirmed = e_bh(log_e, alpha=ALPHA).tolist() if tested else []
    # The confirmed ones' intervals hold together with the false discovery rate (e-BY: Xu, Wang, Ramdas).
    levels = [
        ALPHA * max(len(confirmed), 1) / len(each) if number in confirmed else 0.05
        for number in range(len(each))
    ]
    slices = []
    for number, (predicate, one) in enumerate(zip(predicates, each, strict=True)):
        rate, excess = Interval(low=None, high=None), Interval(low=None, high=None)
        if tested:
            [rate] = rule_bounds(_rule(DayCriterion.rate(0.5)), one.flags, one.rows, alpha=levels[number])
            if of_excess:
                [excess] = rule_bounds(
                    _rule(DayCriterion.excess(0.5)),
                    one.flags - one.noise_total,
                    one.rows,
                    alpha=levels[number],
                )
        reason = (
            why_open(search.test_days, *((rate, excess) if of_excess else (rate,)))
            if tested
            else f"a test takes {TEST_DAYS} odd whole days, there are {search.test_days}"
        )
        total = one.rows.sum()
        rest, rest_flips = found.n - one.n, found.flips - one.flips
        slices.append(
            Slice(
                predicate=predicate,
                n=one.n,
                share=one.n / found.n,
                flips=one.flips,
                rate=one.flips / one.n if one.n else None,
                lift=one.flips / one.n * rest / rest_flips if one.n and rest_flips else None,
                noise_n=one.noise_n,
                noise=one.noise / one.noise_n if one.noise_n else None,
                test_n=one.test_n,
                test_flips=one.test_flips,
                test_rate=float(one.flags.sum() / total) if total else None,
                low=rate.low,
                high=rate.high,
                excess=float((one.flags - one.noise_total).sum() / total) if total and of_excess else None,
                excess_low=excess.low,
                excess_high=excess.high,
                level=1 - levels[number],
                log_e=float(log_e[number]) if tested and np.isfinite(log_e[number]) else None,
                confirmed=number in confirmed if tested else None,
                reason=reason,
            )
        )
    order = sorted(
        range(len(slices)),
        key=lambda number: (not slices[number].confirmed, -log_e[number] if tested else 0.0, number),
    )
    return [slices[number] for number in order]


def _rule(criterion: DayCriterion) -> DayCriterion:
    return replace(criterion, events_min=EVENTS_MIN)


def _replace(search: SliceSearch, **changes: object) -> SliceSearch:
    return msgspec.structs.replace(search, **changes)
