"""Kafka as a transport. Imported only when a Kafka address is used."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import kafka.errors
from kafka import KafkaProducer
from kafka.codec import has_zstd
from kafka.net.compat import KafkaNetClient
from kafka.partitioner.default import murmur2

from gnomon_capture.address import KafkaAddress
from gnomon_capture.errors import TrafficError, UsageError
from gnomon_capture.frames import Frame
from gnomon_capture.kafka_client import DIRECT, THREADS, Producer, quiet, refused_login, sockets_of
from gnomon_capture.kafka_errors import kafka_errors, translated
from gnomon_capture.record import CONTENT_TYPE_ARROW, CONTENT_TYPE_HEADER, CONTENT_TYPE_NDJSON
from gnomon_capture.settings import CaptureSettings

if TYPE_CHECKING:
    from gnomon_capture.arrow import ArrowEncoder

_PATIENCE_MS = 5_000  # for the first broker to answer, and for the topic's partitions
_RECONNECT_MS = 2_000  # the client's default would leave a broker that is back alone for half a minute
_HEADERS = [(CONTENT_TYPE_HEADER, CONTENT_TYPE_NDJSON.encode())]
_ARROW_HEADERS = [(CONTENT_TYPE_HEADER, CONTENT_TYPE_ARROW.encode())]
_OURS = frozenset(
    {"bootstrap_servers", "client_id", "key_serializer", "value_serializer", "transactional_id"}
)

_TOO_LARGE = (kafka.errors.MessageSizeTooLargeError, kafka.errors.RecordListTooLargeError)


class KafkaTransport:
    """Sends frames as messages, one partition each, acknowledged by all replicas.

    The client retries for ever, in order and without duplicates (it is idempotent), so an outage shows as
    missing acknowledgements, not as errors. It may only be used from one thread at a time.

    Args:
        options: further settings of kafka-python's producer, such as `security_protocol`.

    Raises:
        UsageError: an option is unknown, or is gnomon's own; or pyarrow is wanted and not there.
    """

    def __init__(
        self, address: KafkaAddress, process: str, settings: CaptureSettings, options: Mapping[str, Any]
    ) -> None:
        for name in options:
            if name in _OURS or name not in KafkaProducer.DEFAULT_CONFIG:
                known = "is set by gnomon" if name in _OURS else "is no setting of kafka-python's producer"
                raise UsageError(f"kafka={{{name!r}: …}} {known}; leave it out")
        self._address = address
        self._process = process
        self._arrow = _arrow_encoder() if settings.wire == "arrow" else None
        self._config = {
            "acks": "all",
            "enable_idempotence": True,
            "compression_type": "zstd" if has_zstd() else None,
            "delivery_timeout_ms": float("inf"),  # an outage must not cost the order of a key's records
            "max_request_size": 2
            * (settings.frame_bytes + settings.max_record_bytes),  # the broker has the say
            "allow_auto_create_topics": False,
            "bootstrap_timeout_ms": _PATIENCE_MS,
            "max_block_ms": _PATIENCE_MS,
            "metrics_enabled": False,
            "reconnect_backoff_max_ms": _RECONNECT_MS,
            **({} if options.get("socks5_proxy") else {"proxy_url": DIRECT}),
            **options,
            "bootstrap_servers": list(address.servers),
            "client_id": f"{THREADS}{process}",
        }
        self._clients: list[KafkaNetClient] = []  # those of the producer, from its making on
        self._producer: Producer | None = None
        self._in_flight: list[tuple[Frame, Any]] = []
        self.partitions = 0
        self.ledger_partition = 0

    def partition_of(self, key: str) -> int:
        """Where every Kafka client puts this key."""
        return _hash(key) % self.partitions

    def open(self) -> None:
        """Connects, and looks for the topic.

        Raises:
            TrafficError: no broker answers, or it has no such topic.
            UsageError: kafka-python does not take the settings.
        """
        with quiet(), kafka_errors(self._address):
            try:
                producer = Producer(self._clients, **self._config)
            except kafka.errors.KafkaTimeoutError as exc:
                raise (refused_login() or exc) from exc
            except (ValueError, TypeError, OSError, RuntimeError, AssertionError) as exc:
                raise UsageError(f"{self._address}: {exc}; correct the Kafka settings") from exc
            try:
                count = len(producer.partitions_for(self._address.topic))
            except kafka.errors.KafkaError as exc:
                producer.abandon()
                if not isinstance(exc, kafka.errors.KafkaTimeoutError):
                    raise
                # A broker has answered, so it is not the broker that is missing.
                text = f"the broker has no topic {self._address.topic!r}; create it, or correct the address"
                raise TrafficError(str(self._address), f"{self._address}: {text}") from exc
        if not self.partitions:
            self.ledger_partition = _hash(self._process) % count
        self.partitions = count
        self._producer = producer

    def send(self, frame: Frame) -> None:
        """Hands a frame to the client."""
        with kafka_errors(self._address):
            data, headers = self._encoded(frame)
            future = self._client.send(
                self._address.topic, value=data, partition=frame.partition, headers=headers
            )
        self._in_flight.append((frame, future))

    def collect(self) -> tuple[list[Frame], list[Frame]]:
        """The frames that all replicas have, and those that are too large for the topic.

        After the first of these the idempotent client gives up all others with the same error.

        Raises:
            TrafficError: the client has given one up for another reason. It may be there all the same.
        """
        acknowledged, refused, failed, open_ = [], [], [], []
        for frame, future in self._in_flight:
            if not future.is_done:
                open_.append((frame, future))
            elif future.succeeded():
                acknowledged.append(frame)
            elif isinstance(future.exception, _TOO_LARGE):
                refused.append(frame)
            else:
                failed.append((frame, future))
        self._in_flight = failed + open_
        if failed and not acknowledged and not refused:  # what is known is told first
            [(_, future), *_] = failed
            raise translated(self._address, future.exception) from future.exception
        if acknowledged:
            self._count_partitions()
        return acknowledged, refused

    def abandon(self) -> None:
        """Ends the client without waiting."""
        self._in_flight.clear()
        if self._producer is not None:
            self._producer.abandon()
            self._producer = None
        self._clients.clear()

    def disown(self) -> None:
        """Closes this process's copies of the sockets: by the system's call, for Python's would speak on them."""
        for sock in sockets_of(self._clients):
            descriptor = sock.detach()
            if descriptor >= 0:
                os.close(descriptor)
        for client in self._clients:
            with contextlib.suppress(AttributeError, OSError):
                client._net._selector.close()  # noqa: SLF001 - closes the descriptor, and leaves what it watches

    def close(self, timeout_s: float) -> None:
        """Ends the client; waits for what is under way if there is time."""
        if self._producer is not None and not self._in_flight:
            with kafka_errors(self._address):
                self._producer.close(timeout=timeout_s)
        else:
            self.abandon()

    def _encoded(self, frame: Frame) -> tuple[bytes, list[tuple[str, bytes]]]:
        """The message of a frame: Arrow where that is wanted and says the same, else its lines."""
        data = frame.data
        if self._arrow is not None and not frame.ledger:
            stream = self._arrow.encode(data)
            if stream is not None:
                return stream, _ARROW_HEADERS
        return data, _HEADERS

    @property
    def _client(self) -> KafkaProducer:
        if self._producer is None:
            raise TrafficError(str(self._address), f"{self._address} is not open")
        return self._producer

    def _count_partitions(self) -> None:
        """Topics grow; like every client, this one then spreads keys anew."""
        with kafka_errors(self._address):
            self.partitions = len(self._client.partitions_for(self._address.topic))


def _arrow_encoder() -> ArrowEncoder:
    try:
        from gnomon_capture.arrow import ArrowEncoder
    except ImportError as exc:
        raise UsageError('wire = "arrow" needs pyarrow; install it: pip install pyarrow') from exc
    return ArrowEncoder()


@lru_cache(maxsize=1 << 16)  # kafka-python's is pure Python, and keys come again
def _hash(key: str) -> int:
    return int(murmur2(key.encode())) & 0x7FFFFFFF
