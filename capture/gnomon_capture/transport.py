"""What the sender needs of whatever carries the traffic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from gnomon_capture.address import SpoolAddress, parse_address
from gnomon_capture.frames import Frame
from gnomon_capture.processes import process_name
from gnomon_capture.settings import CaptureSettings
from gnomon_capture.spool_writer import SpoolWriter


class Transport(Protocol):
    """Carries frames. Called from one thread at a time, after `open`; all methods may raise GnomonError."""

    @property
    def partitions(self) -> int:
        """How many there are to choose from."""

    @property
    def ledger_partition(self) -> int:
        """The one that this process's ledgers go to."""

    def partition_of(self, key: str) -> int:
        """The partition of a key: always the same one, as long as their number stays."""

    def open(self) -> None:
        """Makes ready, or ready again after `abandon`. May take a few seconds."""

    def send(self, frame: Frame) -> None:
        """Takes charge of a frame. Frames of one partition arrive in this order."""

    def collect(self) -> tuple[list[Frame], list[Frame]]:
        """The frames acknowledged, and those refused as too large, since the last call.

        After a refusal it has to be opened again. Of several refused at once only one may be too large.
        """

    def abandon(self) -> None:
        """After an error or a refusal: forgets what is under way, which the caller will send again."""

    def close(self, timeout_s: float) -> None:
        """Ends it. Nothing arrives afterwards."""

    def disown(self) -> None:
        """In a forked child: closes its copies of what the parent has open, without a word on any wire."""


def make_transport(
    to: str, process: str, settings: CaptureSettings, kafka: Mapping[str, Any] | None = None
) -> Transport:
    """The transport to an address, not yet opened.

    Raises:
        UsageError: the address or the Kafka settings are not what they should be.
    """
    address = parse_address(to)
    if isinstance(address, SpoolAddress):
        return SpoolWriter(address, process, settings)
    from gnomon_capture.kafka import KafkaTransport  # only now: a spool needs no Kafka client

    return KafkaTransport(address, process, settings, kafka or {})


def check_transport(to: str, *, kafka: Mapping[str, Any] | None = None) -> None:
    """Makes sure that traffic could be written to an address now.

    Raises:
        UsageError: the address or a Kafka setting is not what it should be.
        TrafficError: no broker answers, the topic is not there, or the folder cannot be written.
    """
    transport = make_transport(to, process_name(), CaptureSettings(), kafka)
    transport.open()
    transport.close(0)
