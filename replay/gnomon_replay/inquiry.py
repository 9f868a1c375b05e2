"""One model and one batch: what it is given of each request, and where its answers go."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gnomon_replay.host import PAYLOAD
from gnomon_replay.model import HostedModel
from gnomon_replay.pairs import OUTPUT

Mask = npt.NDArray[np.bool_]


class Inquiry:
    """One model, and what it is given of a batch: a request's features, or its payload if it has none."""

    def __init__(self, model: HostedModel, requests: pa.Table) -> None:
        known = feature_names(requests)
        column = requests.column("features").combine_chunks()
        self.model = model
        self._has_features: Mask = pc.is_valid(column).to_numpy(zero_copy_only=False)
        names = model.needs(known) if self._has_features.any() else []
        if not names:  # a table without columns would have no rows either
            self._has_features = np.zeros(len(column), bool)
        beside = _context(requests, model.context)
        self._features = pa.table({name: column.field(name) for name in names} | beside)
        self._payloads = pa.table({PAYLOAD: pc.fill_null(requests.column("payload"), "{}")} | beside)

    def ask(self, mask: Mask) -> pa.StructArray:
        """Answers to the requests of `mask`, in their order."""
        answers = Column(len(mask))
        for given, chosen in (
            (self._features, mask & self._has_features),
            (self._payloads, mask & ~self._has_features),
        ):
            if chosen.any():
                answers.put(chosen, self.model.answer(given.filter(pa.array(chosen))))
        return answers.filled()

    def time(self, row: int) -> pa.StructArray:
        """The answer to one request, run alone."""
        given = self._features if self._has_features[row] else self._payloads
        return self.model.time(given.slice(row, 1))


def _context(requests: pa.Table, names: Sequence[str]) -> dict[str, pa.ChunkedArray]:
    """What a model is told of its requests beside their features, under names that no feature can have."""
    known = [name for name in names if requests.schema.field(name).type != pa.struct([])]
    return {f"\0{name}": requests.column(name) for name in known}


class Column:
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


def feature_names(requests: pa.Table) -> list[str]:
    """The features that any request in the log or in these has."""
    return [field.name for field in requests.schema.field("features").type]
