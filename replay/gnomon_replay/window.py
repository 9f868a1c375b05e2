"""Which part of the traffic a run reads.

A window is a range of positions: from the first record at or after its begin to the first at or after its end,
in each place. For Kafka that is the time at which a message was sent, else the `ts` of the record.

Only the begin says something for good: a candidate that has no position in a place yet begins there, the log
keeps where (`standing.BEGAN`), and what stands before is outside its window. The end and the limit are where
this run stops; the next one goes on from there. So one range without a gap has been read of each place, and a
position stays what it is: all that stands between the begin and it is in the log.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass

from gnomon_replay.traffic import Source


@dataclass(frozen=True, kw_only=True)
class Window:
    """Bounds of a run; None: none.

    Attributes:
        begin: the first moment that belongs to it.
        end: the first moment behind it.
        limit: how many requests to read at most.
    """

    begin: datetime.datetime | None = None
    end: datetime.datetime | None = None
    limit: int | None = None


class Bounds:
    """A window's positions, asked for once per place: a window in the past does not move.

    Attributes:
        begins, ends: by place; empty where the window is open.
    """

    def __init__(self, window: Window, source: Source) -> None:
        self._window = window
        self._source = source
        self.begins: dict[str, int] = {}
        self.ends: dict[str, int] = {}

    def look(self, places: Iterable[str]) -> None:
        """Finds the positions of places that are new."""
        for moment, known in ((self._window.begin, self.begins), (self._window.end, self.ends)):
            if moment is not None and not set(places) <= known.keys():
                found = self._source.at_time(moment)
                known.update({place: at for place, at in found.items() if place not in known})
        starts = self._source.starts() if self.begins else {}
        for place, start in starts.items():
            if self.begins.get(place, 1) <= start:
                self.begins[place] = 0  # the window begins before the traffic does

    def clip(self, ends: dict[str, int]) -> dict[str, int]:
        """These ends, or the window's where they come first."""
        return {place: min(end, self.ends.get(place, end)) for place, end in ends.items()}
