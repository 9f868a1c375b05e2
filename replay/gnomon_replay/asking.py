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

from gnomon_replay.model import HostedModel
from gnomon_replay.pairs import ANSWERS, OUTPUT

PREDICT_ROWS = 20_000
WARM_UP = 5
"""Untimed single requests to each model before the first timed one."""

Mask = npt.NDArray[np.bool_]


def in_noise_sample(request_ids: Sequence[str], frac: float) -> Mask:
    """Whether each request belongs to the noise sample: the first 8 bytes of BLAKE2b of its id, as a share.

    >>> in_noise_sample(["a", "b", "c"], 0.5).tolist()
    [False, False, True]
    """
    threshold = int(frac * (1 << 64))
    hashes = (
        int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8, person=b"gnomon noise").digest())
        for text in request_ids
    )
    return np.fromiter((value < threshold for value in hashes), bool, len(request_ids))


@dataclass
class Panel:
    """The models of one run, and how they are asked. Not thread-safe.

    Attributes:
        candidate: answers every request.
        primary: answers the noise sample, timed requests, and those whose served answer was not seen; None
            where there is no primary model: then there is no noise floor and no fair latency.
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
        columns: dict[str, _Column] = {name: _Column(count) for name in ANSWERS[1:]}
        if not count:
            return {name: column.array() for name, column in columns.items()}
        ask_candidate = self._feed(self.candidate, requests)
        ask_primary = None if self.primary is None else self._feed(self.primary, requests)
        self._check(requests)
        noise = np.zeros(count, bool)
        clocked = np.zeros(count, bool)
        if ask_primary is not None:
            noise = in_noise_sample(requests.column("request_id").to_pylist(), self.noise_frac)
            clocked[self._draw(np.flatnonzero(~noise), timed)] = True
        plain = ~noise & ~clocked
        columns["candidate"].put(plain, ask_candidate(plain))
        if ask_primary is not None:
            unseen = plain & pc.is_null(requests.column("served")).to_numpy(zero_copy_only=False)
            columns["primary"].put(unseen, ask_primary(unseen))
            runs = [
                (columns["primary"], ask_primary),
                (columns["primary_again"], ask_primary),
                (columns["candidate"], ask_candidate),
                (columns["candidate_again"], ask_candidate),
            ]
            self.random.shuffle(runs)
            for column, ask in runs:
                column.put(noise, ask(noise))
            self._time(requests, clocked, columns)
        return {name: column.array() for name, column in columns.items()}

    def _check(self, requests: pa.Table) -> None:
        if self._checked:
            return
        for model in (self.candidate, self.primary):
            if model is not None:
                model.check(_features(model, requests.slice(0, WARM_UP)))
                unused = [name for name in _known(requests) if model.features and name not in model.features]
                if unused:
                    self.notes.append(f"model {model.version} does not use {', '.join(unused)}")
        self._checked = True

    def _draw(self, rows: npt.NDArray[np.int64], count: int) -> list[int]:
        return self.random.sample(rows.tolist(), min(count, len(rows)))

    @staticmethod
    def _feed(model: HostedModel, requests: pa.Table) -> Callable[[Mask], pa.StructArray]:
        features = _features(model, requests)

        def ask(mask: Mask) -> pa.StructArray:
            chosen = features.filter(pa.array(mask))
            parts = [
                model.answer(chosen.slice(start, PREDICT_ROWS))
                for start in range(0, chosen.num_rows, PREDICT_ROWS)
            ]
            return pa.concat_arrays(parts or [pa.array([], OUTPUT)])

        return ask

    def _time(self, requests: pa.Table, clocked: Mask, columns: dict[str, _Column]) -> None:
        """Runs the requests of `clocked` one at a time, each through both models in random order."""
        if self.primary is None or not clocked.any():
            return
        chosen = requests.filter(pa.array(clocked))
        sides = [
            ("primary", self.primary, _features(self.primary, chosen)),
            ("candidate", self.candidate, _features(self.candidate, chosen)),
        ]
        if not self._warm:
            for _, model, features in sides:
                for row in range(min(WARM_UP, chosen.num_rows)):
                    model.time(features.slice(row, 1))
            self._warm = True
        answers: dict[str, list[pa.StructArray]] = {"primary": [], "candidate": []}
        for row in range(chosen.num_rows):
            self.random.shuffle(sides)
            for name, model, features in sides:
                answers[name].append(model.time(features.slice(row, 1)))
        for name, parts in answers.items():
            columns[name].put(clocked, pa.concat_arrays(parts))


class _Column:
    """An answer column that is filled in parts, each for the rows of a mask."""

    def __init__(self, count: int) -> None:
        self._at = np.full(count, -1, np.int64)
        self._parts: list[pa.StructArray] = []
        self._filled = 0

    def put(self, mask: Mask, answers: pa.StructArray) -> None:
        self._at[mask] = np.arange(self._filled, self._filled + len(answers))
        self._parts.append(answers)
        self._filled += len(answers)

    def array(self) -> pa.StructArray:
        if not self._filled:
            return pa.nulls(len(self._at), OUTPUT)
        where = pa.array(self._at, mask=self._at < 0)
        return pa.concat_arrays(self._parts).take(where)


def _known(requests: pa.Table) -> list[str]:
    if "features" not in requests.column_names:
        return []
    return [field.name for field in requests.schema.field("features").type]


def _features(model: HostedModel, requests: pa.Table) -> pa.Table:
    """What a model is given of these requests: its features, or the payloads where there are no features."""
    known = _known(requests)
    column = requests.column("features").combine_chunks() if known else None
    if column is None or (requests.num_rows and column.null_count == len(column)):
        return requests.select(["payload"])
    return pa.table({name: column.field(name) for name in model.needs(known) or known})
