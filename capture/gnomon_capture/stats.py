"""What a mirror counts, in process."""

from __future__ import annotations

import msgspec


class MirrorStats(msgspec.Struct, frozen=True, kw_only=True):
    """What a mirror has done so far.

    The first counts are the ledger's: `seen = not_selected + mirrored + sum(dropped)`.

    Attributes:
        mirrored: how many requests have a number, and so are on their way or in the traffic.
        waiting: how many more wait in the buffer, in none of the counts yet.
        unacknowledged: how many of the mirrored the traffic's transport has not acknowledged yet.
        refused: how many of the mirrored it refused for good, as too large.
        away: whether it is away.
        overflowing: whether requests go to the overflow folder, or lie there still. Those that do are among the
            unacknowledged.
    """

    process: str
    seen: int
    mirrored: int
    not_selected: int
    dropped: dict[str, int]
    waiting: int
    unacknowledged: int
    refused: int
    away: bool
    overflowing: bool = False
