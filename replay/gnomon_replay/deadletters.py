"""Lines that are no records, as rows of the log."""

from __future__ import annotations

import datetime
from typing import Any

import pyarrow as pa
from gnomon_capture.record import DEAD_LETTER_BYTES, BadRecordError, Reason

from gnomon_replay.blocks import place
from gnomon_replay.pairs import DEAD_LETTERS, SCHEMA_VERSION
from gnomon_replay.traffic import Frame

_DETAIL_CHARS = 500


class DeadLetters:
    """Gathers dead letters; all of them are of one moment of reading."""

    def __init__(self) -> None:
        self._now = datetime.datetime.now(datetime.UTC)
        self._rows: list[dict[str, Any]] = []

    def add(self, source: dict[str, Any], line: bytes, error: BadRecordError) -> None:
        """Adds a line that stood at `source` (the fields of `pairs.SOURCE`)."""
        origin = error.origin
        self._rows.append(
            {
                "source": source,
                "origin": None if origin is None else {"process": origin.process, "seq": origin.seq},
                "request_id": _storable(error.request_id),
                "key": _storable(error.key),
                "reason": str(error.reason),
                "detail": _storable(error.detail[:_DETAIL_CHARS]),
                "bytes": line[:DEAD_LETTER_BYTES],
                "day": self._now.date(),
                "read_at": self._now,
                "schema_version": SCHEMA_VERSION,
            }
        )

    def add_frame(self, frame: Frame, why: str) -> None:
        """Adds a whole frame, none of whose lines can be told."""
        self.add(place(frame, 0), frame.data, BadRecordError(Reason.MALFORMED, why))

    def table(self) -> pa.Table:
        """The rows, with the contract's columns."""
        return pa.Table.from_pylist(self._rows, schema=DEAD_LETTERS)


def _storable(text: str | None) -> str | None:
    """The text without what UTF-8 has no form for: half a surrogate pair, which JSON can spell."""
    return None if text is None else text.encode(errors="replace").decode()
