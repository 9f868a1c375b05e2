"""Which model answers which request: every one each candidate, a sample all models twice, some timed.

The *noise sample* is drawn by a hash of the request id, so that a batch read again draws the same rows. Its
runs (the primary twice, each candidate twice) are made in random order, one after the other, in the same
worker. *Timed* requests are drawn at random among the others and run one at a time, all models in random
order, on `threads` threads; the first of them only warm a fresh host up: they are logged without a latency,
and counted. Everything else is predicted in batches, with no latency claimed.

The primary answers a request once for all candidates: its two runs stand in the row of each. Each candidate
is judged by its own rows alone, in which the primary's runs are what they would be without the others.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gnomon_replay.errors import ModelError
from gnomon_replay.inquiry import Column, Inquiry, Mask, feature_names
from gnomon_replay.model import HostedModel
from gnomon_replay.pairs import ANSWERS

CHECKED_ROWS = 5
"""Requests that are tried first, from all over the first batch that has so many."""


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


Answers = dict[str, dict[str, pa.StructArray]]
"""The columns `primary`, `primary_again`, `candidate` and `candidate_again`, by candidate digest; null where
not asked."""


@dataclass
class Panel:
    """The models of one run, and how they are asked. Not thread-safe.

    Attributes:
        candidates: each answers every request that it has not answered yet. One that cannot be asked at all
            is given up, and the others go on.
        primary: answers the noise sample, timed requests, and those whose served answer was not seen; None
            where there is no primary model: then there is no noise floor, and no latency to compare with.
        noise_frac: share of requests in the noise sample.
        failed: why a candidate was given up, by its version.
    """

    candidates: list[HostedModel]
    primary: HostedModel | None
    noise_frac: float
    random: random.Random
    notes: list[str] = field(default_factory=list)  # what whoever ran it should be told
    failed: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._checked = False

    def ask(
        self,
        requests: pa.Table,
        timed: int,
        hurried: Callable[[], bool] = lambda: False,
        wanted: Mapping[str, Mask] | None = None,
    ) -> Answers:
        """Answers to requests, of the candidates that are left.

        Args:
            requests: the columns of `decode.requests_schema`.
            timed: how many of them to run alone and time; those that warm a fresh host up come on top.
            hurried: asked before each of these; once it is true, the rest is answered in batches.
            wanted: which requests to ask each candidate about, by digest; all where None. Each request is
                wanted by one at least.

        Raises:
            ModelError: a model needs what the traffic has not, or fails on all of the first requests: the
                primary, or the last candidate that was left.
        """
        while True:
            try:
                return self._ask(requests, timed, hurried, wanted)
            except _GivenUpError:
                continue  # the others answer anew; nothing of this batch is in the log yet

    def _ask(
        self,
        requests: pa.Table,
        timed: int,
        hurried: Callable[[], bool],
        wanted: Mapping[str, Mask] | None,
    ) -> Answers:
        count = requests.num_rows
        if not count:
            nothing = {name: Column(0).array() for name in ANSWERS[1:]}
            return {model.digest: nothing for model in self.candidates}
        everything = np.ones(count, bool)
        candidates = [
            _Side(
                self._inquiry(model, requests),
                Column(count),
                Column(count),
                everything if wanted is None else wanted[model.digest],
            )
            for model in self.candidates
        ]
        primary = None
        if self.primary is not None:
            primary = _Side(Inquiry(self.primary, requests), Column(count), Column(count), everything)
        self._check(requests)
        noise = np.zeros(count, bool)
        if primary is not None:
            noise = in_noise_sample(requests.column("request_id").to_pylist(), self.noise_frac)
        sides = candidates if primary is None else [*candidates, primary]
        if timed:
            timed += max(model.cold() for model in self._models())
        drawn = self._time(self._draw(np.flatnonzero(~noise), timed), sides, hurried)
        for side in candidates:
            self._put(side.first, side.inquiry, side.wanted & ~noise & ~drawn)
        if primary is not None:
            unseen = ~noise & ~drawn & pc.is_null(requests.column("served")).to_numpy()
            self._put(primary.first, primary.inquiry, unseen)
            runs = [
                (side.inquiry, column, side.wanted) for side in sides for column in (side.first, side.again)
            ]
            self.random.shuffle(runs)
            for inquiry, column, rows in runs:
                self._put(column, inquiry, noise & rows)
        shared = (Column(count), Column(count)) if primary is None else (primary.first, primary.again)
        both = {"primary": shared[0].array(), "primary_again": shared[1].array()}
        return {
            side.inquiry.model.digest: {
                **both,
                "candidate": side.first.array(),
                "candidate_again": side.again.array(),
            }
            for side in candidates
        }

    def _put(self, column: Column, inquiry: Inquiry, rows: Mask) -> None:
        try:
            column.put(rows, inquiry.ask(rows))
        except ModelError as exc:  # its host cannot be started any more
            self._give_up(inquiry.model, exc)

    def _inquiry(self, model: HostedModel, requests: pa.Table) -> Inquiry:
        try:
            return Inquiry(model, requests)
        except ModelError as exc:
            self._give_up(model, exc)

    def _give_up(self, model: HostedModel, exc: ModelError) -> NoReturn:
        """Goes on without a candidate; the primary, and the last candidate, cannot be done without."""
        if model is self.primary or len(self.candidates) == 1:
            raise exc
        self.candidates.remove(model)
        self.failed[model.version] = str(exc)
        raise _GivenUpError from exc

    def unfetched(self) -> list[str]:
        """What whoever ran it should be told of features that a model's hook could not fetch."""
        return [
            f"model {model.version}: {model.unfetched / model.asked:.1%} of requests asked went without features "
            f"that its fetch_features could not fetch ({model.unfetched:,} of {model.asked:,})"
            for model in self._models()
            if model.asked
        ]

    def _check(self, requests: pa.Table) -> None:
        """Tries the models once. Not on a few requests alone: those may well be odd."""
        if self._checked or requests.num_rows < CHECKED_ROWS:
            return
        rows = np.linspace(0, requests.num_rows - 1, CHECKED_ROWS, dtype=np.int64)
        sample = requests.take(pa.array(rows))
        known = feature_names(requests)
        notes = []
        for model in self._models():
            try:
                model.check(Inquiry(model, sample).ask(np.ones(CHECKED_ROWS, bool)))
            except ModelError as exc:
                self._give_up(model, exc)
            unused = [name for name in known if model.features and name not in model.features]
            if unused:
                notes.append(f"model {model.version} does not use {', '.join(unused)}")
        self.notes += notes
        self._checked = True

    def _models(self) -> list[HostedModel]:
        """All that are asked, as they are now."""
        return [*self.candidates, *([] if self.primary is None else [self.primary])]

    def _draw(self, rows: npt.NDArray[np.int64], count: int) -> list[int]:
        return self.random.sample(rows.tolist(), min(count, len(rows)))

    def _time(self, rows: list[int], sides: list[_Side], hurried: Callable[[], bool]) -> Mask:
        """Runs requests one at a time, each through all sides that want it in random order; returns which."""
        done = np.zeros(len(sides[0].wanted), bool)
        answers: list[list[pa.StructArray]] = [[] for _ in sides]
        order = list(range(len(sides)))
        for row in sorted(rows):
            if hurried():
                break
            self.random.shuffle(order)
            for index in order:
                if sides[index].wanted[row]:
                    answers[index].append(self._alone(sides[index].inquiry, row))
            done[row] = True
        for side, parts in zip(sides, answers, strict=True):
            if parts:
                side.first.put(done & side.wanted, pa.concat_arrays(parts))
        return done

    def _alone(self, inquiry: Inquiry, row: int) -> pa.StructArray:
        try:
            return inquiry.time(row)
        except ModelError as exc:
            self._give_up(inquiry.model, exc)


class _GivenUpError(Exception):
    """A candidate was given up while the others were asked."""


@dataclass
class _Side:
    """One model's part in a batch: what it is given, its first and second answers, and which rows it is asked."""

    inquiry: Inquiry
    first: Column
    again: Column
    wanted: Mask
