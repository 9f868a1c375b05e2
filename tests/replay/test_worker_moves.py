"""Partitions that move, and rivals: a worker on a source that gives and takes as it is told to."""

from __future__ import annotations

import collections
import datetime
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from gnomon_capture.errors import TrafficError
from gnomon_replay.asking import Panel
from gnomon_replay.errors import FencedError, LogError, ShapeMovedError
from gnomon_replay.log import PairLog
from gnomon_replay.traffic import Frame, Keeper, Source, Stream
from gnomon_replay.worker import Worker

Work = Callable[..., Worker]
Logged = Callable[..., list[dict[str, Any]]]


class Scripted(Source):
    """Messages of one line, in partitions; offsets have gaps. `before_read` may make partitions move."""

    def __init__(self, lines: Mapping[str, list[bytes]], per_read: int = 2) -> None:
        self._messages = {
            part: [
                Frame(self.stream, part, 3 * at, 3 * at + 1, data, by_line=False)
                for at, data in enumerate(given)
            ]
            for part, given in lines.items()
        }
        self._per_read = per_read
        self._position: dict[str, int] = {}
        self.owned: set[str] = set()
        self.keeper: Keeper | None = None
        self.before_read: list[Callable[[], None]] = []
        self.after_read: list[Callable[[], None]] = []
        self.acknowledged: dict[str, int] = {}
        self.times: dict[datetime.datetime, dict[str, int]] = {}

    @property
    def stream(self) -> Stream:
        return Stream("kafka:c:t", "t")

    @property
    def name(self) -> str:
        return "kafka://b:9092/t"

    def start(self, keeper: Keeper) -> None:
        self.keeper = keeper
        self.give(*self._messages)

    def give(self, *partitions: str) -> None:
        """Gives partitions; until they are rewound they are read from the group's offset, which nobody believes."""
        assert self.keeper is not None
        self.owned.update(partitions)
        self._position.update(dict.fromkeys(partitions, 6))
        self.keeper.given([self.stream.place(part) for part in partitions])

    def take(self, *partitions: str) -> None:
        assert self.keeper is not None
        self.owned.difference_update(partitions)
        self.keeper.taken([self.stream.place(part) for part in partitions])

    def read(self, timeout_s: float) -> list[Frame]:
        if self.before_read:
            self.before_read.pop(0)()
        frames = []
        for part in sorted(self.owned):
            ready = [each for each in self._messages[part] if each.offset >= self._position[part]]
            frames += ready[: self._per_read]
            if ready:
                self._position[part] = ready[: self._per_read][-1].next_position
        if self.after_read:
            self.after_read.pop(0)()
        return frames

    def rewind(self, positions: Mapping[str, int | None]) -> None:
        at = {place.rpartition("/")[2]: position or 0 for place, position in positions.items()}
        self._position.update({part: position for part, position in at.items() if part in self.owned})

    def ends(self) -> dict[str, int]:
        return {messages[0].place: messages[-1].next_position for messages in self._messages.values()}

    def starts(self) -> dict[str, int]:
        return {self.stream.place(part): 0 for part in self._messages}

    def at_time(self, moment: datetime.datetime) -> dict[str, int]:
        return self.times[moment]

    def acknowledge(self, positions: Mapping[str, int]) -> None:
        self.acknowledged.update(positions)

    def close(self) -> None:
        pass


def nothing() -> None:
    """Nothing moves."""


@pytest.fixture
def lines(line: Callable[..., bytes]) -> dict[str, list[bytes]]:
    return {part: [line(100 * int(part) + x, x=x) for x in range(20)] for part in "01"}


ALL = collections.Counter({f"r{100 * part + x}": 1 for part in range(2) for x in range(20)})


def ids(rows: list[dict[str, Any]]) -> collections.Counter[str]:
    return collections.Counter(row["request_id"] for row in rows)


def while_busy(monkeypatch: pytest.MonkeyPatch, *events: Callable[[], object]) -> None:
    """Has these happen, one in each batch, while the models are asked."""
    ask = Panel.ask
    left = list(events)

    def busy(self: Panel, *asked: Any) -> dict[str, pa.StructArray]:
        answers = ask(self, *asked)
        if left:
            left.pop(0)()
        return answers

    monkeypatch.setattr(Panel, "ask", busy)


@pytest.mark.parametrize("commit_rows", [1, 3, 1000])
def test_without_moves_all_is_read_once_and_acknowledged(
    lines: dict[str, list[bytes]], work: Work, logged: Logged, commit_rows: int
) -> None:
    source = Scripted(lines)
    work(source, commit_rows=commit_rows).run(until_caught_up=True)
    assert ids(logged()) == ALL
    assert not any(row["duplicate"] for row in logged())
    assert source.acknowledged == source.ends()


