"""Delivery: nothing put is lost, whatever the transport does."""

from __future__ import annotations

import logging

import pytest
from gnomon_capture import delivery
from gnomon_capture.delivery import Delivery
from gnomon_capture.errors import TrafficError
from gnomon_capture.frames import Frame
from gnomon_capture.transport import Transport


class Scripted(Transport):
    """A transport that works, fails and refuses on command; `arrived` is what a reader would find."""

    partitions = 1
    ledger_partition = 0

    def __init__(self) -> None:
        self.arrived: list[bytes] = []
        self.works = True
        self.acknowledges = True
        self.acknowledges_first = False
        self.refuses: bytes | None = None
        self.opened = 0
        self._sent: list[Frame] = []

    def partition_of(self, key: str) -> int:
        return 0

    def open(self) -> None:
        self._check()
        self.opened += 1

    def send(self, frame: Frame) -> None:
        self._check()
        self._sent.append(frame)
        self.arrived.append(frame.data)

    def collect(self) -> tuple[list[Frame], list[Frame]]:
        self._check()
        if self.acknowledges_first and self._sent:
            self.acknowledges_first = False
            return [self._sent.pop(0)], []
        if not self.acknowledges:
            return [], []
        sent, self._sent = self._sent, []
        if self.refuses is not None and any(self.refuses in frame.data for frame in sent):
            return [], sent  # as kafka-python does: all are given up for the sake of one
        return sent, []

    def abandon(self) -> None:
        self._sent.clear()

    def close(self, timeout_s: float) -> None:
        raise TrafficError("x", "closing fails too")

    def _check(self) -> None:
        if not self.works:
            raise TrafficError("somewhere", "somewhere: away; come back later")


@pytest.fixture
def transport() -> Scripted:
    return Scripted()


@pytest.fixture
def under_test(transport: Scripted, monkeypatch: pytest.MonkeyPatch) -> Delivery:
    monkeypatch.setattr(delivery, "_FIRST_PAUSE_S", 0.0)
    return Delivery(transport, "somewhere", lambda: 0)


def frame(text: bytes, *, ledger: bool = False) -> Frame:
    made = Frame(0, 0.0, ledger)
    made.add(text, text.count(b"\n"))
    return made


def test_frames_arrive_in_order_and_are_settled_when_acknowledged(
    transport: Scripted, under_test: Delivery
) -> None:
    transport.acknowledges = False
    for text in (b"a\n", b"b\nc\n"):
        under_test.put(frame(text))
    under_test.step()
    assert transport.arrived == [b"a\n", b"b\nc\n"]
    assert (under_test.acknowledged, under_test.idle) == (0, False)
    transport.acknowledges = True
    under_test.step()
    assert (under_test.acknowledged, under_test.idle) == (3, True)


def test_after_a_failure_everything_unacknowledged_is_sent_again_in_order(
    transport: Scripted, under_test: Delivery
) -> None:
    transport.acknowledges = False
    for text in (b"a\n", b"b\n"):
        under_test.put(frame(text))
    under_test.step()
    transport.works = False
    under_test.put(frame(b"c\n"))
    under_test.step()
    assert (under_test.away, under_test.ready, under_test.acknowledged) == (True, False, 0)
    transport.works = transport.acknowledges = True
    under_test.step()
    under_test.step()
    assert transport.arrived == [b"a\n", b"b\n", b"a\n", b"b\n", b"c\n"]
    assert (under_test.away, under_test.ready, under_test.acknowledged) == (False, True, 3)
    assert transport.opened == 2


def test_a_ledger_waits_for_all_before_it_and_holds_back_all_after_it(
    transport: Scripted, under_test: Delivery
) -> None:
    transport.acknowledges = False
    for text, ledger in ((b"a\n", False), (b"L\n", True), (b"b\n", False)):
        under_test.put(frame(text, ledger=ledger))
    under_test.step()
    assert transport.arrived == [b"a\n"]
    transport.acknowledges = True
    under_test.step()
    under_test.step()
    assert transport.arrived == [b"a\n", b"L\n", b"b\n"]
    assert under_test.acknowledged == 2


