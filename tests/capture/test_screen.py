"""What the sender makes of what the screen lets out."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import pytest
from gnomon_capture import (
    CaptureSettings,
    RedactSettings,
    Request,
    SelectSettings,
    redacted_key,
    sticky_point,
)
from gnomon_capture.errors import TrafficError
from gnomon_capture.frames import Frame
from gnomon_capture.handoff import Handoff
from gnomon_capture.record import Ledger, decode_line
from gnomon_capture.screen import Screen
from gnomon_capture.sender import Sender
from gnomon_capture.transport import Transport

NOON_NS = 1_795_521_600_000_000_000


class Partitioned(Transport):
    """Keeps what arrives, by partition."""

    partitions = 8
    ledger_partition = 0

    def __init__(self) -> None:
        self.arrived: list[tuple[int, Request]] = []
        self._sent: list[Frame] = []
        self.works = True

    def partition_of(self, key: str) -> int:
        return zlib.crc32(key.encode()) % self.partitions

    def open(self) -> None:
        if not self.works:
            raise TrafficError("x", "away")

    def send(self, frame: Frame) -> None:
        self._sent.append(frame)
        if not frame.ledger:
            lines = map(decode_line, frame.data.splitlines())
            self.arrived += [(frame.partition, line) for line in lines if isinstance(line, Request)]

    def collect(self) -> tuple[list[Frame], list[Frame]]:
        sent, self._sent = self._sent, []
        return sent, []

    def abandon(self) -> None:
        self._sent.clear()

    def close(self, timeout_s: float) -> None:
        pass


class Raises:
    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


def sent(settings: CaptureSettings, keys: list[Any]) -> tuple[Partitioned, Sender]:
    """What arrives of requests with these keys, and the sender at its end."""
    transport, handoff = Partitioned(), Handoff(1000)
    for key in keys:
        handoff.waiting.append((NOON_NS, {}, None, None, key, None, None, 1.0))
    sender = Sender(handoff, transport, "name", "p", None, settings, Screen(settings, None))
    sender.start()
    handoff.close()
    sender.close(5.0)
    return transport, sender


def test_a_redacted_key_chooses_the_partition_so_that_any_reader_can_say_which(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REDACT_SECRET", "correct horse battery staple")
    redact = RedactSettings(fields={"key": "hash"}, secret_env="REDACT_SECRET")
    keys = [f"N{number % 20}" for number in range(200)]
    transport, _ = sent(CaptureSettings(redact=redact), keys)
    assert len({partition for partition, _ in transport.arrived}) > 1
    for partition, request in transport.arrived:
        assert request.key is not None
        assert partition == transport.partition_of(request.key)
    assert sorted(str(request.key) for _, request in transport.arrived) == sorted(
        redacted_key(redact, key) for key in keys
    )


@pytest.mark.parametrize("select", [SelectSettings(), SelectSettings(frac=0.999999, by="key")])
def test_a_key_that_raises_when_it_is_looked_at_does_not_end_the_mirror(select: SelectSettings) -> None:
    transport, sender = sent(CaptureSettings(select=select), ["a", Raises(), "b", ["c"], "d"])
    assert sorted(str(request.key) for _, request in transport.arrived) == ["a", "b", "d"]
    ledger = sender.ledger()
    assert (ledger.seen, ledger.mirrored, ledger.not_selected, ledger.dropped) == (
        5,
        3,
        0,
        {"unencodable": 2},
    )


def test_what_is_recorded_while_off_is_not_sent_once_on_even_if_the_transport_was_away(
    tmp_path: Path,
) -> None:
    file = tmp_path / "control.toml"
    settings = CaptureSettings(control=str(file))
    transport, handoff = Partitioned(), Handoff(1000)
    transport.works = False
    file.write_text("enabled = false")
    sender = Sender(handoff, transport, "name", "p", None, settings, Screen(settings, None))
    sender.start()
    handoff.waiting.append((NOON_NS, {"n": 1}, None, None, None, None, None, 1.0))
    while handoff.waiting:
        time.sleep(0.005)
    file.unlink()
    time.sleep(0.3)
    handoff.waiting.append((NOON_NS, {"n": 2}, None, None, None, None, None, 1.0))
    time.sleep(0.1)
    assert len(handoff.waiting) == 1  # it waits for the transport, as it is on again
    transport.works = True
    handoff.close()
    sender.close(5.0)
    assert [request.features for _, request in transport.arrived] == [{"n": 2}]
    ledger = sender.ledger()
    assert (ledger.seen, ledger.mirrored, ledger.not_selected) == (2, 1, 1)


def test_forked_workers_select_and_redact_without_the_secret_at_hand(tmp_path: Path) -> None:
    """A server may drop its rights, and its environment, after the fork."""
    code = """
import os, sys
from gnomon_capture import Mirror
table = {"select": {"frac": 0.5, "by": "key"}, "redact": {"fields": {"key": "hash"}, "secret_env": "SECRET"}}
mirror = Mirror(f"spool:{sys.argv[1]}", settings=table)
del os.environ["SECRET"]
workers = []
for worker in range(2):
    pid = os.fork()
    if not pid:
        for number in range(200):
            mirror.record({"worker": worker}, key=str(number))
        mirror.close()
        os._exit(0)
    workers.append(pid)
sys.exit(max(os.waitpid(pid, 0)[1] for pid in workers))
"""
    environ = {**os.environ, "SECRET": "correct horse battery staple"}
    subprocess.run([sys.executable, "-W", "ignore", "-c", code, tmp_path], env=environ, check=True)
    lines = [
        decode_line(line) for path in tmp_path.rglob("*.ndjson") for line in path.read_bytes().splitlines()
    ]
    keys = [
        {line.key for line in lines if isinstance(line, Request) and line.features == {"worker": worker}}
        for worker in range(2)
    ]
    selected = sum(sticky_point(str(number)) < 0.5 for number in range(200))
    assert keys[0] == keys[1]
    assert len(keys[0]) == selected
    assert all(key is not None and len(key) == 32 for key in keys[0])
    closed = [line for line in lines if isinstance(line, Ledger) and line.closed and line.seen]
    assert [(ledger.seen, ledger.mirrored) for ledger in closed] == [(200, selected)] * 2
