"""Bringing an import's records into a spool or a topic, numbered, with a closing ledger."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path

from gnomon_capture.address import KafkaAddress, SpoolAddress, parse_address
from gnomon_capture.errors import TrafficError, UsageError
from gnomon_capture.frames import Frame, OpenFrames
from gnomon_capture.record import Ledger, Origin, Request, encode_lines, format_ts
from gnomon_capture.segments import spool_errors
from gnomon_capture.settings import CaptureSettings
from gnomon_capture.spool_writer import SpoolWriter
from gnomon_capture.transport import Transport, make_transport

from gnomon_replay.importing.skips import SkipError, Skipped

_UNDER_WAY_BYTES = 8 << 20
_SILENCE_S = 60.0


class Delivery:
    """Writes one unit's records: one capturing process in the accounts, named by what was imported.

    Into a spool an import appears whole, when it is finished, or not at all. Into a topic it goes as it is read; one
    that was interrupted is repeated as a whole, with the same process, numbers and ids, so that what had arrived
    is a duplicate. A context manager; without `finish` it takes back what it can.

    Raises:
        UsageError: this content is in the spool already; the address is none.
        TrafficError: the traffic cannot be written.
    """

    def __init__(self, to: str, content: str, mapping: str, what: str) -> None:
        self.process = f"import-{content[:12]}-{mapping[:6]}"
        self.numbered = 0
        self._settings = CaptureSettings()
        self._address = parse_address(to)
        self._hidden: Path | None = None
        self._transport = self._made(to, content, what)
        self._frames = OpenFrames(self._settings.frame_records, self._settings.frame_bytes, self._put)
        self._under_way_bytes = 0
        self._heard_at = time.monotonic()

    def __enter__(self) -> Delivery:
        try:
            self._transport.open()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(TrafficError):
            self._transport.close(0)
        self._remove()

    def add(self, record: Request) -> None:
        """Numbers and sends a record.

        Raises:
            SkipError: it is too large.
            Unencodable: a value in it has no JSON form.
        """
        numbered = Request(
            request_id=record.request_id,
            ts=record.ts,
            service=record.service,
            key=record.key,
            attributes=record.attributes,
            features=record.features,
            payload=record.payload,
            served=record.served,
            weight=record.weight,
            origin=Origin(process=self.process, seq=self.numbered),
        )
        line = encode_lines([numbered])
        if len(line) - 1 > self._settings.max_record_bytes:
            raise SkipError(
                "oversize", f"{len(line)} bytes; at most {self._settings.max_record_bytes} are taken"
            )
        partitions = self._transport.partitions
        partition = (
            self._frames.unkeyed(partitions)
            if record.key is None
            else self._transport.partition_of(record.key)
        )
        self._frames.add(partition, line, 1, time.monotonic())
        self.numbered += 1
        while self._under_way_bytes > _UNDER_WAY_BYTES:
            self._collect()

    def finish(self, skipped: Skipped) -> None:
        """Sends the ledger when all else has arrived, and has a spool show the import."""
        self._frames.close_all()
        self._settle()
        ledger = Ledger(
            process=self.process,
            ts=format_ts(time.time_ns()),
            upto_seq=self.numbered - 1,
            seen=self.numbered + skipped.total,
            mirrored=self.numbered,
            not_selected=skipped.not_selected,
            dropped=skipped.dropped,
            closed=True,
        )
        frame = Frame(self._transport.ledger_partition, time.monotonic(), ledger=True)
        frame.add(encode_lines([ledger]), 1)
        self._put(frame)
        self._settle()
        self._transport.close(10)
        if self._hidden is not None and isinstance(self._address, SpoolAddress):
            with spool_errors(self._address, "write", "is the disk full, and may this user write there?"):
                os.rename(self._hidden / self.process, self._address.folder / self.process)

    def _made(self, to: str, content: str, what: str) -> Transport:
        if isinstance(self._address, KafkaAddress):
            return make_transport(to, self.process, self._settings)
        folder = self._address.folder
        refuse_known(to, content, what)
        with spool_errors(self._address, "make", "may this user write there?"):
            folder.mkdir(parents=True, exist_ok=True)
            self._hidden = Path(tempfile.mkdtemp(prefix=".import-", dir=folder))
        return SpoolWriter(SpoolAddress(self._hidden), self.process, self._settings)

    def _put(self, frame: Frame) -> None:
        self._transport.send(frame)
        self._under_way_bytes += frame.size_bytes

    def _settle(self) -> None:
        while self._under_way_bytes:
            self._collect()

    def _collect(self) -> None:
        arrived, refused = self._transport.collect()
        if refused:
            raise TrafficError(
                str(self._address),
                f"{self._address} refused {refused[0].size_bytes:,} bytes as too large; raise the topic's max.message.bytes",
            )
        self._under_way_bytes -= sum(frame.size_bytes for frame in arrived)
        if arrived:
            self._heard_at = time.monotonic()
        elif time.monotonic() - self._heard_at > _SILENCE_S:
            raise TrafficError(
                str(self._address),
                f"{self._address} acknowledged nothing for {_SILENCE_S:.0f} s; is the broker up? Import again: "
                "what had arrived counts once",
            )
        else:
            time.sleep(0.002)

    def _remove(self) -> None:
        if self._hidden is not None:
            shutil.rmtree(self._hidden, ignore_errors=True)


def refuse_known(to: str, content: str, what: str) -> None:
    """Makes sure that this content was not imported into this spool before, by whatever mapping.

    Raises:
        UsageError: it was.
    """
    address = parse_address(to)
    if isinstance(address, SpoolAddress):
        for known in sorted(address.folder.glob(f"import-{content[:12]}-*")):
            raise UsageError(
                f"{what} is in {address} already, as {known.name}; to import it by another mapping, use another "
                "folder (or remove that one, if nothing has replayed it)"
            )
