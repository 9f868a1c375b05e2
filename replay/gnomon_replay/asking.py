"""Which model answers which request: every one the candidate, a sample both models twice, some timed.

The *noise sample* is drawn by a hash of the request id, so that a batch read again draws the same rows. Its
four runs (primary, primary again, candidate, candidate again) are made in random order, one after the other,
in the same worker. *Timed* requests are drawn at random among the others and run one at a time, both models
in random order, on `threads` threads. Everything else is predicted in batches, with no latency claimed.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gnomon_replay.host import PAYLOAD
from gnomon_replay.model import HostedModel
from gnomon_replay.pairs import ANSWERS, OUTPUT

WARM_UP = 5
"""Untimed single requests to each model before the first timed one."""
CHECKED_ROWS = 5
"""Requests that are tried first, from all over the first batch that has so many."""

Mask = npt.NDArray[np.bool_]


def in_noise_sample(request_ids: Sequence[str], frac: float) -> Mask:
    """Whether each request belongs to the noise sample: the first 8 bytes of BLAKE2b of its id, as a share.

    >>> in_noise_sample(["a", "b", "c"], 0.5).tolist()
    [False, False, True]
    """
    fresh = hashlib.blake2b(digest_size=8, person=b"gnomon noise").copy
    digests = []
    for text in request_ids:
        hasher = fresh()
        hasher.update(text.encode())
        digests.append(hasher.digest())
    shares = np.frombuffer(b"".join(digests), ">u8")
    # 2^64 itself is no uint64: a share of 1 is everything.
    return shares < np.uint64(frac * 2**64) if frac < 1 else np.ones(len(shares), bool)


@dataclass
class Panel:
    """The models of one run, and how they are asked. Not thread-safe.

    Attributes:
        candidate: answers every request.
        primary: answers the noise sample, timed requests, and those whose served answer was not seen; None
            where there is no primary model: then there is no noise floor, and no latency to compare with.
        noise_frac: share of requests in the noise sample.
    """

    candidate: HostedModel
    primary: HostedModel | None
    noise_frac: float
    random: random.Random
    notes: list[str] = field(default_factory=list)  # what whoever ran it should be told

    def __post_init__(self) -> None:
        self._warm = False
        self._checked = False

    def ask(
        self, requests: pa.Table, timed: int, hurried: Callable[[], bool] = lambda: False
    ) -> dict[str, pa.StructArray]:
        """Answers to requests.

        Args:
            requests: the columns of `decode.requests_schema`.
            timed: how many of them to run alone and time.
            hurried: asked before each of these; once it is true, the rest is answered in batches.

        Returns:
            The columns `primary`, `primary_again`, `candidate` and `candidate_again`, null where not asked.

        Raises:
            ModelError: a model needs what the traffic has not, or fails on all of the first requests.
        """
        count = requests.num_rows
        columns = {name: _Column(count) for name in ANSWERS[1:]}
        if not count:
            return {name: column.array() for name, column in columns.items()}
        candidate = _Inquiry(self.candidate, requests)
        primary = None if self.primary is None else _Inquiry(self.primary, requests)
        self._check(requests)
        noise = np.zeros(count, bool)
        if primary is not None:
            noise = in_noise_sample(requests.column("request_id").to_pylist(), self.noise_frac)
        sides = [(columns["candidate"], candidate)]
        if primary is not None:
            sides.append((columns["primary"], primary))
        plain = ~noise & ~self._time(self._draw(np.flatnonzero(~noise), timed), sides, hurried)
        columns["candidate"].put(plain, candidate.ask(plain))
        if primary is not None:
            unseen = plain & pc.is_null(requests.column("served")).to_numpy()
            columns["primary"].put(unseen, primary.ask(unseen))
            runs = [
                (columns["primary"], primary),
                (columns["primary_again"], primary),
                (columns["candidate"], candidate),
                (columns["candidate_again"], candidate),
            ]
            self.random.shuffle(runs)
            for column, inquiry in runs:
                column.put(noise, inquiry.ask(noise))
        return {name: column.array() for name, column in columns.items()}

    def unfetched(self) -> list[str]:
        """What whoever ran it should be told of features that a model's hook could not fetch."""
        return [
            f"model {model.version}: {model.unfetched / model.asked:.1%} of requests asked went without features "
            f"that its fetch_features could not fetch ({model.unfetched:,} of {model.asked:,})"
            for model in (self.candidate, self.primary)
            if model is not None and model.asked
        ]

    def _check(self, requests: pa.Table) -> None:
        """Tries the models once. Not on a few requests alone: those may well be odd."""
        if self._checked or requests.num_rows < CHECKED_ROWS:
            return
        rows = np.linspace(0, requests.num_rows - 1, CHECKED_ROWS, dtype=np.int64)
        sample = requests.take(pa.array(rows))
        known = _feature_names(requests)
        for model in (self.candidate, self.primary):
            if model is not None:
                model.check(_Inquiry(model, sample).ask(np.ones(CHECKED_ROWS, bool)))
                unused = [name for name in known if model.features and name not in model.features]
                if unused:
                    self.notes.append(f"model {model.version} does not use {', '.join(unused)}")
        self._checked = True

    def _draw(self, rows: npt.NDArray[np.int64], count: int) -> list[int]:
        return self.random.sample(rows.tolist(), min(count, len(rows)))

    def _time(
        self, rows: list[int], sides: list[tuple[_Column, _Inquiry]], hurried: Callable[[], bool]
    ) -> Mask:
        """Runs requests one at a time, each through all sides in random order; returns which were run."""
        done = np.zeros(len(sides[0][0]), bool)
        if rows and not self._warm:
            for _, inquiry in sides:
                for row in rows[:WARM_UP]:
                    inquiry.time(row)
            self._warm = True
        answers: list[list[pa.StructArray]] = [[] for _ in sides]
        order = list(range(len(sides)))
        for row in sorted(rows):
            if hurried():
                break
            self.random.shuffle(order)
            for side in order:
                answers[side].append(sides[side][1].time(row))
            done[row] = True
        for (column, _), parts in zip(sides, answers, strict=True):
            if parts:
                column.put(done, pa.concat_arrays(parts))
        return done


