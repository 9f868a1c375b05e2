"""Which kind of source an address means."""

from __future__ import annotations

from pathlib import Path

from gnomon_capture.address import SpoolAddress
from gnomon_capture.errors import TrafficError

from gnomon_replay.addresses import KafkaTopics, ParquetAddress, parse_traffic
from gnomon_replay.settings import Traffic
from gnomon_replay.traffic import Source


def open_source(traffic: Traffic, base: Path, experiment: str, *, group: str | None) -> Source:
    """Opens the traffic for reading.

    Args:
        base: the configuration's folder; a spool's folder, files and logs are relative to it.
        experiment: a spool's positions, and those in files, are kept under its name.
        group: Kafka's consumer group; None to look without joining one.

    Raises:
        TrafficError: no folder, no file, no broker, no topic.
    """
    address = parse_traffic(traffic.address)
    if isinstance(address, KafkaTopics):
        from gnomon_replay.kafka_source import KafkaSource

        return KafkaSource(traffic.address, group)
    if isinstance(address, ParquetAddress):
        from gnomon_replay.parquet_source import ParquetSource

        return ParquetSource(base, address.glob, experiment)
    if not isinstance(address, SpoolAddress):
        from gnomon_replay.pairs_source import PairsSource

        return PairsSource(base / address.folder)
    from gnomon_replay.spool_source import SpoolSource

    folder = base / address.folder
    if not folder.is_dir():
        raise TrafficError(
            traffic.address,
            f"there is no traffic at {folder}; start capturing into it, or correct [traffic] from",
        )
    return SpoolSource(folder, experiment)


def shares(traffic: Traffic) -> bool:
    """Whether several workers share this traffic out among themselves."""
    return isinstance(parse_traffic(traffic.address), KafkaTopics)
