"""Which model answers which request: every one the candidate, a sample both models twice, some timed.

The *noise sample* is drawn by a hash of the request id, so that a batch read again draws the same rows. Its
four runs (primary, primary again, candidate, candidate again) are made in random order, one after the other,
in the same worker. *Timed* requests are drawn at random among the others and run one at a time, both models
in random order, on `threads` threads. Everything else is predicted in batches, with no latency claimed.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

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

    def ask(self, requests: pa.Table, timed: int) -> dict[str, pa.StructArray]:
        """Answers to requests.

        Args:
            requests: the columns of `decode.requests_schema`.
            timed: how many of them to run alone and time.

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
        clocked = np.zeros(count, bool)
        clocked[self._draw(np.flatnonzero(~noise), timed)] = True
        plain = ~noise & ~clocked
        columns["candidate"].put(plain, candidate.ask(plain))
        timed_sides = [(columns["candidate"], candidate)]
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
            timed_sides.append((columns["primary"], primary))
        self._time(clocked, timed_sides)
        return {name: column.array() for name, column in columns.items()}

    def _check(self, requests: pa.Table) -> None:
        """Tries the models once. Not on a few requests alone: those may well be odd."""
        if self._checked or requests.num_rows < CHECKED_ROWS:
            return
        rows = np.linspace(0, requests.num_rows - 1, CHECKED_ROWS, dtype=np.int64)
        sample = requests.take(pa.array(rows))
        known = _feature_names(requests)
        for model in (self.candidate, self.primary):
            if model is not None:
                model.check(_Inquiry(model, sample).given)
                unused = [name for name in known if model.features and name not in model.features]
                if unused:
                    self.notes.append(f"model {model.version} does not use {', '.join(unused)}")
        self._checked = True

    def _draw(self, rows: npt.NDArray[np.int64], count: int) -> list[int]:
        return self.random.sample(rows.tolist(), min(count, len(rows)))

    def _time(self, clocked: Mask, sides: list[tuple[_Column, _Inquiry]]) -> None:
        """Runs the requests of `clocked` one at a time, each through all sides in random order."""
        rows = np.flatnonzero(clocked).tolist()
        if not rows:
            return
        if not self._warm:
            for _, inquiry in sides:
                for row in rows[:WARM_UP]:
                    inquiry.time(row)
            self._warm = True
        answers: list[list[pa.StructArray]] = [[] for _ in sides]
        order = list(range(len(sides)))
        for row in rows:
            self.random.shuffle(order)
            for side in order:
                answers[side].append(sides[side][1].time(row))
        for (column, _), parts in zip(sides, answers, strict=True):
            column.put(clocked, pa.concat_arrays(parts))
