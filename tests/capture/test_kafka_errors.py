"""Kafka's errors in gnomon's words."""

from __future__ import annotations

import inspect

import kafka.errors
import pytest
from gnomon_capture.errors import GnomonError, TrafficError, UsageError
from gnomon_capture.kafka_errors import ADVICE, kafka_errors


def every_kafka_error() -> list[type[Exception]]:
    found = [
        kind
        for _, kind in inspect.getmembers(kafka.errors, inspect.isclass)
        if issubclass(kind, kafka.errors.KafkaError)
    ]
    assert len(found) > 100
    return found


@pytest.mark.parametrize("kind", every_kafka_error())
def test_every_error_of_kafka_is_translated_and_says_what_to_do(kind: type[Exception]) -> None:
    try:
        error = kind()
    except TypeError:
        error = kind({})
    with pytest.raises(GnomonError) as caught, kafka_errors("kafka://localhost:9092/t"):
        raise error
    assert isinstance(caught.value, (TrafficError, UsageError))
    assert caught.value.__cause__ is error
    assert str(caught.value).startswith("kafka://localhost:9092/t: ")
    if kind is not kafka.errors.KafkaError:  # the base itself is never raised
        advised = [base for base in kind.__mro__ if base in ADVICE]
        assert advised, f"{kind.__name__} has no advice in ADVICE"
        assert str(caught.value).endswith(ADVICE[advised[0]])
