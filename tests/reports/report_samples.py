"""Comparisons and verdicts to show: seeded, with every number counted from the same made-up requests.

    python tests/reports/report_samples.py

writes tests/data/comparison.json, the golden form of contract 3: `golden()` below. Another schema gets another
file; this one must load for ever.
"""

from __future__ import annotations

import datetime
import functools
import math
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from gnomon_diff.comparison import (
    Accounts,
    Balance,
    Comparison,
    Correctness,
    Coverage,
    Criterion,
    Cutoff,
    Day,
    Disagreement,
    ErrorKind,
    Example,
    Flip,
    Histogram,
    Latency,
    Process,
    Quantile,
    Query,
    Rate,
    ScoreMove,
    Segment,
    SegmentKey,
    Shift,
    Subject,
    Verdict,
    to_json,
)
from right_samples import ESTIMATED, with_costs, with_truth

GOLDEN = Path(__file__).parents[1] / "data" / "comparison.json"

Sample = tuple[Comparison, Verdict | None]

START = datetime.datetime(2013, 7, 1, tzinfo=datetime.UTC)
BREAK = datetime.datetime(2013, 9, 9, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
CARRIERS = {
    "UA": 0.178, "B6": 0.168, "EV": 0.160, "DL": 0.149, "AA": 0.099, "MQ": 0.078, "US": 0.063,
    "9E": 0.053, "WN": 0.038, "FL": 0.0096, "VX": 0.0016, "AS": 0.0012, "YV": 0.0008, "OO": 0.0002,
}  # fmt: skip
ORIGINS = {"EWR": 0.36, "JFK": 0.33, "LGA": 0.31}
NOISE_FRAC = 0.05
DIGEST = "3f1c0a7e5b2d4c6f8091a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f7"


@dataclass
class Tally:
    """The sums of one day over all traffic or one segment."""

    rows: int = 0
    flags: int = 0
    noise_rows: int = 0
    noise_sum: float = 0.0
    labelled: int = 0
    primary_right: int = 0
    candidate_right: int = 0


@dataclass
class Counts:
    """Everything counted from one pass over the requests."""

    days: dict[tuple[SegmentKey | None, int], Tally] = field(default_factory=dict)
    flips: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    joint: list[list[int]] = field(default_factory=lambda: [[0] * 50 for _ in range(50)])
    deltas: list[float] = field(default_factory=list)
    primary: list[float] = field(default_factory=list)
    candidate: list[float] = field(default_factory=list)
    hours: list[list[int]] = field(default_factory=lambda: [[0] * 24 for _ in range(7)])
    right: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    examples: list[Example] = field(default_factory=list)


@functools.cache
def counts(days: int, broken: bool, seed: int = 7) -> Counts:
    """Some 890 requests a day; broken: the candidate misreads carrier MQ from 9 September on."""
    rng, out = random.Random(seed), Counts()
    carriers, origins = list(CARRIERS), list(ORIGINS)
    for index in range(days):
        start = START + index * DAY
        volume = 910 - 190 * (start.weekday() == 5) - 60 * (start.weekday() == 6) + rng.randrange(-25, 26)
        rough = 1 + 2.5 * (rng.random() < 0.06)  # a day of bad weather
        for _ in range(volume):
            carrier = rng.choices(carriers, CARRIERS.values())[0]
            origin = rng.choices(origins, ORIGINS.values())[0]
            hour = min(23, max(5, int(rng.gauss(13.5, 4.6))))
            _request(rng, out, index, start, hour, carrier, origin, rough, broken)
    return out


def _request(
    rng: random.Random,
    out: Counts,
    index: int,
    start: datetime.datetime,
    hour: int,
    carrier: str,
    origin: str,
    rough: float,
    broken: bool,
) -> None:
    primary = min(0.999, rng.betavariate(0.42, 1.35) * (1.15 if rough > 1 else 1.0))
    candidate = min(
        0.999, max(0.001, primary + rng.gauss(0.0, 0.02 + 0.035 * rough * math.sqrt(primary * (1 - primary))))
    )
    if broken and carrier == "MQ" and start >= BREAK and rng.random() < 0.95:
        candidate = min(0.6, max(0.001, rng.gauss(0.14, 0.05)))
    before, after = _label(primary), _label(candidate)
    flip, truth = before != after, _label_of(rng.random() < primary * 0.97 + 0.01)
    labelled = rng.random() < 0.98
    noisy = rng.random() < NOISE_FRAC
    for key in (None, _key("features.carrier", carrier), _key("attributes.origin", origin)):
        tally = out.days.setdefault((key, index), Tally())
        tally.rows += 1
        tally.flags += flip
        tally.noise_rows += noisy
        tally.noise_sum += 0.5 * (noisy and rng.random() < 0.006)
        tally.labelled += labelled
        tally.primary_right += labelled and before == truth
        tally.candidate_right += labelled and after == truth
    cell = out.flips.setdefault((before, after), [0, 0, 0, 0])
    for place, count in enumerate((1, labelled, labelled and before == truth, labelled and after == truth)):
        cell[place] += count
    out.joint[min(49, int(primary * 50))][min(49, int(candidate * 50))] += 1
    out.deltas.append(candidate - primary)
    out.primary.append(primary)
    out.candidate.append(candidate)
    out.hours[start.weekday()][hour] += 1
    if labelled:
        out.right[2 * (before == truth) + (after == truth)] += 1
    wanted = 12 if flip else 3
    stratum = f"{before} → {after}" if flip else "agree"
    if rng.random() < 0.01 and sum(e.stratum == stratum for e in out.examples) < wanted:
        out.examples.append(
            _example(
                rng, start, hour, carrier, origin, stratum, primary, candidate, truth if labelled else None
            )
        )


def _key(feature: str, value: str) -> SegmentKey:
    return SegmentKey(feature=feature, kind="value", value=value)


def _label(score: float) -> str:
    return "late" if score >= 0.5 else "on time"


def _label_of(late: bool) -> str:
    return "late" if late else "on time"


def _example(
    rng: random.Random,
    start: datetime.datetime,
    hour: int,
    carrier: str,
    origin: str,
    stratum: str,
    primary: float,
    candidate: float,
    label: str | None,
) -> Example:
    features: dict[str, Any] = {
        "carrier": carrier,
        "origin": origin,
        "dest": rng.choice(["ORD", "ATL", "BOS", "DCA", "RDU", "CLE", "SFO"]),
        "dep_delay": float(round(-8 + 90 * primary + rng.gauss(0, 6))),
        "distance": rng.choice([184, 213, 404, 733, 762, 2565]),
        "hour": hour,
    }
    return Example(
        request_id=f"0198{rng.randrange(16**12):012x}",
        ts=start + datetime.timedelta(hours=hour, minutes=rng.randrange(60)),
        stratum=stratum,
        served_label=_label(primary),
        served_score=round(primary, 4),
        candidate_label=_label(candidate),
        candidate_score=round(candidate, 4),
        label=label,
        features=features,
        attributes={"origin": origin},
    )


def _rate(tallies: list[Tally], days: int) -> tuple[float | None, float | None, float | None]:
    """Share and an interval of plausible width from whole days, from day 7 on."""
    rows, flags = sum(t.rows for t in tallies), sum(t.flags for t in tallies)
    if not rows:
        return None, None, None
    share = flags / rows
    if days < 7:
        return share, None, None
    mean = rows / days
    spread = math.sqrt(sum((t.flags - share * t.rows) ** 2 for t in tallies) / (days - 1)) / mean
    half = 3.2 * max(spread, math.sqrt(max(share, 1 / rows) / mean)) / math.sqrt(days)
    return share, max(0.0, share - half * 0.8), min(1.0, share + half)


@functools.cache
def make(days: int = 184, broken: bool = True) -> Comparison:
    """A comparison of so many days; `broken` as in the demo's second candidate."""
    seen = counts(days, broken)
    last = START + days * DAY
    keys = sorted({key for key, _ in seen.days if key}, key=lambda key: (key.feature, str(key.value)))
    whole = [seen.days[None, index] for index in range(days)]
    n, flips = sum(t.rows for t in whole), sum(t.flags for t in whole)
    predicted, errors = n, 12
    noise_n = sum(t.noise_rows for t in whole)
    noise = sum(t.noise_sum for t in whole) / noise_n
    rate, low, high = _rate(whole, days)
    assert rate is not None
    reason = None if days >= 7 else "no interval before 7 days"
    mirrored = predicted + errors + 14
    return Comparison(
        subject=Subject(
            experiment="arrival-delay",
            task="binary",
            positive="late",
            primary_version="3.2",
            primary_digest=DIGEST[::-1],
            candidate_version="3.3",
            candidate_digest=DIGEST,
            primary_digests=[DIGEST[::-1]],
            traffic="kafka://localhost:9092/arrival-delay",
            log="shadow/arrival-delay",
            log_version=412,
            first_ts=START + datetime.timedelta(hours=5),
            last_ts=last - datetime.timedelta(minutes=4),
            timezone="America/New_York",
        ),
        accounts=_accounts(mirrored, predicted, errors),
        coverage=Coverage(frac=(predicted + errors) / (mirrored + 218), hours_of_week=seen.hours),
        disagreement=Disagreement(
            n=n, flips=flips, rate=rate, low=low, high=high, noise_n=noise_n, noise=noise, skew=0.0,
            excess=rate - noise, excess_low=None if low is None else low - noise, excess_high=None if high is None else high - noise,
            days=days, reason=reason,
        ),
        flips=[
            Flip(primary=a, candidate=b, n=cell[0], share=cell[0] / n, labelled=cell[1], waiting=cell[0] - cell[1] - _never(a, cell), never=_never(a, cell), primary_right=cell[2], candidate_right=cell[3])
            for (a, b), cell in sorted(seen.flips.items())
        ],
        segments=[_segment(seen, key, days, n, flips, reason) for key in keys],
        days=[_day(index, key, tally) for (key, index), tally in sorted(seen.days.items(), key=_day_order) if key is None or CARRIERS.get(str(key.value), 1) > 0.005],
        scores=_scores(seen, n),
        cutoffs=with_costs(_cutoffs(seen), n),
        shifts=_shifts(n),
        latency=_latency(),
        errors=[
            ErrorKind(side="candidate", kind="timeout", n=9, critical=0, example="no answer within 5.0 s"),
            ErrorKind(side="candidate", kind="wrong_type", n=3, critical=0, example="score is '0.4', not a number"),
        ],
        correctness=with_truth(_correctness(seen, whole, n, days, last)),
        estimated_accuracy=ESTIMATED,
        examples=seen.examples,
        queries=[
            Query(figure="flips", sql="select served_label, candidate_label, count(*)\nfrom pairs\ngroup by all"),
            Query(figure="days", sql="select date_trunc('day', ts) as day, count(*), sum(disagrees::int)\nfrom pairs\ngroup by day order by day"),
            Query(figure="segments", sql="select carrier, count(*), avg(disagrees::int)\nfrom pairs\ngroup by carrier"),
            Query(figure="cutoffs", sql="select count(*) filter (served_score >= 0.5)\nfrom pairs"),
        ],
        gnomon_version="0.1.0",
        generated_at=last + datetime.timedelta(days=2, hours=9, minutes=12),
    )  # fmt: skip


def _day_order(item: tuple[tuple[SegmentKey | None, int], Tally]) -> tuple[str, str, int]:
    (key, index), _ = item
    return ("", "", index) if key is None else (key.feature, str(key.value), index)


def _accounts(mirrored: int, predicted: int, errors: int) -> Accounts:
    half = mirrored // 2
    return Accounts(
        seen=mirrored + 218,
        not_selected=0,
        mirrored=mirrored,
        dropped={"buffer_full": 218},
        pending=0,
        missing=0,
        removed=0,
        paired=predicted + errors,
        predicted=predicted,
        errors={"timeout": 9, "wrong_type": 3},
        duplicates=9,
        missed_duplicates=0,
        rows=predicted + errors + 9,
        dead_letters={"wrong_type": 11, "oversize": 3},
        unnumbered=0,
        processes=[
            Process(process="web-7f.4711.1372636800", mirrored=half, in_pairs=half - 10, in_dead_letters=10, removed=0, pending=0, missing=0, upto_seq=half - 1, seen=half + 218, not_selected=0, dropped={"buffer_full": 218}, closed=True),
            Process(process="web-9c.4712.1372636800", mirrored=mirrored - half, in_pairs=mirrored - half - 4, in_dead_letters=4, removed=0, pending=0, missing=0, upto_seq=mirrored - half - 1, seen=mirrored - half, not_selected=0, dropped={}, closed=False),
        ],
        without_ledger=[],
        balances=[
            Balance(name="seen = not selected + mirrored + dropped", left=mirrored + 218, right=mirrored + 218, balanced=True, reason=None),
            Balance(name="mirrored = in pairs + dead letters + removed + pending + missing", left=mirrored, right=mirrored, balanced=True, reason=None),
            Balance(name="paired = predicted + errors", left=predicted + errors, right=predicted + errors, balanced=True, reason=None),
            Balance(name="rows = paired + duplicates", left=predicted + errors + 9, right=predicted + errors + 9, balanced=True, reason=None),
        ],
    )  # fmt: skip


def _segment(seen: Counts, key: SegmentKey, days: int, n: int, flips: int, reason: str | None) -> Segment:
    tallies = [seen.days.get((key, index), Tally()) for index in range(days)]
    rows, own = sum(t.rows for t in tallies), sum(t.flags for t in tallies)
    rate, low, high = _rate(tallies, days)
    noise_n = sum(t.noise_rows for t in tallies)
    noise = sum(t.noise_sum for t in tallies) / noise_n if noise_n else None
    others = (flips - own) / (n - rows)
    small = rows < 60
    if small:
        low = high = None
    return Segment(
        key=key,
        n=rows,
        share=rows / n,
        flips=own,
        rate=rate,
        low=low,
        high=high,
        lift=rate / others if rate is not None and others else None,
        noise_n=noise_n,
        noise=noise,
        excess=None if rate is None else rate - (noise or 0.0),
        excess_low=None if low is None else low - (noise or 0.0),
        excess_high=None if high is None else high - (noise or 0.0),
        days=days,
        reason="too few requests" if small else reason,
        judged=rows / n >= 0.01 or not key.feature.endswith("carrier"),
    )


def _day(index: int, key: SegmentKey | None, t: Tally) -> Day:
    return Day(
        start=START + index * DAY,
        segment=key,
        whole=True,
        pairs=float(t.rows),
        rows=float(t.rows),
        flags=float(t.flags),
        noise_rows=float(t.noise_rows),
        noise_sum=t.noise_sum,
        noise_total=t.noise_sum / NOISE_FRAC,
        candidate_errors=0.0,
        primary_errors=0.0,
        critical_errors=0,
        labelled=float(t.labelled),
        primary_right=float(t.primary_right),
        candidate_right=float(t.candidate_right),
    )


def _histogram(values: list[float], edges: list[float]) -> Histogram:
    counted, (first, width) = [0] * (len(edges) - 1), (edges[0], edges[1] - edges[0])
    for one in values:
        counted[min(len(counted) - 1, max(0, int((one - first) / width)))] += 1
    return Histogram(edges=edges, counts=counted)


def _scores(seen: Counts, n: int) -> ScoreMove:
    ordered = sorted(seen.deltas)
    unit = [round(index / 50, 4) for index in range(51)]
    quantiles = {f"p{p:02d}": round(ordered[int(p / 100 * (n - 1))], 6) for p in (1, 5, 25, 50, 75, 95, 99)}
    return ScoreMove(
        n=n,
        mean=sum(ordered) / n,
        mean_abs=sum(map(abs, ordered)) / n,
        quantiles=quantiles,
        delta=_histogram(seen.deltas, [round(-1 + index / 50, 4) for index in range(101)]),
        primary=_histogram(seen.primary, unit),
        candidate=_histogram(seen.candidate, unit),
        joint=seen.joint,
        out_of_range=0,
        psi=0.0212,
        psi_low=0.0171,
        psi_high=0.0253,
    )


def _never(primary: str, cell: list[int]) -> int:
    """Of the unlabelled pairs of a cell, those that what users got has ended."""
    return (cell[0] - cell[1]) // 3 if primary == "late" else 0


def _cutoffs(seen: Counts) -> list[Cutoff]:
    cells = Counter((int(100 * a), int(100 * b)) for a, b in zip(seen.primary, seen.candidate, strict=True))
    found = []
    for cut in range(1, 100):
        acts = [(a >= cut, b >= cut, n) for (a, b), n in cells.items()]
        found.append(
            Cutoff(
                cutoff=cut / 100,
                primary_actions=sum(n for a, _, n in acts if a),
                candidate_actions=sum(n for _, b, n in acts if b),
                flips=sum(n for a, b, n in acts if a != b),
            )
        )
    return found


def _shifts(n: int) -> list[Shift]:
    rng = random.Random(11)
    sizes = {
        "features.temp": 0.84, "features.wind_speed": 0.041, "features.visib": 0.022, "features.dep_delay": 0.012, "features.hour": 0.009,
        "features.precip": 0.008, "features.dest": 0.006, "features.distance": 0.004, "features.carrier": 0.003, "features.origin": 0.002,
        "served.score": 0.0061, "candidate.score": 0.034, "candidate.label": 0.011, "features.minute": 0.0002,
    }  # fmt: skip
    found = []
    for column, psi in sizes.items():
        text = column in ("features.dest", "features.carrier", "features.origin", "candidate.label")
        bins = ["EWR", "JFK", "LGA"] if text else [f"{index} to {index + 1}" for index in range(10)]
        shape = [
            math.exp(-(((index - len(bins) / 2.5) / (len(bins) / 4)) ** 2)) + 0.05
            for index in range(len(bins))
        ]
        tilt = [
            one * math.exp(math.sqrt(psi) * (index / len(bins) - 0.5) * 2) for index, one in enumerate(shape)
        ]
        then = [round(n / 2 * one / sum(shape)) for one in shape]
        now = [round(n / 2 * one / sum(tilt) * (1 + rng.gauss(0, 0.005))) for one in tilt]
        found.append(
            Shift(
                column=column,
                kind="categorical" if text else "numeric",
                n_then=sum(then),
                n_now=sum(now),
                null_then=0.0,
                null_now=0.004 if column.endswith("wind_speed") else 0.0,
                bins=bins,
                then=then,
                now=now,
                psi=psi + 0.0002,
                psi_excess=psi,
                psi_low=psi - 0.3 * math.sqrt(psi) * 0.02 - 0.0003,
                js=math.sqrt(psi / 8),
                new_values=["LEX", "EYW"] if column == "features.dest" else [],
                gone_values=[],
            )
        )
    return found


def _latency() -> Latency:
    rng = random.Random(5)
    pairs = []
    for _ in range(3263):
        shared = rng.lognormvariate(0, 0.18)
        tail = 1 + 2.2 * (rng.random() < 0.02)
        pairs.append(
            (
                round(1420 * shared * rng.lognormvariate(0, 0.12)),
                round(1770 * shared * tail * rng.lognormvariate(0, 0.15)),
            )
        )
    a, b = sorted(x for x, _ in pairs), sorted(y for _, y in pairs)

    def at(values: list[int], p: float) -> float:
        return float(values[min(len(values) - 1, int(p * len(values)))])

    quantiles = []
    for p in (0.5, 0.9, 0.95, 0.99):
        half = 2.2 * math.sqrt(p * (1 - p) / len(a))
        known = p < 0.99
        quantiles.append(
            Quantile(
                p=p,
                primary_us=at(a, p),
                primary_low=at(a, p - half) if known else None,
                primary_high=at(a, p + half) if known else None,
                candidate_us=at(b, p),
                candidate_low=at(b, p - half) if known else None,
                candidate_high=at(b, p + half) if known else None,
            )
        )
    ratio = at(b, 0.95) / at(a, 0.95)
    return Latency(
        n=len(pairs),
        threads=1,
        quantiles=quantiles,
        pairs_us=pairs,
        ratio_p95=ratio,
        ratio_low=ratio - 0.09,
        ratio_high=ratio + 0.1,
        reason=None,
        served_n=163149,
        served_p95_us=2650.0,
    )


def _correctness(seen: Counts, whole: list[Tally], n: int, days: int, last: datetime.datetime) -> Correctness:
    labelled = sum(t.labelled for t in whole)
    a, b = sum(t.primary_right for t in whole) / labelled, sum(t.candidate_right for t in whole) / labelled
    neither, only_candidate, only_primary, both = seen.right
    known = days >= 7
    reason = None if known else "no interval before 7 days"

    def share(value: float, half: float) -> Rate:
        return Rate(
            n=labelled,
            rate=value,
            low=value - half if known else None,
            high=value + half if known else None,
            days=days,
            reason=reason,
        )

    return Correctness(
        n=n,
        labelled=labelled,
        last_load=last + datetime.timedelta(days=2),
        primary=share(a, 0.0061),
        candidate=share(b, 0.0058),
        difference=share(b - a, 0.0018),
        both=both,
        only_primary=only_primary,
        only_candidate=only_candidate,
        neither=neither,
        scored=labelled,
        log_loss_primary=0.3719,
        log_loss_candidate=0.3908,
        brier_primary=0.1171,
        brier_candidate=0.1229,
    )


def criterion(
    name: str,
    state: str,
    estimate: float | None,
    low: float | None,
    high: float | None,
    limit: float,
    unit: str,
    **more: Any,
) -> Criterion:
    values: dict[str, Any] = {"segment": None, "n": 163149, "days": 184, "why": "", **more}
    return Criterion(
        name=name, state=state, estimate=estimate, low=low, high=high, limit=limit, unit=unit, **values
    )  # type: ignore[arg-type]


def judge(comparison: Comparison, outcome: str = "REJECT", **more: Any) -> Verdict:
    """A verdict whose criteria have the comparison's own figures."""
    found = comparison.disagreement
    days, n = found.days, found.n
    criteria = [
        criterion(
            "latency_p95",
            "pass",
            0.31,
            0.22,
            0.41,
            0.50,
            "ratio",
            n=3263,
            days=0,
            why="p95 latency rises by 31 %, at most 41 %",
        ),
        _disagreement(None, found.excess, found.excess_low, found.excess_high, n, days),
        criterion(
            "accuracy",
            "pass",
            0.011,
            0.009,
            0.013,
            0.10,
            "ratio",
            n=comparison.correctness.labelled if comparison.correctness else 0,
            days=days,
        ),
        criterion("error_rate", "pass", 0.00007, 0.00003, 0.00014, 0.001, "points", n=n, days=days),
        criterion("critical_errors", "pass", 0.0, 0.0, 0.0, 0.0, "count", n=n, days=0),
    ]
    criteria += [
        _disagreement(s.key, s.excess, s.excess_low, s.excess_high, s.n, days)
        for s in comparison.segments
        if s.judged
    ]
    if outcome == "HOLD":
        criteria[0] = criterion(
            "latency_p95",
            "open",
            0.31,
            0.18,
            0.55,
            0.50,
            "ratio",
            n=3263,
            days=0,
            why="about 2 400 more timed requests settle it",
        )
    order = ("fail", "open", "pass")
    values: dict[str, Any] = {
        "verdict": outcome,
        "reason": "disagreement on carrier = MQ is beyond its limit",
        "criteria": sorted(criteria, key=lambda one: order.index(one.state)),
        "look": days if outcome in ("PROMOTE", "REJECT") else None,
        "next_look": None if outcome in ("PROMOTE", "REJECT") else 14,
        "days": days,
        "expired": False,
        "advisory": False,
        "candidate_digest": DIGEST,
        "primary_digest": DIGEST[::-1],
        "policy_digest": DIGEST[4:] + "aaaa",
        "valid_until": comparison.generated_at + DAY if outcome == "PROMOTE" else None,
        "not_judged": {},
        "notes": [],
        **more,
    }
    return Verdict(**values)


def _disagreement(
    key: SegmentKey | None, estimate: float | None, low: float | None, high: float | None, n: int, days: int
) -> Criterion:
    limit = 0.05
    state = "open"
    if low is not None and low > limit:
        state = "fail"
    elif high is not None and high < limit:
        state = "pass"
    return criterion(
        "disagreement",
        state,
        estimate,
        low,
        high,
        limit,
        "points",
        segment=key,
        n=n,
        days=days,
        why="its bounds lie on both sides of the limit",
    )


def promote() -> Sample:
    comparison = make(28, broken=False)
    return comparison, judge(comparison, "PROMOTE", reason="all criteria pass")


def reject() -> Sample:
    comparison = make()
    return comparison, judge(comparison)


def hold() -> Sample:
    comparison = make(18, broken=False)
    verdict = judge(comparison, "HOLD", look=14, next_look=21, reason="p95 latency is open")
    return comparison, verdict


def few_days() -> Sample:
    comparison = make(3, broken=False)
    return comparison, judge(comparison, "HOLD", reason="3 of 14 whole days")


def invalid() -> Sample:
    comparison = make(28)
    accounts = msgspec.structs.replace(
        comparison.accounts,
        missing=1204,
        balances=[
            Balance(
                name="mirrored = in pairs + dead letters + removed + pending + missing",
                left=24811,
                right=23607,
                balanced=False,
                reason=None,
            ),
            *comparison.accounts.balances[2:],
        ],
    )
    comparison = msgspec.structs.replace(comparison, accounts=accounts)
    reason = "1 204 of 24 811 mirrored records are unaccounted for. Find them before reading anything below."
    return comparison, judge(comparison, "INVALID", reason=reason)


def empty() -> Sample:
    comparison = make(3, broken=False)
    comparison = msgspec.structs.replace(
        comparison,
        subject=msgspec.structs.replace(comparison.subject, log_version=None, first_ts=None, last_ts=None),
        accounts=Accounts(
            seen=None, not_selected=None, mirrored=0, dropped={}, pending=None, missing=0, removed=0, paired=0, predicted=0, errors={}, duplicates=0,
            missed_duplicates=0, rows=0, dead_letters={}, unnumbered=0, processes=[], without_ledger=[], balances=[],
        ),
        coverage=Coverage(frac=None, hours_of_week=[[0] * 24 for _ in range(7)]),
        disagreement=Disagreement(
            n=0, flips=0, rate=None, low=None, high=None, noise_n=0, noise=None, skew=None, excess=None, excess_low=None, excess_high=None, days=0,
            reason="no pairs",
        ),
        flips=[], segments=[], days=[], scores=None, cutoffs=[], shifts=[], latency=None, errors=[], correctness=None, estimated_accuracy=None, examples=[],
        queries=[],
    )  # fmt: skip
    return comparison, None


def one_pair() -> Sample:
    comparison, _ = empty()
    comparison = msgspec.structs.replace(
        comparison,
        accounts=msgspec.structs.replace(
            comparison.accounts, mirrored=1, paired=1, predicted=1, rows=1, unnumbered=1
        ),
        disagreement=msgspec.structs.replace(comparison.disagreement, n=1, rate=0.0, reason="one pair"),
        flips=[
            Flip(
                primary="late",
                candidate="late",
                n=1,
                share=1.0,
                labelled=0,
                waiting=1,
                primary_right=0,
                candidate_right=0,
            )
        ],
        days=[_day(0, None, Tally(rows=1))],
    )
    return comparison, judge(
        comparison, "HOLD", criteria=[], days=0, reason="1 of 1 000 pairs, 0 of 14 whole days"
    )


def all_equal() -> Sample:
    """A candidate that says what the primary says."""
    comparison = make(14, broken=False)
    found = msgspec.structs.replace(
        comparison.disagreement,
        flips=0,
        rate=0.0,
        low=0.0,
        high=0.0004,
        excess=0.0,
        excess_low=0.0,
        excess_high=0.0004,
        noise=0.0,
    )
    scores = comparison.scores
    assert scores is not None
    joint = [[sum(row) if i == j else 0 for j in range(50)] for i, row in enumerate(scores.joint)]
    delta = Histogram(
        edges=scores.delta.edges,
        counts=[scores.n if abs(edge) < 1e-9 else 0 for edge in scores.delta.edges[:-1]],
    )
    comparison = msgspec.structs.replace(
        comparison,
        disagreement=found,
        flips=[flip for flip in comparison.flips if flip.primary == flip.candidate],
        days=[msgspec.structs.replace(day, flags=0.0, noise_sum=0.0) for day in comparison.days],
        segments=[
            msgspec.structs.replace(
                s,
                flips=0,
                rate=0.0,
                low=0.0,
                high=0.002,
                lift=None,
                excess=0.0,
                excess_low=0.0,
                excess_high=0.002,
            )
            for s in comparison.segments
        ],
        scores=msgspec.structs.replace(
            scores,
            mean=0.0,
            mean_abs=0.0,
            joint=joint,
            delta=delta,
            quantiles=dict.fromkeys(scores.quantiles, 0.0),
            psi=0.0,
            psi_low=0.0,
            psi_high=0.0,
        ),
        cutoffs=[
            msgspec.structs.replace(row, candidate_actions=row.primary_actions, flips=0)
            for row in comparison.cutoffs
        ],
    )
    return comparison, judge(comparison, "PROMOTE", reason="all criteria pass")


def no_labels() -> Sample:
    comparison = msgspec.structs.replace(make(28, broken=False), correctness=None)
    verdict = judge(comparison, "PROMOTE", not_judged={"accuracy": "no labels yet"})
    criteria = [c for c in verdict.criteria if c.name != "accuracy"]
    return comparison, msgspec.structs.replace(verdict, criteria=criteria)


def no_primary() -> Sample:
    """Without a primary model: no noise floor, no fair latency."""
    comparison = make(28, broken=False)
    found = msgspec.structs.replace(
        comparison.disagreement,
        noise_n=0,
        noise=None,
        skew=None,
        excess=None,
        excess_low=None,
        excess_high=None,
    )
    comparison = msgspec.structs.replace(
        comparison,
        disagreement=found,
        latency=None,
        segments=[
            msgspec.structs.replace(s, noise_n=0, noise=None, excess=None, excess_low=None, excess_high=None)
            for s in comparison.segments
        ],
    )
    criteria = [
        criterion(
            "disagreement_raw", "pass", found.rate, found.low, found.high, 0.08, "frac", n=found.n, days=28
        )
    ]
    return comparison, judge(
        comparison, "PROMOTE", criteria=criteria, not_judged={"latency_p95": "no primary model"}
    )


def all_errors() -> Sample:
    comparison, _ = empty()
    accounts = msgspec.structs.replace(
        comparison.accounts,
        mirrored=500,
        paired=500,
        rows=500,
        errors={"timeout": 498, "crash": 2},
        pending=0,
    )
    errors = [
        ErrorKind(side="candidate", kind="timeout", n=498, critical=3, example="no answer within 5.0 s"),
        ErrorKind(side="candidate", kind="crash", n=2, critical=0, example="signal 11"),
    ]
    comparison = msgspec.structs.replace(comparison, accounts=accounts, errors=errors)
    failing = criterion(
        "critical_errors", "fail", 3.0, 3.0, 3.0, 0.0, "count", n=500, days=0, why="3 requests hung twice"
    )
    return comparison, judge(comparison, "REJECT", criteria=[failing], days=0, reason="3 critical errors")


def skewed() -> Sample:
    comparison = make(28)
    found = msgspec.structs.replace(comparison.disagreement, skew=0.031)
    comparison = msgspec.structs.replace(comparison, disagreement=found)
    reason = "serving skew is 3.1 points, the most allowed is 1: the features captured are not those that were served."
    return comparison, judge(comparison, "INVALID", reason=reason)


def twelve_failing() -> Sample:
    comparison, verdict = reject()
    assert verdict is not None
    segments = [c for c in verdict.criteria if c.segment is not None][:12]
    failing = [
        msgspec.structs.replace(
            c, state="fail", estimate=0.12 + 0.01 * i, low=0.11 + 0.01 * i, high=0.14 + 0.01 * i
        )
        for i, c in enumerate(segments)
    ]
    rest = [c for c in verdict.criteria if c.segment is None]
    return comparison, msgspec.structs.replace(verdict, criteria=failing + rest)


def many_features(columns: int = 300) -> Sample:
    comparison, verdict = promote()
    shifts = [
        msgspec.structs.replace(comparison.shifts[index % 14], column=f"features.feature_{index:03d}")
        for index in range(columns)
    ]
    wide = [
        msgspec.structs.replace(row, features={f"feature_{index:03d}": index / 7 for index in range(columns)})
        for row in comparison.examples
    ]
    return msgspec.structs.replace(comparison, shifts=shifts, examples=wide), verdict


HOSTILE = (
    "<script>alert(1)</script>",
    "</style><script>document.title='owned'</script>",
    "<img src=x onerror=alert(2)>",
    "<a href='https://example.invalid/'>click</a>",
    "=HYPERLINK(\"https://example.invalid\")",
    "\u202egnp.exe\u202c \u0000\u001b[31m red \x9b",
    "%{x} &lt;b&gt; <b>bold</b>",
    "x" * 10_000,
    "]]></script><!--",
)  # fmt: skip


def hostile() -> Sample:
    """The reject sample with every text from outside replaced by one that wants to be markup."""
    comparison, verdict = reject()
    assert verdict is not None
    texts = _cycle(HOSTILE)
    rename = {name: next(texts) for name in sorted({str(s.key.value) for s in comparison.segments})}

    def renamed(key: SegmentKey | None) -> SegmentKey | None:
        return (
            None if key is None else _key(f"features.{HOSTILE[2]}", f"{key.value} {rename[str(key.value)]}")
        )

    comparison = msgspec.structs.replace(
        comparison,
        subject=msgspec.structs.replace(
            comparison.subject, experiment=HOSTILE[0] * 6, primary_version=HOSTILE[2], candidate_version="../../" + HOSTILE[3], traffic=HOSTILE[1], log=HOSTILE[8], timezone=HOSTILE[5]
        ),
        accounts=msgspec.structs.replace(
            comparison.accounts, dropped={HOSTILE[1]: 218}, without_ledger=[HOSTILE[3]], processes=[msgspec.structs.replace(p, process=HOSTILE[8]) for p in comparison.accounts.processes]
        ),
        flips=[msgspec.structs.replace(f, primary=f"{f.primary}{HOSTILE[6]}", candidate=f"{f.candidate}{HOSTILE[6]}") for f in comparison.flips],
        segments=[msgspec.structs.replace(s, key=renamed(s.key)) for s in comparison.segments],
        days=[msgspec.structs.replace(day, segment=renamed(day.segment)) for day in comparison.days],
        shifts=[msgspec.structs.replace(s, column=f"features.{HOSTILE[0]}{i}", new_values=list(HOSTILE)) for i, s in enumerate(comparison.shifts)],
        errors=[ErrorKind(side="candidate", kind="exception", n=12, critical=1, example=text) for text in HOSTILE],
        examples=[
            msgspec.structs.replace(e, request_id=next(texts), stratum=next(texts), served_label=next(texts), candidate_label=next(texts), features={next(texts): next(texts), "b": 1}, attributes={})
            for e in comparison.examples
        ],
        queries=[Query(figure=text, sql=f"select '{text}'") for text in HOSTILE[:3]],
        gnomon_version="0.1.0",
    )  # fmt: skip
    criteria = [
        msgspec.structs.replace(c, segment=renamed(c.segment), why=HOSTILE[0]) for c in verdict.criteria
    ]
    verdict = msgspec.structs.replace(
        verdict,
        criteria=criteria,
        notes=list(HOSTILE[:3]),
        not_judged={HOSTILE[0]: HOSTILE[1]},
        reason=HOSTILE[0],
    )
    return comparison, verdict


def _cycle(texts: Iterable[str]) -> Any:
    while True:
        yield from texts


STATES = {
    "promote": promote,
    "reject": reject,
    "hold": hold,
    "invalid": invalid,
    "few_days": few_days,
    "empty": empty,
    "one_pair": one_pair,
    "all_equal": all_equal,
    "no_labels": no_labels,
    "no_primary": no_primary,
    "all_errors": all_errors,
    "skewed": skewed,
    "twelve_failing": twelve_failing,
    "many_features": many_features,
    "hostile": hostile,
}


def golden() -> Sample:
    """Seven days, so that every part is there and the file stays small."""
    comparison = make(7)
    slim = [day for day in comparison.days if day.segment is None or day.segment.value == "MQ"]
    latency = comparison.latency
    assert latency is not None
    comparison = msgspec.structs.replace(
        comparison, days=slim, latency=msgspec.structs.replace(latency, pairs_us=latency.pairs_us[:50])
    )
    return comparison, judge(comparison, "HOLD", reason="7 of 14 whole days")


if __name__ == "__main__":
    GOLDEN.write_bytes(to_json(*golden()))
