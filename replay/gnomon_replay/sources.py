"""Which kind of source an address means."""

from __future__ import annotations

from pathlib import Path

from gnomon_capture.address import KafkaAddress, parse_address
from gnomon_capture.errors import TrafficError

from gnomon_replay.settings import Traffic
from gnomon_replay.traffic import Source


def open_source(traffic: Traffic, base: Path, experiment: str, *, group: str | None) -> Source:
    """Opens the traffic for reading.

    Args:
        base: the configuration's folder; a spool's folder is relative to it.
        experiment: a spool's positions are kept under its name.
        group: Kafka's consumer group; None to look without joining one.

    Raises:
        TrafficError: no folder, no broker, no topic.
    """
    address = parse_address(traffic.address)
    if isinstance(address, KafkaAddress):
        from gnomon_replay.kafka_source import KafkaSource

        return KafkaSource(traffic.address, group)
    from gnomon_replay.spool_source import SpoolSource

    folder = base / address.folder
    if not folder.is_dir():
        raise TrafficError(
            traffic.address,
            f"there is no traffic at {folder}; start capturing into it, or correct [traffic] from",
        )
    return SpoolSource(folder, experiment)
