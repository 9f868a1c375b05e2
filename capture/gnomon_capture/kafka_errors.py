"""Kafka's errors in gnomon's words; for writing and for reading."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import kafka.errors

from gnomon_capture.errors import TrafficError, UsageError

_CONFIGURATION = (kafka.errors.KafkaConfigurationError, kafka.errors.IllegalArgumentError)

_REACHABLE = "is a broker running there, and can it be reached from here?"
_CREDENTIALS = "check security_protocol, sasl_mechanism and the credentials"
_NEWER = "Kafka 2.1 or newer is needed"
_BROKER_LOG = "the broker's log may say more"

# The nearest class in an error's line of ancestors says what to do.
ADVICE: Mapping[type[Exception], str] = {
    kafka.errors.RetriableError: _REACHABLE,
    kafka.errors.BrokerNotAvailableError: _REACHABLE,
    kafka.errors.UnknownBrokerIdError: _REACHABLE,
    kafka.errors.UnknownTopicOrPartitionError: "create the topic, or correct the address",
    kafka.errors.InvalidTopicError: "correct the topic in the address",
    kafka.errors.AuthorizationError: "give this user the rights that it lacks",
    kafka.errors.SaslAuthenticationFailedError: _CREDENTIALS,
    kafka.errors.UnsupportedSaslMechanismError: _CREDENTIALS,
    kafka.errors.IllegalSaslStateError: _CREDENTIALS,
    kafka.errors.SecurityDisabledError: _CREDENTIALS,
    kafka.errors.KafkaProtocolError: "is that the port of a Kafka broker, and security_protocol the one it speaks?",
    kafka.errors.MessageSizeTooLargeError: "raise the topic's max.message.bytes, or lower frame_bytes",
    kafka.errors.RecordListTooLargeError: "raise the topic's max.message.bytes, or lower frame_bytes",
    kafka.errors.UnsupportedVersionError: _NEWER,
    kafka.errors.UnrecognizedBrokerVersion: _NEWER,
    kafka.errors.UnsupportedCodecError: "install what reads it: pip install zstandard",
    kafka.errors.QuotaViolationError: "raise this client's quota",
    kafka.errors.NoOffsetForPartitionError: "name the offset to begin with",
    kafka.errors.LogTruncationError: "the broker lost messages that were read; begin a new experiment",
    kafka.errors.CommitFailedError: "another worker has taken over; nothing is lost",
    kafka.errors.KafkaConfigurationError: "correct the Kafka settings",
    kafka.errors.IllegalArgumentError: "correct the Kafka settings",
    kafka.errors.IllegalStateError: "the connection was closed; it is opened again",
    kafka.errors.TransactionAbortedError: "it is sent again",
    kafka.errors.BrokerResponseError: _BROKER_LOG,
}


@contextlib.contextmanager
def kafka_errors(address: object) -> Iterator[None]:
    """Kafka's errors as TrafficError, or as UsageError where the settings are to blame."""
    try:
        yield
    except kafka.errors.KafkaError as exc:
        raise translated(address, exc) from exc


def translated(address: object, exc: BaseException) -> TrafficError | UsageError:
    """One error in gnomon's words, with what to do."""
    advice = next((ADVICE[kind] for kind in type(exc).__mro__ if kind in ADVICE), _BROKER_LOG)
    text = f"{address}: {exc}; {advice}"
    return UsageError(text) if isinstance(exc, _CONFIGURATION) else TrafficError(str(address), text)
