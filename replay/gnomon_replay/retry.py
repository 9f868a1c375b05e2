"""Dead letters sent through again, each at most once into the pairs, once the cause is mended.

A retry keeps a count of its own in the log, `<source>/<partition>/<digest>/retry`, where a worker keeps its
position. It tries those letters that the candidate's worker has read past, so that no worker will ever write
them, and that are no pair yet; its commit is refused if another retry's came since that was looked at.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from gnomon_capture.record import DEAD_LETTER_BYTES

from gnomon_replay.decode import Decoded, Decoder
from gnomon_replay.delta import open_table, rows_in, translated
from gnomon_replay.errors import OvertakenError
from gnomon_replay.log import Batch, PairLog, app_id
from gnomon_replay.pairs import DEAD_LETTERS, SOURCE
from gnomon_replay.settings import ReplaySettings, Task
from gnomon_replay.shape import Shape
from gnomon_replay.traffic import Frame, Stream

CHUNK_LETTERS = 1000
"""In one commit: at most 64 MB of lines."""
OVERTAKEN_IN_A_ROW = 5
RETRIES = "/retry"
"""Behind an `app_id`: how many retries of a place have been committed."""

Place = tuple[str, str, int, int]
Letter = dict[str, Any]
Answer = Callable[[pa.Table, pa.BooleanArray], pa.Table]
"""Rows of the log for requests and whether each is a duplicate, with the candidate's answers."""


class Retried(msgspec.Struct, kw_only=True):
    """What came of a retry, for one candidate.

    Attributes:
        paired: letters that are pairs now; `ledgers` turned out to be counts of a capturing process.
        still_dead: by reason.
        not_whole: letters whose line is not kept whole: cut at 64 KiB, or older than `dead_letter_bytes_days`.
        not_reached: letters that the candidate's worker has yet to read.
    """

    candidate: str = ""
    paired: int = 0
    ledgers: int = 0
    still_dead: dict[str, int] = {}
    not_whole: int = 0
    not_reached: int = 0


def retry(
    folder: Path, digest: str, answer: Answer, settings: ReplaySettings, shape: Shape, task: Task
) -> Retried:
    """Sends the dead letters of a log through a candidate.

    Args:
        folder: `<log>/<experiment>`.
        digest: the candidate's.
        answer: asks the candidate.
        settings: `max_record_bytes`, as it is now.
        shape: with the declared features.
        task: the experiment's.

    Raises:
        SettingsError: a feature is declared with another type than it has in the log.
        OvertakenError: other retries came first all the time.
        LogError, ModelError: as they say; what was committed stays.
    """
    done = Retried()
    dead: Counter[str] = Counter()
    for name, letters in itertools.groupby(
        _letters(folder, done), key=lambda letter: letter["source"]["name"]
    ):
        decoder = Decoder(shape, max_record_bytes=settings.max_record_bytes, task=task)
        work = _Retry(folder, name, digest, answer, decoder)
        while chunk := list(itertools.islice(letters, CHUNK_LETTERS)):
            work.send(chunk, done, dead)
    done.still_dead = dict(sorted(dead.items()))
    return done


