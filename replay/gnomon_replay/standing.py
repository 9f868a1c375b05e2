"""Where the log stands for each candidate, in the places that are read, and what is read next.

All candidates of a run share one read, which goes on from where the one furthest behind stands. A row is
offered to those that have not come so far yet: to each exactly once, however the read is cut into batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from gnomon_capture.errors import TrafficError

from gnomon_replay.log import PairLog, app_id
from gnomon_replay.traffic import Frame, partition_of

Mask = npt.NDArray[np.bool_]
BEGAN = "/from"
"""Behind an `app_id`: the position at which a candidate began to read a place, where that is not its start."""


class Standing:
    """The positions of a run's candidates. Not thread-safe.

    Args:
        digests: the candidates'.
    """

    def __init__(self, log: PairLog, digests: Sequence[str]) -> None:
        self._log = log
        self._digests = list(digests)
        self._at: dict[str, dict[str, int | None]] = {}
        self._begins: dict[str, int] = {}
        self._next: dict[str, int] = {}

    @property
    def digests(self) -> list[str]:
        """Of the candidates that are run."""
        return list(self._digests)

    @property
    def places(self) -> list[str]:
        """Those that are read."""
        return list(self._at)

    def open(self, places: Iterable[str], begins: Mapping[str, int], ends: Mapping[str, int]) -> None:
        """Asks the log where it stands in these places.

        Args:
            begins: where a candidate without a position begins; at the start where a place is not named.
            ends: of the traffic.

        Raises:
            TrafficError: the traffic ends before a position, so it is not what was read; or a window begins
                behind one, so that a gap would be left that nobody ever reads.
        """
        places = list(places)
        found = self._log.positions(app_id(place, digest) for place in places for digest in self._digests)
        for place in places:
            at = {digest: found[app_id(place, digest)] for digest in self._digests}
            for position in at.values():
                _refuse_lost_end(place, position, ends.get(place))
                _refuse_gap(place, position, begins.get(place, 0))
            self._at[place] = at
            self._begins[place] = begins.get(place, 0)
            self._next[place] = min(self._stands(place, digest) for digest in self._digests)

    def close(self, places: Iterable[str]) -> None:
        """Forgets these places; the log no longer vouches for them."""
        places = list(places)
        for place in places:
            self._at.pop(place, None)
            self._next.pop(place, None)
        self._log.forget_standing(app_id(place, digest) for place in places for digest in self._digests)

    def drop(self, digest: str) -> None:
        """This candidate is not run any more."""
        self._digests.remove(digest)
        self._log.forget_standing(app_id(place, digest) for place in self._at)
        for at in self._at.values():
            del at[digest]

    def rewind_to(self, place: str) -> int | None:
        """Where reading begins; None for the start."""
        return self._next[place] or None

    def take(self, frame: Frame) -> bool:
        """Whether a frame is of a place that is read, and was not read before; then it counts as read. After a
        place was lost and given anew, a read may still bring what was fetched before the rewind."""
        if frame.place not in self._at or frame.offset < self._next[frame.place]:
            return False
        self._next[frame.place] = frame.next_position
        return True

    def next_position(self, place: str, default: int) -> int:
        """What is read next."""
        return self._next.get(place, default)

    def behind(self) -> dict[str, int]:
        """Where the candidate furthest behind stands, by place."""
        return {place: min(self._stands(place, digest) for digest in at) for place, at in self._at.items()}

    def hindmost(self, place: str) -> str:
        """The candidate furthest behind; of several, the first."""
        return min(self._digests, key=lambda digest: self._stands(place, digest))

    def wants(self, digest: str, places: pa.StringArray, offsets: npt.NDArray[np.int64]) -> Mask:
        """Which rows a candidate has not had yet.

        Args:
            places, offsets: of each row.
        """
        encoded = places.dictionary_encode()
        stands = [self._stands(place, digest) for place in encoded.dictionary.to_pylist()]
        if not stands:
            return np.zeros(0, bool)
        wanted: Mask = offsets >= np.array(stands, np.int64)[encoded.indices.to_numpy()]
        return wanted

    def moves(
        self, reached: Mapping[str, int]
    ) -> tuple[dict[str, int | None], dict[str, int], dict[str, int]]:
        """What a commit up to these positions writes: where each id stood, where it stands then, and the marks
        of places in which a candidate begins behind the start. These are all set in its first commit, also where
        nothing was read yet: what stands before a window is not read later either."""
        began: dict[str, int | None] = {}
        moved: dict[str, int] = {}
        marks: dict[str, int] = {}
        for place, digest, at, target in self._targets(reached):
            name = app_id(place, digest)
            began[name], moved[name] = at, target
            if at is None and self._begins[place]:
                marks[name + BEGAN] = self._begins[place]
        return began, moved, marks

    def reach(self, reached: Mapping[str, int]) -> None:
        """The log stands there now."""
        for place, digest, _, target in list(self._targets(reached)):
            self._at[place][digest] = target

    def _targets(self, reached: Mapping[str, int]) -> Iterator[tuple[str, str, int | None, int]]:
        for place, stands in self._at.items():
            for digest, at in stands.items():
                target = max(reached.get(place, 0), self._stands(place, digest))
                if target > (at or 0):
                    yield place, digest, at, target

    def _stands(self, place: str, digest: str) -> int:
        at = self._at[place][digest]
        return self._begins[place] if at is None else at


def _refuse_lost_end(place: str, at: int | None, end: int | None) -> None:
    if at is not None and end is not None and at > end:
        name = partition_of(place)
        raise TrafficError(
            place,
            f"{name} ends at {end}, but {at} of it are in the log; "
            "was the traffic made anew? Read it into an experiment of its own",
        )


def _refuse_gap(place: str, at: int | None, begin: int) -> None:
    if at is not None and at < begin:
        raise TrafficError(
            place,
            f"{partition_of(place)} was read up to {at}, and the window begins at {begin}: what lies between would "
            "never be read. Go on without --from, or read the window into an experiment of its own",
        )
