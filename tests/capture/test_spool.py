"""The spool: every line once, by its number, whatever became of the writer."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import pytest
from gnomon_capture.address import SpoolAddress
from gnomon_capture.errors import TrafficError, UsageError
from gnomon_capture.frames import Frame
from gnomon_capture.record import MAX_RECORD_BYTES
from gnomon_capture.settings import CaptureSettings
from gnomon_capture.spool import SpoolReader
from gnomon_capture.spool_writer import SpoolWriter
from hypothesis import given, settings
from hypothesis import strategies as st

OLD = time.time() - 3600


def numbers(first: int, count: int) -> bytes:
    return b"".join(b"%d\n" % number for number in range(first, first + count))


def put(folder: Path, name: str, data: bytes, *, old: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(data)
    if old:
        os.utime(path, (OLD, OLD))
    return path


def numbered(folder: Path, first: int, count: int) -> Path:
    return put(folder, f"{first:020d}.ndjson", numbers(first, count))


def rest(reader: SpoolReader, partition: str = "") -> list[tuple[int, bytes]]:
    """All remaining lines with their numbers."""
    found: list[tuple[int, bytes]] = []
    while (chunk := reader.read(partition))[1]:
        first, data = chunk
        assert data.endswith(b"\n")
        found += enumerate(data.splitlines(), first)
    return found


def are_their_numbers(found: list[tuple[int, bytes]], first: int, end: int) -> bool:
    return found == [(number, b"%d" % number) for number in range(first, end)]


def frame(data: bytes) -> Frame:
    made = Frame(0, 0.0)
    made.add(data, data.count(b"\n"))
    return made


def writer(folder: Path, **changes: float) -> SpoolWriter:
    made = SpoolWriter(SpoolAddress(folder), "web", CaptureSettings(**changes))  # type: ignore[arg-type]
    made.open()
    return made


def test_files_are_named_by_the_lines_before_them(tmp_path: Path) -> None:
    spool = writer(tmp_path, segment_bytes=30)
    for first in range(0, 100, 10):
        spool.send(frame(numbers(first, 10)))
    spool.close(0)
    names = sorted(path.name for path in (tmp_path / "web").iterdir())
    assert names == [f"{first:020d}.ndjson" for first in (0, 20, 30, 40, 50, 60, 70, 80, 90)]
    assert are_their_numbers(rest(SpoolReader(tmp_path), "web"), 0, 100)


def test_an_old_file_is_closed_without_more_to_write(tmp_path: Path) -> None:
    spool = writer(tmp_path, segment_s=0.05)
    spool.send(frame(numbers(0, 3)))
    reader = SpoolReader(tmp_path)
    assert [len(part) for part in spool.collect()] == [1, 0]
    assert reader.read("web") == (0, b"")
    time.sleep(0.06)
    spool.collect()
    assert are_their_numbers(rest(reader, "web"), 0, 3)
    spool.close(0)


def test_what_is_being_written_is_not_there_yet(tmp_path: Path) -> None:
    spool = writer(tmp_path)
    spool.send(frame(numbers(0, 3)))
    reader = SpoolReader(tmp_path)
    assert (reader.partitions(), reader.end("web"), reader.read("web")) == (["web"], 0, (0, b""))
    spool.close(0)
    assert (reader.end("web"), are_their_numbers(rest(reader, "web"), 0, 3)) == (3, True)


def test_a_file_without_a_writer_is_read_to_its_last_newline(tmp_path: Path) -> None:
    numbered(tmp_path / "web", 0, 3)
    put(tmp_path / "web", f"{3:020d}.ndjson.part", numbers(3, 2) + b'{"torn')
    reader = SpoolReader(tmp_path)
    assert reader.end("web") == 5
    assert are_their_numbers(rest(reader, "web"), 0, 5)
    assert reader.read("web") == (5, b"")


def test_a_locked_part_becomes_readable_when_its_lock_is_gone(tmp_path: Path) -> None:
    path = put(tmp_path / "web", f"{0:020d}.ndjson.part", numbers(0, 2))
    reader = SpoolReader(tmp_path)
    with path.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert reader.read("web") == (0, b"")
    assert are_their_numbers(rest(reader, "web"), 0, 2)


def test_a_removed_file_costs_its_lines_and_nothing_else(tmp_path: Path) -> None:
    spool = writer(tmp_path, segment_bytes=1)
    spool.send(frame(numbers(0, 2)))
    (tmp_path / "web" / f"{0:020d}.ndjson.part").unlink()
    spool.send(frame(numbers(2, 2)))
    spool.close(0)
    assert are_their_numbers(rest(SpoolReader(tmp_path), "web"), 2, 4)


def test_reading_follows_a_writer_line_by_line(tmp_path: Path) -> None:
    spool, reader = writer(tmp_path, segment_bytes=1), SpoolReader(tmp_path)
    found: list[tuple[int, bytes]] = []
    for first in range(0, 50, 5):
        spool.send(frame(numbers(first, 5)))
        found += rest(reader, "web")
    spool.close(0)
    found += rest(reader, "web")
    assert are_their_numbers(found, 0, 50)


def test_sub_folders_are_partitions_and_the_folder_itself_is_one_without_a_name(tmp_path: Path) -> None:
    numbered(tmp_path / "web-1", 0, 1)
    numbered(tmp_path / "web-2", 0, 2)
    put(tmp_path, "a.ndjson", numbers(0, 3))
    put(tmp_path / "notes", "readme.txt", b"no traffic")
    put(tmp_path / ".hidden", "a.ndjson", b"no traffic")
    (tmp_path / "empty").mkdir()
    reader = SpoolReader(tmp_path)
    assert reader.partitions() == ["", "web-1", "web-2"]
    assert [reader.end(partition) for partition in reader.partitions()] == [3, 1, 2]
    assert [len(rest(reader, partition)) for partition in reader.partitions()] == [3, 1, 2]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 20), min_size=1, max_size=6),
    st.integers(0, 130),
    st.booleans(),
    st.booleans(),
)
def test_seeking_goes_to_the_line(
    tmp_path_factory: pytest.TempPathFactory, counts: list[int], line: int, ours: bool, torn: bool
) -> None:
    folder, end = tmp_path_factory.mktemp("spool"), 0
    for at, count in enumerate(counts):
        data = numbers(end, count)
        name = f"{end:020d}.ndjson" if ours else f"{at}.ndjson"
        put(folder, name, data[:-1] if torn and not ours else data)
        end += count
    reader = SpoolReader(folder)
    assert reader.end("") == end
    if line > end:
        with pytest.raises(TrafficError, match=f"ends at line {end}, but line {line}"):
            reader.seek("", line)
        return
    for _ in range(2):
        reader.seek("", line)
        assert are_their_numbers(rest(reader), line, end)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.binary(max_size=30).filter(lambda line: b"\n" not in line), max_size=30), st.booleans())
def test_any_lines_come_back_blank_ones_too(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], newline: bool
) -> None:
    folder = tmp_path_factory.mktemp("spool")
    data = b"\n".join(lines) + (b"\n" if newline and lines else b"")
    put(folder, "a.ndjson", data)
    expected = data.split(b"\n")
    if expected[-1] == b"":
        expected.pop()
    reader, found = SpoolReader(folder), b""
    while (chunk := reader.read(""))[1]:
        found += chunk[1]
    assert found == b"".join(line + b"\n" for line in expected)
    assert reader.end("") == len(expected)


def test_lines_are_handed_out_in_pieces_of_the_size_asked_for(tmp_path: Path) -> None:
    line = b"x" * 999 + b"\n"
    put(tmp_path, "a.ndjson", line * 5000)
    reader, at = SpoolReader(tmp_path), 0
    limit = MAX_RECORD_BYTES + 1
    while (chunk := reader.read("", 10))[1]:
        assert chunk[0] == at
        assert len(chunk[1]) <= limit
        at += chunk[1].count(b"\n")
    assert at == 5000


def test_pruned_lines_show_as_a_gap_in_the_position(tmp_path: Path) -> None:
    for first in (0, 10, 20, 30):
        numbered(tmp_path / "web", first, 10)
    reader = SpoolReader(tmp_path)
    (tmp_path / "web" / f"{0:020d}.ndjson").unlink()
    assert reader.read("web")[0] == 10
    (tmp_path / "web" / f"{20:020d}.ndjson").unlink()
    assert are_their_numbers(rest(reader, "web"), 30, 40)
    reader.seek("web", 25)
    assert are_their_numbers(rest(reader, "web"), 30, 40)
    assert reader.end("web") == 40


def test_two_writers_in_one_folder_are_noticed(tmp_path: Path) -> None:
    numbered(tmp_path / "web", 0, 10)
    put(tmp_path / "web", f"{5:020d}.ndjson", b"x\n")
    reader = SpoolReader(tmp_path)
    reader.read("web")
    with pytest.raises(TrafficError, match="two writers used one folder"):
        reader.read("web")


def test_a_torn_last_line_counts_once_the_file_is_closed(tmp_path: Path) -> None:
    path = put(tmp_path, "a.ndjson", b"0\n1", old=False)
    reader = SpoolReader(tmp_path)
    assert (reader.end(""), rest(reader)) == (1, [(0, b"0")])
    os.utime(path, (OLD, OLD))
    assert (reader.end(""), rest(reader)) == (2, [(1, b"1")])


def test_a_torn_last_line_counts_when_a_later_file_is_there(tmp_path: Path) -> None:
    put(tmp_path, "a.ndjson", b"0\n1", old=False)
    reader = SpoolReader(tmp_path)
    assert rest(reader) == [(0, b"0")]
    put(tmp_path, "b.ndjson", b"2\n", old=False)
    assert (reader.end(""), rest(reader)) == (3, [(1, b"1"), (2, b"2")])


def test_a_file_may_grow_while_it_is_the_last(tmp_path: Path) -> None:
    path = put(tmp_path, "a.ndjson", b"0\n1", old=False)
    reader = SpoolReader(tmp_path)
    assert rest(reader) == [(0, b"0")]
    with path.open("ab") as file:
        file.write(b"1\n2\n")
    assert (reader.end(""), rest(reader)) == (3, [(1, b"11"), (2, b"2")])


def test_a_file_that_grows_after_its_torn_line_was_taken_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path, "a.ndjson", b"0\n1")
    reader = SpoolReader(tmp_path)
    assert len(rest(reader)) == 2
    with path.open("ab") as file:
        file.write(b"1\n2\n")
    with pytest.raises(TrafficError, match="bring files there only when finished"):
        reader.read("")


def test_a_file_that_sorts_before_one_already_read_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "b.ndjson", b"0\n")
    reader = SpoolReader(tmp_path)
    rest(reader)
    put(tmp_path, "c.ndjson", b"1\n")
    assert rest(reader) == [(1, b"1")]
    put(tmp_path, "a.ndjson", b"2\n")
    with pytest.raises(UsageError, match=r"a\.ndjson sorts before c\.ndjson"):
        reader.read("")


def test_other_files_beside_a_processs_own_are_refused(tmp_path: Path) -> None:
    numbered(tmp_path / "web", 0, 1)
    put(tmp_path / "web", "mine.ndjson", b"0\n")
    with pytest.raises(UsageError, match=r"such as mine\.ndjson; move those"):
        SpoolReader(tmp_path).read("web")


@pytest.mark.parametrize("length", [9 << 20, (8 << 20) - 2])
@pytest.mark.parametrize("newline", [b"\n", b""])
def test_a_line_without_end_cannot_fill_the_memory(tmp_path: Path, newline: bytes, length: int) -> None:
    put(tmp_path, "a.ndjson", b"0\n" + b"x" * length + newline)
    put(tmp_path, "b.ndjson", b"2\n")
    reader = SpoolReader(tmp_path)
    (_, first), (at, cut), (after, last) = (reader.read("", 100) for _ in range(3))
    assert (first, at, len(cut), set(cut), after, last) == (
        b"0\n",
        1,
        MAX_RECORD_BYTES + 2,
        set(b"x\n"),
        2,
        b"2\n",
    )
    reader.seek("", 2)
    assert reader.read("") == (2, b"2\n")
    assert reader.end("") == 3


def test_a_folder_that_is_not_there_is_the_callers_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no such folder"):
        SpoolReader(tmp_path / "trafic").partitions()


def test_what_the_system_refuses_says_what_to_look_at(tmp_path: Path) -> None:
    (tmp_path / "web").write_bytes(b"")
    with pytest.raises(TrafficError, match=r"cannot read .*web: Not a directory; may this user read there"):
        SpoolReader(tmp_path).read("web")


def test_after_closing_a_reader_begins_anew(tmp_path: Path) -> None:
    numbered(tmp_path, 0, 3)
    reader = SpoolReader(tmp_path)
    assert len(rest(reader)) == 3
    reader.close()
    assert len(rest(reader)) == 3
