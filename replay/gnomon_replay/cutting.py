"""A batch cut off where a window or a limit ends, at positions from which reading can go on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gnomon_replay.duplicates import places_of


@dataclass(frozen=True)
class Cut:
    """What is left of a batch.

    Attributes:
        requests: the rows before the cut, in their order.
        reached: where reading stands behind them, by place; places with nothing read are left out.
    """

    requests: pa.Table
    reached: dict[str, int]


def cut(
    requests: pa.Table,
    began: Mapping[str, int],
    reached: Mapping[str, int],
    *,
    ends: Mapping[str, int],
    room: int | None,
) -> Cut:
    """Cuts a batch.

    Args:
        began, reached: where reading stands before and behind the whole batch, by place.
        ends: positions at which a window ends; places that it does not name have none.
        room: how many rows may be taken; a message is not cut, so that a few more may be. None: all.
    """
    stops = {place: min(position, ends.get(place, position)) for place, position in reached.items()}
    rows = requests.num_rows
    if (room is None or rows <= room) and stops == dict(reached):
        return Cut(requests, stops)
    encoded = places_of(requests).dictionary_encode()
    names = encoded.dictionary.to_pylist()
    codes = encoded.indices.to_numpy()
    offsets = offsets_of(requests)
    if room is not None and rows > room:
        for code, place in enumerate(names):
            mine = np.flatnonzero(codes == code)
            taken, beyond = mine[mine < room], mine[mine >= room]
            if len(taken):
                beyond = beyond[offsets[beyond] > offsets[taken].max()]  # the rest of the message stays
            if len(beyond):
                stops[place] = min(stops[place], int(offsets[beyond].min()))
        for place in stops.keys() - set(names):
            stops[place] = began[place]  # nothing of it but ledgers and the like: it can wait
    bounds = np.array([stops[place] for place in names], np.int64)
    kept = requests.filter(pa.array(offsets < bounds[codes])) if names else requests
    return Cut(kept, {place: stop for place, stop in stops.items() if stop > began[place]})


def offsets_of(requests: pa.Table) -> npt.NDArray[np.int64]:
    """The offset of each row."""
    column = requests.column("source").combine_chunks().field("offset")
    offsets: npt.NDArray[np.int64] = column.to_numpy(zero_copy_only=False)
    return offsets