@pytest.mark.parametrize("when", ["before_read", "after_read"])
@pytest.mark.parametrize("commit_rows", [1, 5, 1000])
def test_a_partition_that_moves_around_a_read_is_read_again(
    lines: dict[str, list[bytes]], work: Work, logged: Logged, when: str, commit_rows: int
) -> None:
    """Taken and given within one read, so that what the read brings may be from before, or from anywhere."""
    source = Scripted(lines)

    def moved() -> None:
        source.take("0")
        source.give("0")

    getattr(source, when).extend([nothing, moved, nothing, moved, moved, lambda: source.give("1")])
    work(source, commit_rows=commit_rows).run(until_caught_up=True)
    assert ids(logged()) == ALL


@pytest.mark.parametrize("commit_rows", [1, 6, 1000])
def test_a_partition_that_moves_while_the_models_are_busy_is_read_again(
    lines: dict[str, list[bytes]],
    work: Work,
    logged: Logged,
    monkeypatch: pytest.MonkeyPatch,
    commit_rows: int,
) -> None:
    source = Scripted(lines)

    def moved() -> None:
        source.take("0")
        source.give("0")

    while_busy(monkeypatch, moved, nothing, moved)
    work(source, commit_rows=commit_rows).run(until_caught_up=True)
    assert ids(logged()) == ALL


