"""Requests that arrived before: told by their id, among the last of their partition."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc


class Duplicates:
    """Remembers the last ids of each partition. Not thread-safe.

    Args:
        rebuild: the last so many ids of a partition in the log, oldest first; asked when a partition comes.
        bound: how many ids a partition keeps.
    """

    def __init__(self, rebuild: Callable[[str, int], list[str]], bound: int) -> None:
        self._rebuild = rebuild
        self._bound = bound
        self._recent: dict[str, _RecentIds] = {}
        self._marked: list[tuple[str, list[str]]] = []

    def mark(self, requests: pa.Table) -> pa.BooleanArray:
        """Which rows have an id that stood before in their partition, in the log or in these rows."""
        flags = np.zeros(requests.num_rows, bool)
        self._marked = []
        for part, rows, ids in _by_partition(requests):
            self._marked.append((part, ids))
            if part not in self._recent:
                self._recent[part] = _RecentIds(self._rebuild(part, self._bound), self._bound)
            flags[rows] = self._recent[part].seen(ids)
        return pa.array(flags)

    def remember(self) -> None:
        """The rows marked last are in the log now."""
        for part, ids in self._marked:
            self._recent[part].extend(ids)

    def forget(self, places: Iterable[str]) -> None:
        """These places are somebody else's now, or will be read again."""
        for place in places:
            self._recent.pop(place, None)


def _by_partition(requests: pa.Table) -> Iterator[tuple[str, npt.NDArray[np.int64], list[str]]]:
    """Each place with the numbers of its rows, and their ids."""
    partitions = places_of(requests).dictionary_encode()
    ids = requests.column("request_id")
    names = partitions.dictionary.to_pylist()
    if len(names) == 1:
        yield names[0], np.arange(len(ids)), ids.to_pylist()
        return
    codes = partitions.indices.to_numpy()
    for code, part in enumerate(names):
        rows = np.flatnonzero(codes == code)
        yield part, rows, ids.take(pa.array(rows)).to_pylist()


def places_of(requests: pa.Table) -> pa.StringArray:
    """The place of each row."""
    source = requests.column("source").combine_chunks()
    return pc.binary_join_element_wise(source.field("name"), source.field("partition"), "/")


class _RecentIds:
    """The last ids; forgets the oldest beyond its bound."""

    def __init__(self, ids: Iterable[str], bound: int) -> None:
        self._order: deque[str] = deque()
        self._ids: set[str] = set()
        self._bound = bound
        self.extend(ids)

    def seen(self, ids: list[str]) -> list[bool] | bool:
        """Which of these are among the last ids, or stand earlier in the list."""
        here = set(ids)
        if len(here) == len(ids) and self._ids.isdisjoint(here):
            return False
        here.clear()
        flags = []
        for request_id in ids:
            flags.append(request_id in self._ids or request_id in here)
            here.add(request_id)
        return flags

    def extend(self, ids: Iterable[str]) -> None:
        new = [request_id for request_id in dict.fromkeys(ids) if request_id not in self._ids]
        self._order.extend(new)
        self._ids.update(new)
        while len(self._order) > self._bound:
            self._ids.discard(self._order.popleft())
