"""Frames: full or old, and never more than a message may hold."""

from __future__ import annotations

from gnomon_capture.frames import Frame, OpenFrames
from hypothesis import given
from hypothesis import strategies as st


def line(number: int, size: int = 10) -> bytes:
    return f"{number:0{size - 1}d}\n".encode()


def test_a_frame_closes_when_it_is_full_of_lines() -> None:
    closed: list[Frame] = []
    frames = OpenFrames(3, 1000, closed.append)
    for number in range(7):
        frames.add(0, line(number), 1, 0.0)
    assert [frame.lines for frame in closed] == [3, 3]
    frames.close_all()
    assert b"".join(frame.data for frame in closed) == b"".join(map(line, range(7)))


def test_a_frame_closes_when_it_is_old() -> None:
    closed: list[Frame] = []
    frames = OpenFrames(100, 1000, closed.append)
    frames.add(0, line(0), 1, now=1.0)
    frames.add(1, line(1), 1, now=2.0)
    frames.add(0, line(2), 1, now=3.0)
    frames.close_older(1.5)
    assert [(frame.partition, frame.data) for frame in closed] == [(0, line(0) + line(2))]


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.lists(st.integers(2, 60), min_size=1, max_size=12)), max_size=20
    ),
    st.integers(1, 9),
    st.integers(20, 100),
)
def test_no_line_is_lost_moved_or_packed_beyond_the_limits(
    slices: list[tuple[int, list[int]]], max_lines: int, max_bytes: int
) -> None:
    closed: list[Frame] = []
    frames = OpenFrames(max_lines, max_bytes, closed.append)
    sent: dict[int, list[bytes]] = {}
    for partition, sizes in slices:
        lines = [line(0, size) for size in sizes]
        sent.setdefault(partition, []).extend(lines)
        frames.add(partition, b"".join(lines), len(lines), 0.0)
    frames.close_all()
    for frame in closed:
        assert frame.lines == frame.data.count(b"\n")
        assert frame.size_bytes == len(frame.data)
        assert frame.lines <= max_lines
        assert frame.size_bytes <= max_bytes or frame.lines == 1
    for partition, lines in sent.items():
        assert b"".join(frame.data for frame in closed if frame.partition == partition) == b"".join(lines)


def test_records_without_a_key_go_round_frame_by_frame() -> None:
    closed: list[Frame] = []
    frames = OpenFrames(2, 1000, closed.append)
    for number in range(8):
        frames.add(frames.unkeyed(3), line(number), 1, 0.0)
    assert [frame.partition for frame in closed] == [0, 1, 2, 0]
    assert frames.unkeyed(1) == 0


def test_a_frame_can_be_halved_down_to_one_line() -> None:
    frame = Frame(2, opened=1.0)
    frame.add(line(1) + line(2) + line(3), 3)
    halves = frame.halves()
    assert [(half.partition, half.lines, half.data) for half in halves] == [
        (2, 1, line(1)),
        (2, 2, line(2) + line(3)),
    ]
    assert halves[0].halves() == []