def test_what_was_taken_while_the_models_were_busy_is_left_to_its_next_owner(
    lines: dict[str, list[bytes]], work: Work, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Scripted(lines)
    while_busy(monkeypatch, lambda: source.take("0"))
    done = work(source).run(until_caught_up=True)
    assert ids(logged()) == {name: 1 for name in ALL if int(name[1:]) >= 100}
    assert done.pairs == 20
    monkeypatch.undo()
    work(Scripted(lines)).run(until_caught_up=True)
    assert ids(logged()) == ALL


def test_a_partition_that_another_owned_meanwhile_is_read_from_where_that_one_stopped(
    lines: dict[str, list[bytes]], work: Work, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Scripted(lines)

    def other_owner() -> None:
        source.take("0")
        monkeypatch.undo()
        work(Scripted({"0": lines["0"][:12], "1": lines["1"][:1]}), commit_rows=5).run(until_caught_up=True)
        source.give("0")

    while_busy(monkeypatch, other_owner)
    work(source).run(until_caught_up=True)
    assert ids(logged()) == ALL


def test_what_another_owner_wrote_meanwhile_is_known_when_it_comes_again(
    lines: dict[str, list[bytes]], work: Work, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = [*lines["0"], lines["0"][10], lines["0"][0]]
    source = Scripted({"0": again}, per_read=3)

    def other_owner() -> None:
        source.take("0")
        work(Scripted({"0": again[:15]})).run(until_caught_up=True)
        source.give("0")

    source.before_read += [nothing, nothing, other_owner]
    work(source, commit_rows=3).run(until_caught_up=True)
    assert [row["request_id"] for row in logged() if row["duplicate"]] == ["r10", "r0"]


def test_a_partition_that_was_taken_and_is_far_ahead_does_not_fence_the_rest(
    lines: dict[str, list[bytes]], work: Work, logged: Logged
) -> None:
    source = Scripted(lines, per_read=1)

    def heir() -> None:
        source.take("0")
        work(Scripted({"0": lines["0"]}, per_read=1), commit_rows=1).run(until_caught_up=True)

    source.before_read += [nothing, nothing, heir]
    work(source, commit_rows=1).run(until_caught_up=True)  # past a checkpoint, so that all is checked anew
    assert ids(logged()) == ALL


def test_a_rival_that_nobody_told_us_of_is_fenced_off(
    lines: dict[str, list[bytes]], work: Work, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both believe that they own all; the second commits while the first is busy."""
    source = Scripted(lines)

    def rival() -> None:
        monkeypatch.undo()
        work(Scripted({part: given[:7] for part, given in lines.items()})).run(until_caught_up=True)

    while_busy(monkeypatch, rival)
    done = work(source).run(until_caught_up=True)
    assert ids(logged()) == ALL
    assert done.pairs == 2 * 13


def test_a_rival_that_is_always_first_ends_the_run_with_a_message(
    lines: dict[str, list[bytes]], work: Work, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = Panel.ask
    reached = iter(range(1, 20))

    def busy(self: Panel, *asked: Any) -> dict[str, pa.StructArray]:
        answers = ask(self, *asked)
        with monkeypatch.context() as patch:
            patch.setattr(Panel, "ask", ask)
            upto = next(reached)
            work(Scripted({part: given[:upto] for part, given in lines.items()})).run(until_caught_up=True)
        return answers

    monkeypatch.setattr(Panel, "ask", busy)
    with pytest.raises(FencedError, match="Stop the other worker, or give each its own partitions"):
        work(Scripted(lines), commit_rows=2).run(until_caught_up=True)
    assert max(ids(logged()).values()) == 1


def test_a_feature_that_another_worker_gave_another_type_is_decoded_again(
    work: Work, logged: Logged, line: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = {"0": [line(x, x=x) for x in range(9)] + [line(9, x=9, new=1), line(10, x=10)]}
    theirs = {"1": [line(100 + x, x=x, new="text") for x in range(3)]}
    worker = work(Scripted(ours, per_read=3), commit_rows=9)

    def rival() -> None:
        monkeypatch.undo()
        work(Scripted(theirs)).run(until_caught_up=True)

    while_busy(monkeypatch, nothing, rival)
    worker.run(until_caught_up=True)
    assert ids(logged()) == {f"r{x}": 1 for x in [*range(9), 10, 100, 101, 102]}
    [letter] = logged("dead_letters")
    assert (letter["request_id"], letter["reason"]) == ("r9", "feature_type")


def test_types_that_always_move_end_the_run_with_a_message(
    work: Work, line: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def conflict(*_: object) -> None:
        raise ShapeMovedError("new")

    monkeypatch.setattr(PairLog, "commit", conflict)
    with pytest.raises(ShapeMovedError, match=r"declare its type under \[features\]"):
        work(Scripted({"0": [line(0, x=0)]})).run(until_caught_up=True)


def test_traffic_that_was_made_anew_is_not_passed_over_in_silence(
    lines: dict[str, list[bytes]], work: Work, logged: Logged
) -> None:
    work(Scripted(lines)).run(until_caught_up=True)
    anew = {part: given[:5] for part, given in lines.items()}
    with pytest.raises(
        TrafficError, match=r"partition 0 of kafka:c:t ends at 13, but 58 of it are in the log"
    ):
        work(Scripted(anew)).run(until_caught_up=True)
    assert ids(logged()) == ALL


def test_a_worker_to_whom_nothing_is_given_ends_when_others_have_done_it_all(
    lines: dict[str, list[bytes]], work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    idle = Scripted(lines)
    monkeypatch.setattr(idle, "give", lambda *_: None)
    idle.before_read += [nothing, lambda: work(Scripted(lines)).run(until_caught_up=True) and None]
    done = work(idle).run(until_caught_up=True)
    assert (done.pairs, idle.before_read) == (0, [])


def test_stop_leaves_nothing_of_what_is_ours_uncommitted(
    lines: dict[str, list[bytes]], work: Work, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though a partition is taken in the very last commit."""
    source = Scripted(lines, per_read=20)
    worker = work(source)
    source.after_read.append(worker.stop)
    source.before_read.append(nothing)
    while_busy(monkeypatch, lambda: source.take("0"))
    worker.run(until_caught_up=False)
    assert ids(logged()) == {name: 1 for name in ALL if int(name[1:]) >= 100}


def test_an_error_of_the_log_loses_nothing(
    lines: dict[str, list[bytes]], work: Work, logged: Logged, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = PairLog.commit
    calls = iter([None, OSError(28, "No space left on device")])

    def failing(self: PairLog, batch: Any) -> None:
        error = next(calls, None)
        if error is not None:
            raise error
        commit(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(PairLog, "commit", failing)
        with pytest.raises(OSError, match="No space left"):
            work(Scripted(lines), commit_rows=8).run(until_caught_up=True)
    assert 0 < len(logged()) < 40
    work(Scripted(lines), commit_rows=8).run(until_caught_up=True)
    assert ids(logged()) == ALL


def test_what_waits_is_committed_before_its_partition_goes_and_is_read_by_nobody_else(
    lines: dict[str, list[bytes]], work: Work, logged: Logged
) -> None:
    source = Scripted(lines, per_read=5)
    read: list[dict[str, int]] = []

    def taken() -> None:
        source.take("0")
        read.append(dict(collections.Counter(row["source"]["partition"] for row in logged())))

    source.before_read += [nothing, nothing, taken]
    done = work(source, latency_min=1000).run(until_caught_up=True)
    assert read == [{"0": 10, "1": 10}]  # the two reads before, none of them timed
    assert done.commits == 2
    work(Scripted(lines)).run(until_caught_up=True)
    assert ids(logged()) == ALL


def test_a_partition_that_is_lost_loses_what_waits(
    lines: dict[str, list[bytes]], work: Work, logged: Logged
) -> None:
    source = Scripted(lines, per_read=5)

    def lost() -> None:
        source.owned.discard("0")
        assert source.keeper is not None
        source.keeper.lost([source.stream.place("0")])
        assert logged() == []

    source.before_read += [nothing, nothing, lost]
    work(source).run(until_caught_up=True)
    assert ids(logged()) == {name: 1 for name in ALL if int(name[1:]) >= 100}


@pytest.mark.parametrize("error", [FencedError("kafka:c:t/0/d", 1, 2), LogError("pairs", "the disk is full")])
def test_a_flush_that_fails_leaves_nothing_out(
    lines: dict[str, list[bytes]],
    work: Work,
    logged: Logged,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    """What waited of the other partition too: it had been read, and is read again."""
    source = Scripted(lines, per_read=5)

    def taken() -> None:
        def refuse(*_: object) -> None:
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(PairLog, "commit", refuse)
            source.take("0")

    source.before_read += [nothing, nothing, taken]
    work(source).run(until_caught_up=True)
    assert ids(logged()) == {name: 1 for name in ALL if int(name[1:]) >= 100}
    work(Scripted(lines)).run(until_caught_up=True)
    assert ids(logged()) == ALL
