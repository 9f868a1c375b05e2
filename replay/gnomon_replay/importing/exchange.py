"""One logged request with its answer, and the records that it becomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gnomon_capture.record import Request

from gnomon_replay.importing.answers import Answers, served
from gnomon_replay.importing.bodies import Asked
from gnomon_replay.importing.skips import SkipError


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """What a log has of one request.

    Attributes:
        request_id: the log's own.
        ts: as the record has it.
        asked: its rows.
        answer: the answer's body; not looked at where there is an error or no answer was logged.
        answered: an answer was logged.
        error: what users got instead.
    """

    request_id: str
    ts: str
    asked: Sequence[Asked]
    answer: Any = None
    answered: bool = True
    error: str | None = None
    latency_us: int | None = None
    service: str | None = None
    key: str | None = None
    attributes: dict[str, str | None] = field(default_factory=dict)
    weight: float = 1.0
    version: str | None = None

    def records(self, answers: Answers) -> list[Request]:
        """A record a row, without origin.

        Several rows get the ids `<id>.0`, `<id>.1`, …; and, without a key of their own, the request's id as the key, since
        they came together. The time that several rows took is not one row's, so they have no latency.
        """
        count = len(self.asked)
        fields: list[dict[str, Any]] = [{} for _ in self.asked]
        if self.answered and self.error is None:
            fields = answers.of_body(self.answer, count)
        common = {} if self.version is None else {"version": self.version}
        return [
            Request(
                request_id=self.request_id if count == 1 else f"{self.request_id}.{at}",
                ts=self.ts,
                service=self.service,
                key=self.key or (self.request_id if count > 1 else None),
                attributes=self.attributes or None,
                features=row.features,
                payload=row.payload,
                served=served(
                    {**common, **each}, latency_us=self.latency_us if count == 1 else None, error=self.error
                )
                if self.answered or self.error is not None
                else None,
                weight=self.weight,
            )
            for at, (row, each) in enumerate(zip(self.asked, fields, strict=True))
        ]


def error_of_status(status: Any) -> str | None:
    """What users got instead of an answer, by the HTTP status; None if it was one.

    Raises:
        SkipError: no model answered (400 to 499), or it is no status.
    """
    try:
        number = int(status)
    except (TypeError, ValueError):
        raise SkipError("bad_row", f"{status!r:.40} is no HTTP status") from None
    if 400 <= number < 500:
        raise SkipError("refused", f"status {number}: no model answered")
    return f"HTTP {number}" if number >= 500 else None


def weight_of(fraction: Any) -> float:
    """1 / the share that was logged.

    Raises:
        SkipError: it is no share.
    """
    try:
        share = float(fraction)
    except (TypeError, ValueError):
        share = -1.0
    if not 0 < share <= 1:
        raise SkipError("weight", f"{fraction!r:.40} is no sampling fraction: above 0, at most 1")
    return 1 / share
