"""Requests that arrived before: told by their id, among the last of their partition."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

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

    def mark(self, requests: pa.Table) -> pa.BooleanArray:
        """Which rows have an id that stood before in their partition, in the log or in these rows."""
        ids = requests.column("request_id").to_pylist()
        parts = _partitions(requests).to_pylist()
        fresh: dict[str, set[str]] = {}
        flags = []
        for part, request_id in zip(parts, ids, strict=True):
            if part not in self._recent:
                self._recent[part] = _RecentIds(self._rebuild(part, self._bound), self._bound)
            here = fresh.setdefault(part, set())
            flags.append(request_id in self._recent[part] or request_id in here)
            here.add(request_id)
        return pa.array(flags, pa.bool_())

    def remember(self, requests: pa.Table) -> None:
        """These rows are in the log now."""
        partitions = _partitions(requests)
        for part in pc.unique(partitions).to_pylist():
            mine = requests.filter(pc.equal(partitions, part))
            self._recent[part].extend(mine.column("request_id").to_pylist())

    def forget(self, partitions: Iterable[str]) -> None:
        """These partitions are somebody else's now, or will be read again."""
        for part in partitions:
            self._recent.pop(part, None)


def _partitions(requests: pa.Table) -> pa.StringArray:
    return requests.column("source").combine_chunks().field("partition")


class _RecentIds:
    """The last ids; forgets the oldest beyond its bound."""

    def __init__(self, ids: Iterable[str], bound: int) -> None:
        self._order: deque[str] = deque()
        self._ids: set[str] = set()
        self._bound = bound
        self.extend(ids)

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._ids

    def extend(self, ids: Iterable[str]) -> None:
        for request_id in ids:
            if request_id not in self._ids:
                self._ids.add(request_id)
                self._order.append(request_id)
        while len(self._order) > self._bound:
            self._ids.discard(self._order.popleft())
