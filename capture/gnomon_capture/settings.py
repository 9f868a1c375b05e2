"""Settings of capture, and, handed on for every stage, the one strict checker that settings pass."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from gnomon_capture.record import MAX_RECORD_BYTES
from gnomon_capture.redact_settings import RedactSettings
from gnomon_capture.select_settings import SelectRule, SelectSettings
from gnomon_capture.strict import Frac, PositiveFloat, PositiveInt, Settings, duration_s, from_mapping

__all__ = [
    "CaptureSettings",
    "Frac",
    "PositiveFloat",
    "PositiveInt",
    "RedactSettings",
    "SelectRule",
    "SelectSettings",
    "Settings",
    "duration_s",
    "from_mapping",
]


class CaptureSettings(Settings, frozen=True, kw_only=True):
    """How a serving process mirrors: the table `[capture]`, or the arguments of `Mirror`.

    Attributes:
        buffer_records: how many requests may wait for the sender; beyond, they are dropped and counted.
        buffer_bytes: how much memory they may take; the number that fits is measured several times a second.
        copy: `shallow` copies what is passed one level deep, `deep` all of it, on the caller's thread.
        overflow: a folder for requests while the traffic's transport is away or too slow; none by default, so
            that no request is written to a disk that nobody named. The next mirror to the same address that is
            given the folder sends what a killed process left there.
        overflow_bytes: how much may lie in that folder, of all processes that share it and the address; beyond,
            requests are dropped and counted (`overflow_full`).
        max_record_bytes: how large one encoded record may be; a larger one is dropped and counted.
        frame_records: how many records a message or a write holds at most.
        frame_bytes: how large a frame may grow; kept below Kafka's default limit for a message.
        wire: how messages to Kafka are encoded: "ndjson", or "arrow" (needs pyarrow), which costs the sender some
            microseconds a record more, outside Python's lock, and the replay as much less. A spool has lines.
        linger_s: how long a record waits at most for its frame to fill.
        ledger_every_s: how often the sender writes its counts into the traffic.
        close_timeout_s: how long closing waits for what is buffered; what is left then is counted.
        segment_bytes: how large a file of the spool grows before it is closed, and so shown to readers.
        segment_s: how old it grows.
        spool_max_bytes: how large a spool's closed files may grow in sum, all processes'; beyond, the oldest are
            removed. None: they stay.
        spool_max_age: how old they may grow, such as `7d`.
        select: which requests are mirrored; all, by default.
        redact: what never leaves the process as it is.
        control: a file that switches mirroring off and on, and changes the share, without a restart.
    """

    buffer_records: PositiveInt = 100_000
    buffer_bytes: PositiveInt = 64 << 20
    copy: Literal["shallow", "deep"] = "shallow"
    overflow: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    overflow_bytes: PositiveInt = 1 << 30
    max_record_bytes: PositiveInt = MAX_RECORD_BYTES
    frame_records: PositiveInt = 500
    frame_bytes: PositiveInt = 900_000
    wire: Literal["ndjson", "arrow"] = "ndjson"
    linger_s: PositiveFloat = 0.5
    ledger_every_s: PositiveFloat = 5.0
    close_timeout_s: PositiveFloat = 30.0
    segment_bytes: PositiveInt = 64 << 20
    segment_s: PositiveFloat = 30.0
    spool_max_bytes: PositiveInt | None = None
    spool_max_age: str | None = None
    select: SelectSettings = SelectSettings()
    redact: RedactSettings | None = None
    control: str | None = None

    def check(self, path: str) -> None:
        self.select.check(f"{path}.select")
        if self.redact is not None:
            self.redact.check(f"{path}.redact")
        if self.spool_max_age is not None:
            duration_s(self.spool_max_age, f"{path}.spool_max_age")
