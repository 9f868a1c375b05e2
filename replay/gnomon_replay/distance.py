"""How much of the traffic is still to be read, in positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gnomon_replay.log import PairLog, app_id
from gnomon_replay.standing import Standing
from gnomon_replay.traffic import Frame, Source
from gnomon_replay.window import Bounds


class Distance:
    """Measures from where the candidate furthest behind stands to the traffic's end, or the window's."""

    def __init__(self, source: Source, log: PairLog, standing: Standing, bounds: Bounds) -> None:
        self._source = source
        self._log = log
        self._standing = standing
        self._bounds = bounds

    def caught_up(self) -> bool:
        """Whether everything that now stands in the places that are read has been read."""
        if not self._standing.places:  # nothing is ours yet, or any more: others may have done it all
            return self.of_log() == 0
        ends = self._bounds.clip(self._source.ends())
        read = {place: self._standing.next_position(place, end) for place, end in ends.items()}
        return self._between(read, ends) == 0

    def of_run(self) -> int:
        """In the places that are read; the others count from the traffic's start."""
        return self._between(self._standing.behind(), self._bounds.clip(self._source.ends()))

    def of_log(self) -> int:
        """In all places, by what the log says."""
        ends = self._source.ends()
        self._bounds.look(ends)
        digests = self._standing.digests
        found = self._log.positions(app_id(place, digest) for place in ends for digest in digests)
        read = {
            place: min(
                self._bounds.begins.get(place, 0) if at is None else at
                for at in (found[app_id(place, digest)] for digest in digests)
            )
            for place in ends
        }
        return self._between(read, self._bounds.clip(ends))

    def _between(self, read: Mapping[str, int], ends: Mapping[str, int]) -> int:
        starts = self._source.starts()
        return sum(max(0, end - max(read.get(place, 0), starts.get(place, 0))) for place, end in ends.items())


def span(frames: Sequence[Frame]) -> int:
    """How many positions these frames take up."""
    return sum(frame.next_position - frame.offset for frame in frames)
