"""How far a run is, and by what it ended."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Progress:
    """How far a run is; counts are of this run.

    Attributes:
        pairs: rows committed, over all candidates; `errors` of these failed, `duplicates` are marked.
        requests: records that they are about.
        by_candidate: rows committed, by the candidate's version.
        failed: why a candidate was given up while others went on, by its version.
        dead_letters: lines that are no records.
        timed: requests that were run alone.
        lag: positions between the log and the traffic's end, when last looked.
        done: positions read; of `todo`, the lag when the run began.
        ended: by what: `caught up`, `stopped`, `limit`, or a key of `[replay] stop`; empty while it runs.
    """

    pairs: int = 0
    requests: int = 0
    errors: int = 0
    duplicates: int = 0
    dead_letters: int = 0
    timed: int = 0
    commits: int = 0
    lag: int = 0
    done: int = 0
    todo: int = 0
    by_candidate: dict[str, int] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    ended: str = ""