class _Inquiry:
    """One model, and what it is given of a batch: a request's features, or its payload if it has none."""

    def __init__(self, model: HostedModel, requests: pa.Table) -> None:
        known = _feature_names(requests)
        column = requests.column("features").combine_chunks()
        self._model = model
        self._has_features: Mask = pc.is_valid(column).to_numpy(zero_copy_only=False)
        names = model.needs(known) if self._has_features.any() else []
        if not names:  # a table without columns would have no rows either
            self._has_features = np.zeros(len(column), bool)
        beside = _context(requests, model.context)
        self._features = pa.table({name: column.field(name) for name in names} | beside)
        self._payloads = pa.table({PAYLOAD: pc.fill_null(requests.column("payload"), "{}")} | beside)

    def ask(self, mask: Mask) -> pa.StructArray:
        """Answers to the requests of `mask`, in their order."""
        answers = _Column(len(mask))
        for given, chosen in (
            (self._features, mask & self._has_features),
            (self._payloads, mask & ~self._has_features),
        ):
            if chosen.any():
                answers.put(chosen, self._model.answer(given.filter(pa.array(chosen))))
        return answers.filled()

    def time(self, row: int) -> pa.StructArray:
        """The answer to one request, run alone."""
        given = self._features if self._has_features[row] else self._payloads
        return self._model.time(given.slice(row, 1))


def _context(requests: pa.Table, names: Sequence[str]) -> dict[str, pa.ChunkedArray]:
    """What a model is told of its requests beside their features, under names that no feature can have."""
    known = [name for name in names if requests.schema.field(name).type != pa.struct([])]
    return {f"\0{name}": requests.column(name) for name in known}


class _Column:
    """An answer column that is filled in parts, each for the rows of a mask."""

    def __init__(self, count: int) -> None:
        self._at = np.full(count, -1, np.int64)
        self._parts: list[pa.StructArray] = []
        self._filled = 0

    def __len__(self) -> int:
        return len(self._at)

    def put(self, mask: Mask, answers: pa.StructArray) -> None:
        """Fills the rows of a mask, in their order."""
        self._at[mask] = np.arange(self._filled, self._filled + len(answers))
        self._parts.append(answers)
        self._filled += len(answers)

    def array(self) -> pa.StructArray:
        """All rows; null where nothing was put."""
        if not self._filled:
            return pa.nulls(len(self._at), OUTPUT)
        return pa.concat_arrays(self._parts).take(pa.array(self._at, mask=self._at < 0))

    def filled(self) -> pa.StructArray:
        """The rows that were filled, in their order."""
        if len(self._parts) == 1:
            return self._parts[0]
        parts = self._parts or [pa.array([], OUTPUT)]
        return pa.concat_arrays(parts).take(pa.array(self._at[self._at >= 0]))


def _feature_names(requests: pa.Table) -> list[str]:
    return [field.name for field in requests.schema.field("features").type]
