"""Where traffic is read from: a Kafka topic or several, a spool, Parquet files, an earlier log.

    kafka://host:9092/flights                a topic
    kafka://host:9092/flights,hotels         several
    kafka://host:9092/re:flights-.*          all whose whole name fits a regular expression, also later ones
    spool:folder                             a spool
    parquet:requests/*.parquet               files in order of their names
    pairs:shadow/arrival-delay               the requests in an earlier experiment's log

What a mirror writes to is one topic or a spool (`gnomon_capture.address`); these are more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from gnomon_capture.address import KafkaAddress, SpoolAddress, parse_address
from gnomon_capture.errors import UsageError

FORMS = "kafka://host:9092/topic, spool:folder, parquet:files/*.parquet or pairs:folder-of-a-log"


@dataclass(frozen=True, slots=True)
class KafkaTopics:
    """Topics of one cluster.

    Attributes:
        topics: their names; empty if `pattern` chooses them.
        pattern: a regular expression for whole names.
    """

    servers: tuple[str, ...]
    topics: tuple[str, ...]
    pattern: str | None

    def __str__(self) -> str:
        names = ",".join(self.topics) if self.pattern is None else f"re:{self.pattern}"
        return f"kafka://{','.join(self.servers)}/{names}"


@dataclass(frozen=True, slots=True)
class ParquetAddress:
    """Parquet files, by a glob relative to the configuration."""

    glob: str

    def __str__(self) -> str:
        return f"parquet:{self.glob}"


@dataclass(frozen=True, slots=True)
class PairsAddress:
    """The log of an earlier experiment: the folder that has `pairs` in it."""

    folder: Path

    def __str__(self) -> str:
        return f"pairs:{self.folder}"


Address = KafkaTopics | SpoolAddress | ParquetAddress | PairsAddress


def parse_traffic(text: str) -> Address:
    """Reads the address of traffic to replay.

    >>> parse_traffic("kafka://b:9092/flights,hotels").topics
    ('flights', 'hotels')
    >>> parse_traffic("kafka://b:9092/re:flights-.*").pattern
    'flights-.*'

    Raises:
        UsageError: it is none; the message says how to write one.
    """
    if text.startswith("kafka://"):
        hosts, _, names = text.removeprefix("kafka://").partition("/")
        if names.startswith("re:"):
            pattern = names.removeprefix("re:")
            try:
                re.compile(pattern)
            except re.error as exc:
                raise UsageError(f"{text!r}: {pattern!r} is no regular expression: {exc}") from exc
            if not pattern:
                raise UsageError(f"{text!r}: an expression for the topics' names is missing behind re:")
            return KafkaTopics(_kafka(f"kafka://{hosts}/any").servers, (), pattern)
        parts = [_kafka(f"kafka://{hosts}/{name}") for name in names.split(",")]
        return KafkaTopics(parts[0].servers, tuple(dict.fromkeys(part.topic for part in parts)), None)
    kind, _, rest = text.partition(":")
    if kind == "parquet" and rest:
        return ParquetAddress(rest)
    if kind == "pairs" and rest:
        return PairsAddress(Path(rest))
    if kind != "spool":
        raise UsageError(f"{text!r} is no traffic address; write {FORMS}")
    address = parse_address(text)
    if isinstance(address, KafkaAddress):
        raise UsageError(f"{text!r} is no traffic address; write {FORMS}")
    return address


def _kafka(text: str) -> KafkaAddress:
    address = parse_address(text)
    if not isinstance(address, KafkaAddress):
        raise UsageError(f"{text!r} is no Kafka address; write kafka://host:9092/topic")
    return address