class _Retry:
    """Letters of one source."""

    def __init__(self, folder: Path, name: str, digest: str, answer: Answer, decoder: Decoder) -> None:
        self._folder = folder
        self._name = name
        self._digest = digest
        self._answer = answer
        self._decoder = decoder
        self._log = PairLog(folder)

    def send(self, letters: list[Letter], done: Retried, dead: Counter[str]) -> None:
        """Tries some letters, all in one commit."""
        for attempt in itertools.count(1):
            ids = {part: self._id(part) for part in sorted({_partition(letter) for letter in letters})}
            retries = {part: name + RETRIES for part, name in ids.items()}
            found = self._log.positions([*ids.values(), *retries.values()])  # before looking at pairs
            counts = {name: found[name] for name in retries.values()}
            reached = {part: found[name] for part, name in ids.items()}
            left = [letter for letter in letters if _is_behind(letter, reached)]
            gone = self._settled(left)
            left = [letter for letter in left if _place(letter["source"]) not in gone]
            decoded, again = self._decode(left)
            try:
                self._commit(decoded, counts)
            except OvertakenError:
                if attempt == OVERTAKEN_IN_A_ROW:
                    raise
                self._log.forget_standing(counts)
                continue
            done.paired += decoded.requests.num_rows
            done.ledgers += decoded.ledgers.num_rows
            done.not_reached += sum(not _is_behind(letter, reached) for letter in letters)
            dead.update(again)
            return

    def _id(self, partition: str) -> str:
        """Under which the candidate's worker keeps its position."""
        return app_id(f"{self._name}/{partition}", self._digest)

    def _decode(self, letters: list[Letter]) -> tuple[Decoded, list[str]]:
        """The letters read again, each where it stood; and the reasons of those that are still none."""
        logged = self._log.schema()
        self._decoder.shape.refuse_change(logged)
        self._decoder.shape.adopt(logged)
        stream = Stream("retry", None)
        frames = [
            Frame(stream, "retry", at, at + 1, letter["bytes"], by_line=True)
            for at, letter in enumerate(letters)
        ]
        decoded = self._decoder.decode(frames)
        sources = pa.array([letter["source"] for letter in letters], SOURCE)

        def where_it_stood(table: pa.Table) -> pa.Table:
            numbers = pc.struct_field(table.column("source").combine_chunks(), "offset")
            return table.set_column(table.schema.get_field_index("source"), "source", sources.take(numbers))

        requests, ledgers = where_it_stood(decoded.requests), where_it_stood(decoded.ledgers)
        reasons = decoded.dead_letters.column("reason").to_pylist()
        return Decoded(requests, DEAD_LETTERS.empty_table(), ledgers, decoded.blank), reasons

    def _commit(self, decoded: Decoded, counts: dict[str, int | None]) -> None:
        requests = decoded.requests
        if not requests.num_rows and not decoded.ledgers.num_rows:
            return
        pairs = self._answer(requests, self._duplicates(requests))
        self._log.commit(
            Batch(
                pairs,
                decoded.dead_letters,
                decoded.ledgers,
                counts,
                {name: (count or 0) + 1 for name, count in counts.items()},
            )
        )

    def _settled(self, letters: list[Letter]) -> set[Place]:
        """Where those stand that are a pair of this candidate already, or a ledger."""
        places = {_place(letter["source"]) for letter in letters}
        offsets = sorted({offset for _, _, offset, _ in places})
        there = pc.field("source", "offset").isin(offsets)
        mine = there & (pc.field("candidate_digest") == self._digest)
        found: set[Place] = set()
        for name, chosen in (("pairs", mine), ("ledger", there)):
            for row in self._rows(name, chosen, "source"):
                found.add(_place(row))
        return places & found

    def _duplicates(self, requests: pa.Table) -> pa.BooleanArray:
        """Which requests have an id that this candidate has answered, or that stands earlier among them."""
        ids = requests.column("request_id").to_pylist()
        chosen = pc.field("request_id").isin(ids) & (pc.field("candidate_digest") == self._digest)
        seen = set(self._rows("pairs", chosen, "request_id"))
        flags = []
        for request_id in ids:
            flags.append(request_id in seen)
            seen.add(request_id)
        return pa.array(flags, pa.bool_())

    def _rows(self, name: str, chosen: ds.Expression, column: str) -> Iterator[Any]:
        """One column of the chosen rows of a table."""
        with translated(self._folder / name):
            table = open_table(self._folder / name)
            if table is not None:
                needed = {"pairs": ["source", "request_id", "candidate_digest"], "ledger": ["source"]}
                for part in rows_in(table, self._folder / name, needed[name], chosen):
                    yield from part.column(column).to_pylist()


def _letters(folder: Path, done: Retried) -> list[Letter]:
    """The letters of a log whose line is whole, each once, by source and position."""
    with translated(folder / "dead_letters"):
        table = open_table(folder / "dead_letters")
        parts = [] if table is None else rows_in(table, folder / "dead_letters", ["source", "bytes"])
        rows = [row for part in parts for row in part.to_pylist()]
    letters = {_place(row["source"]): row for row in rows}
    whole = [letter for _, letter in sorted(letters.items()) if _is_whole(letter["bytes"])]
    done.not_whole = len(letters) - len(whole)
    return whole


def _is_whole(line: bytes | None) -> bool:
    return line is not None and len(line) < DEAD_LETTER_BYTES and b"\n" not in line and bool(line.strip())


def _is_behind(letter: Letter, reached: dict[str, int | None]) -> bool:
    """Whether the candidate's worker has read past it."""
    at = reached[_partition(letter)]
    return at is not None and letter["source"]["offset"] < at


def _partition(letter: Letter) -> str:
    partition: str = letter["source"]["partition"]
    return partition


def _place(source: dict[str, Any]) -> Place:
    return source["name"] or "", source["partition"] or "", source["offset"] or 0, source["line"] or 0
