"""Is the log the traffic? Which parts of it were lost more often than the rest of the same hour.

Of a request on which the candidate failed everything is known but the answer; of one that never reached the log
only the process that sent it, and its number. So parts are compared where both sides of the ratio can be counted,
and what cannot be is said.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gnomon_diff.columns import Column
from gnomon_diff.comparison import Accounts, Loss, Losses
from gnomon_diff.evidence import e_bh, stratum_log_e
from gnomon_diff.questions import Questions
from gnomon_diff.quoting import identifier, literal
from gnomon_diff.segmenting import Split
from gnomon_diff.window import Window, epoch_us

FDR = 0.05
MOST_LISTED = 30
_TESTED = 100  # the largest by excess; the others count as no evidence, which is never too much
_HOURLY_DAYS = 42
_MOST_SPLITS = 64
_WEEK_HOUR = "hour of week"
_NO_SPLIT = -1

IntArray = NDArray[np.int64]
Stage = Literal["mirrored", "paired", "predicted"]


class _Part(NamedTuple):
    """One part of the traffic at one stage: its counts and those of all traffic, by block."""

    stage: Stage
    by: str
    value: str | None
    total: IntArray
    kept: IntArray
    all_total: IntArray
    all_kept: IntArray

    @property
    def n(self) -> int:
        return int(self.total.sum())

    @property
    def lost(self) -> int:
        return self.n - int(self.kept.sum())

    @property
    def rest_frac(self) -> float:
        rest = int(self.all_total.sum()) - self.n
        return (int((self.all_total - self.all_kept).sum()) - self.lost) / rest if rest else 0.0

    @property
    def excess(self) -> float:
        return self.lost - self.n * self.rest_frac

    def log_e(self) -> float:
        return stratum_log_e(self.all_total, self.total, self.all_kept, self.kept)


def ask_losses(
    questions: Questions,
    columns: Sequence[Column],
    splits: Sequence[Split],
    window: Window,
    timezone: str,
    accounts: Accounts,
    days: int,
) -> Losses | None:
    """The losses; None where there is no traffic.

    Args:
        splits: the segments, none with many values.
        days: with any traffic; beyond six weeks lost and kept are compared within days, not within hours.
    """
    if not accounts.paired:
        return None
    hourly = days <= _HOURLY_DAYS
    parts = [*_by_process(accounts)]
    if accounts.paired > accounts.predicted:
        parts += _failed(questions, columns, splits[:_MOST_SPLITS], window, timezone, hourly=hourly)
    # A part that is all of the traffic has no rest to be held against.
    parts = [part for part in parts if part.n < int(part.all_total.sum())]
    order = sorted(range(len(parts)), key=lambda at: -parts[at].excess)
    log_e = np.full(len(parts), -np.inf)
    for at in order[:_TESTED]:
        if parts[at].excess > 0:
            log_e[at] = parts[at].log_e()
    shown = set(e_bh(log_e, alpha=FDR).tolist()) if parts else set()
    first = sorted(order, key=lambda at: (at not in shown, -parts[at].excess))
    most = [at for at in first if parts[at].excess > 0][:MOST_LISTED]
    return Losses(
        parts=len(parts),
        block="hour" if hourly else "day",
        most=[_loss(parts[at], float(log_e[at]), at in shown) for at in most],
        unknown=_unknown(accounts),
    )


def _loss(part: _Part, log_e: float, shown: bool) -> Loss:
    return Loss(
        stage=part.stage,
        by=part.by,
        value=part.value,
        n=part.n,
        lost=part.lost,
        rest_frac=part.rest_frac,
        excess=part.excess,
        log_e=log_e if np.isfinite(log_e) else None,
        shown=shown,
    )


def _by_process(accounts: Accounts) -> Iterator[_Part]:
    """What each process lost before and after sending; `forget`, windows and what is pending are no losses."""
    sent = [
        (one.process, one.mirrored + sum((one.dropped or {}).values()), one.mirrored)
        for one in accounts.processes
        if one.seen is not None
    ]
    arrived = [
        (one.process, one.mirrored - one.removed - one.outside - (one.pending or 0), one.in_pairs)
        for one in accounts.processes
        if one.missing is not None
    ]
    stages: list[tuple[Stage, list[tuple[str, int, int]]]] = [("mirrored", sent), ("paired", arrived)]
    for stage, counts in stages:
        rows = [(name, total, kept) for name, total, kept in counts if total >= kept]
        all_total = np.array([sum(total for _, total, _ in rows)])
        all_kept = np.array([sum(kept for _, _, kept in rows)])
        if int(all_total[0]) == int(all_kept[0]):
            continue
        for name, total, kept in rows:
            yield _Part(stage, "process", name, np.array([total]), np.array([kept]), all_total, all_kept)


def _failed(
    questions: Questions,
    columns: Sequence[Column],
    splits: Sequence[Split],
    window: Window,
    timezone: str,
    *,
    hourly: bool,
) -> list[_Part]:
    """The candidate's errors, by segment, served label, size and hour of the week."""
    keyed = [(split.feature, split.sql()) for split in splits]
    keyed += [("served.label", "served_label"), ("size", _size(columns))]
    names = [f"k{index}" for index in range(len(keyed))]
    which = " ".join(f"WHEN grouping({name}) = 0 THEN {index}" for index, name in enumerate(names))
    answer = questions.ask(
        "losses",
        start_us=str(epoch_us(window.start)),
        block_us="3600000000" if hourly else "86400000000",
        timezone=literal(timezone),
        keys=", ".join(f"{sql} AS {name}" for (_, sql), name in zip(keyed, names, strict=True)),
        names=", ".join(names),
        sets=", ".join(f"(block, {name})" for name in names),
        which=f"CASE {which} WHEN grouping(week_hour) = 0 THEN {len(keyed)} "
        f"WHEN grouping(block) = 0 THEN {_NO_SPLIT} ELSE {_NO_SPLIT - 1} END",
    )
    by_block, by_day = (_All.of(answer, which) for which in (_NO_SPLIT, _NO_SPLIT - 1))
    parts = []
    for index, (by, _) in enumerate(keyed):
        parts += _parts(answer, index, by, by_block)
    hours = _parts(answer, len(keyed), _WEEK_HOUR, by_day)
    return [*parts, *(part._replace(value=_hour(part.value)) for part in hours)]


