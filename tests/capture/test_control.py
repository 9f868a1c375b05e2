"""Control without a restart: the kill switch and the share, by a watched file and an environment variable."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gnomon_capture import Mirror, sticky_point
from gnomon_capture.control import Control, Orders, parse_variable
from gnomon_capture.errors import SettingsError

Reader = Callable[..., Any]

FILE_SAYS_OFF = "enabled = false\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "control.toml"


def test_without_a_file_and_a_variable_nothing_is_ordered(file: Path) -> None:
    assert Control(None, {}).read(0) == Control(file, {}).read(0) == Orders(enabled=True, frac=None)


def test_a_change_of_the_file_is_seen_within_a_quarter_of_a_second(file: Path) -> None:
    control = Control(file, {})
    file.write_text(FILE_SAYS_OFF)
    assert not control.read(0).enabled
    file.write_text("frac = 0.25")
    assert not control.read(0.2).enabled  # not yet looked at again
    assert control.read(0.25) == Orders(frac=0.25)
    file.write_text("frac = 0.75")  # as long as before, and perhaps of the same time stamp
    assert control.read(0.5) == Orders(frac=0.75)
    file.unlink()
    assert control.read(0.75) == Orders()


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ("enabled = fals", "Invalid value"),
        ("enabled = 'false'", "Expected `bool`"),
        ("enbled = true", "did you mean `enabled`?"),
        ("frac = 5", "<= 1.0"),
        ("frac = 1e-12", "at least 1e-09"),
        ("", "it is empty"),
        ("# " + "x" * 70_000, "more than 65536 bytes"),
        (b"\xff", "utf-8"),
    ],
)
def test_of_a_malformed_file_the_last_good_one_stays_with_one_line_in_the_log(
    file: Path, caplog: pytest.LogCaptureFixture, bad: Any, says: str
) -> None:
    control = Control(file, {})
    file.write_text("enabled = false\nfrac = 0.5")
    good = control.read(0)
    caplog.clear()
    file.write_bytes(bad if isinstance(bad, bytes) else bad.encode())
    for at in range(1, 20):
        assert control.read(at) == good == Orders(enabled=False, frac=0.5)
    [line] = caplog.records
    assert str(file) in line.getMessage()
    assert says in line.getMessage()
    file.write_text("frac = 0.1")
    assert control.read(20) == Orders(frac=0.1)


def test_a_file_that_is_half_written_for_a_moment_is_not_worth_a_line(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    control = Control(file, {})
    file.write_text(FILE_SAYS_OFF)
    control.read(0)
    caplog.clear()
    file.write_text("")
    assert not control.read(1).enabled
    file.write_text(FILE_SAYS_OFF)
    assert not control.read(2).enabled
    assert caplog.records == []


def test_a_file_that_cannot_be_read_changes_nothing(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    control = Control(file, {})
    file.write_text(FILE_SAYS_OFF)
    control.read(0)
    file.unlink()
    file.mkdir()
    caplog.clear()
    for at in (1, 2, 3):
        assert not control.read(at).enabled
    assert ["is of no use (Is a directory)" in record.getMessage() for record in caplog.records] == [True]


@pytest.mark.parametrize(
    ("variable", "text", "holds"),
    [
        ("off", "", Orders(enabled=False)),
        ("off", "enabled = true", Orders(enabled=False)),  # off in either is off
        ("on", FILE_SAYS_OFF, Orders(enabled=False)),
        ("0.2", "", Orders(frac=0.2)),
        ("0.2", "frac = 0.3", Orders(frac=0.3)),
        (" FALSE ", "frac = 0.3", Orders(enabled=False, frac=0.3)),
    ],
)
def test_off_in_either_is_off_and_the_files_share_goes_first(
    file: Path, variable: str, text: str, holds: Orders
) -> None:
    if text:
        file.write_text(text)
    assert Control(file, {"GNOMON_CAPTURE": variable}).read(0) == holds


def test_a_wrong_variable_is_refused_at_the_start_and_ignored_later(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(SettingsError, match="write off, on, or a share"):
        Control(None, {"GNOMON_CAPTURE": "offf"})
    environ = {"GNOMON_CAPTURE": "off"}
    control = Control(None, environ)
    environ["GNOMON_CAPTURE"] = "2"
    assert [control.read(at).enabled for at in (0, 1, 2)] == [False, False, False]
    assert len(caplog.records) == 1
    del environ["GNOMON_CAPTURE"]
    assert control.read(3).enabled


@pytest.mark.parametrize("text", ["1.5", "-0.1", "nan", "inf", "ten", "1e-12", "5%"])
def test_other_text_is_no_order(text: str) -> None:
    with pytest.raises(SettingsError, match=r"\[GNOMON_CAPTURE\]"):
        parse_variable(text)


def settled(mirror: Mirror, seen: int) -> None:
    while mirror.stats().seen < seen:
        time.sleep(0.005)


def test_every_record_has_the_weight_of_the_share_that_selected_it(
    tmp_path: Path, file: Path, spooled: Reader
) -> None:
    shares = [0.2, None, 0.5, 0.05]  # None: switched off
    file.write_text("frac = 0.2")
    to, table = f"spool:{tmp_path}/t", {"select": {"by": "key"}, "control": str(file)}
    with Mirror(to, settings=table) as mirror:
        for part, share in enumerate(shares):
            file.write_text(FILE_SAYS_OFF if share is None else f"frac = {share}")
            time.sleep(0.3)
            for number in range(1000):
                mirror.record({"part": part, "n": number}, key=str(number))
            settled(mirror, 1000 * (part + 1))
    traffic, stats = spooled(tmp_path / "t"), mirror.stats()
    expected = [
        (part, number, 1 / share)
        for part, share in enumerate(shares)
        if share is not None
        for number in range(1000)
        if sticky_point(str(number)) < share
    ]
    sent = [(request.features["part"], request.features["n"], request.weight) for request in traffic.requests]
    assert sent == expected
    assert stats.seen == 4000 == stats.mirrored + stats.not_selected
    assert traffic.seqs == list(range(len(expected)))


def test_changed_in_the_midst_of_traffic_no_record_has_another_ones_weight(
    tmp_path: Path, file: Path, spooled: Reader
) -> None:
    to, table = f"spool:{tmp_path}/t", {"select": {"by": "key", "frac": 0.9}, "control": str(file)}
    with Mirror(to, settings=table) as mirror:
        for number in range(12_000):
            if number % 2000 == 0:
                file.write_text(f"frac = {0.1 if number % 4000 else 0.8}")
            mirror.record({"n": number}, key=str(number % 1000))
            if number % 100 == 0:
                time.sleep(0.015)
    traffic = spooled(tmp_path / "t")
    shares = {1 / request.weight for request in traffic.requests}
    assert {round(share, 9) for share in shares} >= {0.1, 0.8}
    for request in traffic.requests:
        assert sticky_point(request.key) < 1 / request.weight
    # Keys below every share are always sent, whatever held.
    always = sum(sticky_point(str(number % 1000)) < 0.1 for number in range(12_000))
    assert sum(sticky_point(request.key) < 0.1 for request in traffic.requests) == always


def test_the_variable_of_a_running_process_is_followed_when_it_changes_it_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GNOMON_CAPTURE", "on")  # and restored afterwards
    with Mirror(f"spool:{tmp_path}") as mirror:
        mirror.record({"n": 1})
        settled(mirror, 1)
        os.environ["GNOMON_CAPTURE"] = "off"
        time.sleep(0.3)
        mirror.record({"n": 2})
    stats = mirror.stats()
    assert (stats.seen, stats.mirrored, stats.not_selected) == (2, 1, 1)


def test_the_variable_is_read_at_the_start(tmp_path: Path, spooled: Reader) -> None:
    code = (
        "import sys; from gnomon_capture import Mirror\n"
        "with Mirror(sys.argv[1]) as mirror:\n    for n in range(100): mirror.record({'n': n})"
    )
    for text in ("off", "0.5"):
        environ = {**os.environ, "GNOMON_CAPTURE": text}
        subprocess.run([sys.executable, "-c", code, f"spool:{tmp_path}/{text}"], env=environ, check=True)
    assert spooled(tmp_path / "off").requests == []
    assert spooled(tmp_path / "off").ledgers[-1].not_selected == 100
    assert {request.weight for request in spooled(tmp_path / "0.5").requests} == {2.0}


def test_switching_is_logged(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    control = Control(file, {})
    for at, text in enumerate([FILE_SAYS_OFF, FILE_SAYS_OFF, "enabled = true", "frac = 0.5"]):
        file.write_text(text)
        control.read(at)
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "mirroring is switched off",
        "mirroring is switched on",
        "the share that is mirrored is now 0.5",
    ]
