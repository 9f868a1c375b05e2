"""How far a run is, and by what it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc


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

    def add(
        self, pairs: pa.Table, versions: Mapping[str, str], requests: int, dead_letters: int, positions: int
    ) -> None:
        """Counts one commit.

        Args:
            pairs: its rows.
            versions: of the candidates, by digest.
            requests: records that the rows are about.
            positions: read for it.
        """
        candidate = pairs.column("candidate").combine_chunks()
        timed = pc.is_valid(candidate.field("latency_us"))
        self.pairs += pairs.num_rows
        self.requests += requests
        self.errors += len(candidate) - candidate.field("error").null_count
        self.duplicates += pc.sum(pairs.column("duplicate")).as_py() or 0
        self.dead_letters += dead_letters
        self.commits += 1
        self.done += positions
        most = 0
        for digest, version in versions.items():
            mine = pc.equal(pairs.column("candidate_digest"), digest).combine_chunks()
            rows = pc.sum(mine).as_py() or 0
            self.by_candidate[version] = self.by_candidate.get(version, 0) + rows
            most = max(most, pc.sum(pc.and_(mine, timed)).as_py() or 0)
        self.timed += most