class _All(NamedTuple):
    """All traffic by block, the blocks ascending."""

    blocks: IntArray
    total: IntArray
    kept: IntArray

    @staticmethod
    def of(answer: pa.Table, which: int) -> _All:
        rows = answer.filter(pa.compute.equal(answer["which"], which))
        blocks, total, kept = (rows[name].to_numpy() for name in ("block", "n", "kept"))
        order = np.argsort(blocks)
        return _All(blocks[order], total[order], kept[order])


def _parts(answer: pa.Table, which: int, by: str, everything: _All) -> list[_Part]:
    rows = answer.filter(pa.compute.equal(answer["which"], which))
    values = rows["value"].combine_chunks().dictionary_encode(null_encoding="encode")
    code, known = values.indices.to_numpy(), values.dictionary.to_pylist()
    block, n, kept = (rows[name].to_numpy() for name in ("block", "n", "kept"))
    place = np.searchsorted(everything.blocks, block)
    found = []
    for at, value in enumerate(known):
        own = code == at
        here = place[own]
        all_total, all_kept = everything.total[here], everything.kept[here]
        part = _Part("predicted", by, value, n[own], kept[own], all_total, all_kept)
        if part.n < int(everything.total.sum()):
            # Blocks without any of the part say nothing about it, but are part of the rest.
            found.append(_with_rest(part, everything, here))
    return found


def _with_rest(part: _Part, everything: _All, here: IntArray) -> _Part:
    others = np.ones(len(everything.blocks), bool)
    others[here] = False
    nothing = np.zeros(int(others.sum()), np.int64)
    return part._replace(
        total=np.concatenate([part.total, nothing]),
        kept=np.concatenate([part.kept, nothing]),
        all_total=np.concatenate([part.all_total, everything.total[others]]),
        all_kept=np.concatenate([part.all_kept, everything.kept[others]]),
    )


def _size(columns: Sequence[Column]) -> str:
    """How large a request is: of a payload its length to the next power of two, else how many features it lacks."""
    features = [column for column in columns if (column.origin or "").startswith("features.")]
    lacking = " + ".join(f"({identifier(column.name)} IS NULL)::INTEGER" for column in features) or "0"
    length = "pow(2, ceil(log2(greatest(strlen(payload), 1))))::BIGINT"
    return (
        f"CASE WHEN payload IS NOT NULL THEN 'payload up to ' || {length} || ' bytes' "
        f"ELSE ({lacking}) || ' of {len(features)} features missing' END"
    )


def _hour(value: str | None) -> str:
    """`Mon 07` of 107."""
    day, hour = divmod(int(value or 0), 100)
    return f"{calendar.day_abbr[day - 1]} {hour:02d}"


def _unknown(accounts: Accounts) -> list[str]:
    lines = []
    letters = sum(accounts.dead_letters.values())
    if letters:
        lines.append(
            f"{letters:,} dead letters: of a line that is no record only its process is compared; its features "
            "are not known"
        )
    if accounts.missing:
        lines.append(f"{accounts.missing:,} missing records: only their process and number are known")
    dropped = sum(accounts.dropped.values())
    if dropped:
        lines.append(f"{dropped:,} dropped at capture: a ledger counts them by process and reason alone")
    if accounts.without_ledger or (accounts.seen is None and accounts.paired):
        lines.append("what was dropped by processes without a ledger: nothing counted it")
    if accounts.unnumbered:
        lines.append(
            f"{accounts.unnumbered:,} pairs without a number: what else their producers sent is not known"
        )
    if accounts.missing is None:
        lines.append("gaps in the numbers: the traffic could not be reached, so they may be pending")
    return lines
