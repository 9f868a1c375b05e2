"""Addresses of traffic to replay: what they mean, and what is said of those that are none."""

from __future__ import annotations

import pytest
from gnomon_capture.errors import UsageError
from gnomon_replay.addresses import KafkaTopics, parse_traffic


@pytest.mark.parametrize(
    ("text", "topics", "pattern"),
    [
        ("kafka://b:9092/flights", ("flights",), None),
        ("kafka://b:9092/flights,hotels,flights", ("flights", "hotels"), None),
        ("kafka://b:9092/re:flights-.*", (), "flights-.*"),
        ("kafka://b:9092/re:a{1,2}/b", (), "a{1,2}/b"),
    ],
)
def test_kafka_takes_a_topic_several_or_an_expression(
    text: str, topics: tuple[str, ...], pattern: str | None
) -> None:
    assert parse_traffic(text) == KafkaTopics(("b:9092",), topics, pattern)


@pytest.mark.parametrize(
    "text",
    [
        "kafka://b:9092/flights",
        "kafka://a:1,b:2/flights,hotels",
        "kafka://b:9092/re:f.*",
        "spool:traffic",
        "parquet:requests/*.parquet",
        "pairs:shadow/last-week",
    ],
)
def test_an_address_is_written_as_it_is_read(text: str) -> None:
    assert str(parse_traffic(text)) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kafka://b:9092/", "is no topic's name"),
        ("kafka://b:9092/a,,b", "is no topic's name"),
        ("kafka://b:9092/re:", "an expression for the topics' names is missing"),
        ("kafka://b:9092/re:(", "is no regular expression"),
        ("kafka://b/t", "is no broker"),
        ("parquet:", "write kafka://host:9092/topic, spool:folder, parquet:files"),
        ("pairs:", "pairs:folder-of-a-log"),
        ("csv:x", "is no traffic address"),
        ("spool:", "is no traffic address"),
    ],
)
def test_what_is_none_is_refused_with_the_forms_there_are(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_traffic(text)
