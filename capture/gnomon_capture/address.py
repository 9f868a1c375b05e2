"""Where traffic lies: `kafka://host:9092/topic` or `spool:folder`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from gnomon_capture.errors import UsageError

_SERVER = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}\Z")
_TOPIC = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,249}\Z")


@dataclass(frozen=True, slots=True)
class KafkaAddress:
    """A topic, and one or more brokers to ask for it first."""

    servers: tuple[str, ...]
    topic: str

    def __str__(self) -> str:
        return f"kafka://{','.join(self.servers)}/{self.topic}"


@dataclass(frozen=True, slots=True)
class SpoolAddress:
    """A folder, relative to the current one unless absolute."""

    folder: Path

    def __str__(self) -> str:
        return f"spool:{self.folder}"


def parse_address(text: str) -> KafkaAddress | SpoolAddress:
    """Reads a traffic address.

    >>> str(parse_address("kafka://a.example:9092,b.example:9092/flights"))
    'kafka://a.example:9092,b.example:9092/flights'

    Raises:
        UsageError: it is none; the message says how to write one.
    """
    if text.startswith("kafka://"):
        hosts, _, topic = text.removeprefix("kafka://").partition("/")
        if "@" in hosts:
            # An address is logged and stored; a password in it would be too.
            raise UsageError(
                "a Kafka address holds no user; pass sasl_plain_username and the like as `kafka=`"
            )
        servers = tuple(hosts.split(","))
        for server in servers:
            if not _SERVER.match(server):
                raise UsageError(f"{text!r}: {server!r} is no broker; write kafka://host:9092/topic")
        if not _TOPIC.match(topic):
            raise UsageError(f"{text!r}: {topic!r} is no topic's name; write kafka://host:9092/topic")
        return KafkaAddress(servers, topic)
    folder = text.removeprefix("spool:")
    if folder == text or not folder or folder.startswith("//"):
        raise UsageError(f"{text!r} is no traffic address; write kafka://host:9092/topic or spool:folder")
    return SpoolAddress(Path(folder))
