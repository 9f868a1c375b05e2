"""Where traffic lies."""

from __future__ import annotations

from pathlib import Path

import pytest
from gnomon_capture.address import KafkaAddress, SpoolAddress, parse_address
from gnomon_capture.errors import UsageError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("kafka://localhost:9092/flights", KafkaAddress(("localhost:9092",), "flights")),
        ("kafka://a.b-c:1,[::1]:9092/a.b_c-D", KafkaAddress(("a.b-c:1", "[::1]:9092"), "a.b_c-D")),
        ("spool:traffic", SpoolAddress(Path("traffic"))),
        ("spool:/var/spool/a b", SpoolAddress(Path("/var/spool/a b"))),
    ],
)
def test_an_address_is_read_and_written_alike(text: str, address: KafkaAddress | SpoolAddress) -> None:
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "traffic",
        "spool:",
        "spool://traffic",
        "kafka:localhost:9092/flights",
        "kafka://localhost/flights",
        "kafka://localhost:9092",
        "kafka://localhost:9092/",
        "kafka://localhost:9092/a/b",
        "kafka://localhost:9092/..",
        "kafka://localhost:9092,/flights",
        "kafka:///flights",
        "redis://localhost:6379/flights",
    ],
)
def test_anything_else_is_refused_with_how_to_write_it(text: str) -> None:
    with pytest.raises(UsageError, match="write kafka://host:9092/topic"):
        parse_address(text)


def test_an_address_cannot_hold_a_password() -> None:
    with pytest.raises(UsageError) as caught:
        parse_address("kafka://me:secret@localhost:9092/flights")
    assert "secret" not in str(caught.value)