def test_of_frames_refused_together_only_the_line_that_is_too_large_is_lost(
    transport: Scripted, under_test: Delivery, caplog: pytest.LogCaptureFixture
) -> None:
    transport.refuses = b"huge"
    for text in (b"first\n", b"a\nb\nhuge\nc\nd\n", b"last\n"):
        under_test.put(frame(text))
    for _ in range(30):
        under_test.step()
    arrived = [text for text in transport.arrived if b"huge" not in text]
    assert list(dict.fromkeys(b"".join(arrived).splitlines())) == [b"first", b"last", b"a", b"b", b"c", b"d"]
    assert (under_test.refused, under_test.acknowledged, under_test.idle) == (1, 6, True)
    [record] = caplog.records
    assert "a record of 5 bytes is too large for somewhere" in record.getMessage()
    assert not under_test.away


def test_an_outage_is_one_line_when_it_begins_and_one_when_it_ends(
    transport: Scripted, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(delivery, "_FIRST_PAUSE_S", 0.0)
    dropped = [5]
    under_test = Delivery(transport, "somewhere", lambda: dropped[0])
    transport.works = False
    under_test.put(frame(b"a\n"))
    with caplog.at_level(logging.WARNING):
        for _ in range(10):
            under_test.step()
        dropped[0] = 12
        transport.works = True
        for _ in range(10):
            under_test.step()
    begun, ended = [record.getMessage() for record in caplog.records]
    assert "somewhere: away; come back later" in begun
    assert "somewhere goes on" in ended
    assert "7 requests were dropped" in ended


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that delivery sees; a test sets it."""
    now = [0.0]
    monkeypatch.setattr(delivery.time, "monotonic", lambda: now[0])
    return now


def test_silence_is_an_outage_too(transport: Scripted, under_test: Delivery, clock: list[float]) -> None:
    transport.acknowledges = False
    under_test.put(frame(b"a\n"))
    for clock[0], away in ((0.0, False), (4.0, False), (6.0, True)):
        under_test.step()
        assert (under_test.away, under_test.ready) == (away, not away)
    transport.acknowledges = True
    under_test.step()
    assert (under_test.away, under_test.ready) == (False, True)


def test_after_an_outage_the_rest_has_its_time_to_be_acknowledged(
    transport: Scripted, under_test: Delivery, clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    transport.acknowledges = False
    for text in (b"a\n", b"b\n"):
        under_test.put(frame(text))
    for clock[0] in (0.0, 6.0):
        under_test.step()
    transport.acknowledges_first = True
    for clock[0] in (6.1, 6.2, 8.0):
        under_test.step()
        assert not under_test.away
    assert (under_test.acknowledged, len(caplog.records)) == (1, 2)


def test_opening_is_tried_less_often_the_longer_it_fails(transport: Scripted) -> None:
    under_test = Delivery(transport, "somewhere", lambda: 0)
    transport.works = False
    for _ in range(5):
        under_test.step()
    assert transport.opened == 0
    transport.works = True
    under_test.step()
    assert transport.opened == 0  # not before the pause is over


def test_an_unexpected_exception_counts_as_a_failure(
    transport: Scripted, under_test: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(frame: Frame) -> None:
        raise ZeroDivisionError

    under_test.put(frame(b"a\n"))
    with monkeypatch.context() as patch:
        patch.setattr(transport, "send", broken)
        under_test.step()
    assert under_test.away
    under_test.step()
    under_test.step()
    assert (transport.arrived, under_test.away) == ([b"a\n"], False)


def test_much_under_way_makes_the_rest_wait(
    transport: Scripted, under_test: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "_UNDER_WAY_BYTES", 3)
    transport.acknowledges = False
    under_test.step()
    under_test.put(frame(b"a\n"))
    assert under_test.ready
    under_test.put(frame(b"b\n"))
    assert not under_test.ready
    transport.acknowledges = True
    under_test.step()
    under_test.step()
    assert under_test.ready


def test_closing_never_raises(under_test: Delivery) -> None:
    under_test.close(1.0)
