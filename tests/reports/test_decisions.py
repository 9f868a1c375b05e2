"""The chain of decision records: written on change, whole or not at all, and found out where it was touched."""

from __future__ import annotations

import datetime
import itertools
import json
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from gnomon_diff import compare, judge
from gnomon_diff.comparison import Comparison, Verdict, to_json
from gnomon_diff.decision import Decision, decode_decision, digest_of, encode_decision
from gnomon_diff.settings import Critical, LabelSettings, Policy, policy_digest
from gnomon_replay.settings import Experiment
from gnomon_reports import decisions
from gnomon_reports.decisions import DecisionError, read_decisions, record_decision

NOW = datetime.datetime(2026, 5, 1, 12, tzinfo=datetime.UTC)
POLICY = Policy(critical_errors=Critical())
LABELS = LabelSettings()


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    experiment = Experiment(name="trial", task="binary", positive="late")
    return compare(
        tmp_path_factory.mktemp("no-log"),
        experiment,
        POLICY,
        candidate_version="3.3",
        candidate_digest="sha256:candidate",
        now=NOW,
    )


Decide = Callable[..., Decision | None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "trial" / "decisions"


@pytest.fixture
def decide(folder: Path, comparison: Comparison) -> Decide:
    """Records a verdict that is like the one on an empty log, but for what is given."""

    def record(
        verdict: str = "HOLD", policy: Policy = POLICY, minutes: int = 0, **changes: Any
    ) -> Decision | None:
        now = msgspec.structs.replace(comparison, generated_at=NOW + datetime.timedelta(minutes=minutes))
        return record_decision(folder, now, made(now, verdict, policy, **changes), policy, LABELS)

    return record


def made(comparison: Comparison, verdict: str, policy: Policy = POLICY, **changes: Any) -> Verdict:
    return msgspec.structs.replace(judge(comparison, policy), verdict=verdict, **changes)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# ---- what is recorded ----


def test_a_record_says_what_was_decided_from_what(
    folder: Path, comparison: Comparison, decide: Decide
) -> None:
    verdict = made(comparison, "PROMOTE", look=14, days=16, valid_until=NOW)
    record = record_decision(folder, comparison, verdict, POLICY, LABELS)
    assert record is not None
    assert (record.number, record.previous, record.made_at, record.human) == (0, None, NOW, None)
    assert (record.verdict, record.look, record.days, record.valid_until) == ("PROMOTE", 14, 16, NOW)
    assert record.policy_digest == policy_digest(POLICY, LABELS)
    assert record.policy == {"policy": 1, "gate": {"critical_errors": {}}, "labels": {}}
    assert record.comparison_digest == digest_of(to_json(comparison, verdict))
    assert files(folder) == ["000000.json"]
    data = (folder / "000000.json").read_bytes()
    assert data == encode_decision(record)
    assert json.loads(data)["candidate_digest"] == "sha256:candidate"


def test_a_record_is_written_when_something_changed_and_not_on_every_poll(
    folder: Path, decide: Decide
) -> None:
    polls = [
        ("HOLD", {"look": None, "days": 3}, True),
        ("HOLD", {"look": None, "days": 9}, False),
        ("HOLD", {"look": 14, "days": 14}, True),
        ("INVALID", {"look": 14, "days": 15}, True),
        ("HOLD", {"look": 14, "days": 15}, True),
        ("PROMOTE", {"look": 21, "days": 21}, True),
        ("PROMOTE", {"look": 21, "days": 22}, False),
    ]
    for minute, (verdict, changes, written) in enumerate(polls):
        assert (decide(verdict, minutes=minute, **changes) is not None) == written
    found = read_decisions(folder)
    assert [record.verdict for record in found] == ["HOLD", "HOLD", "INVALID", "HOLD", "PROMOTE"]
    assert [record.number for record in found] == list(range(5))
    assert [record.previous for record in found] == [None] + [
        digest_of(encode_decision(one)) for one in found[:-1]
    ]


def test_candidates_polled_in_turn_do_not_each_write_every_time(folder: Path, decide: Decide) -> None:
    for poll in range(5):
        for candidate in ("sha256:a", "sha256:b"):
            assert (decide(candidate_digest=candidate, minutes=poll) is not None) == (poll == 0)
    assert len(files(folder)) == 2


def test_another_policy_or_candidate_gets_a_record_of_its_own(folder: Path, decide: Decide) -> None:
    other = Policy(critical_errors=Critical(max=1))
    assert decide() is not None
    assert decide(policy=other) is not None
    assert decide(policy=other) is None
    assert decide(candidate_digest="sha256:new") is not None
    assert len({record.policy_digest for record in read_decisions(folder)}) == 2


def test_anyone_who_may_read_the_log_may_read_its_decisions(folder: Path, decide: Decide) -> None:
    decide()
    assert stat.S_IMODE((folder / "000000.json").stat().st_mode) == 0o644


# ---- the chain ----


@pytest.fixture
def chain(folder: Path, decide: Decide) -> Path:
    """Four records."""
    for look in (None, 14, 21, 28):
        decide(look=look)
    return folder


def change(folder: Path) -> None:
    path = folder / "000001.json"
    path.write_bytes(path.read_bytes().replace(b'"HOLD"', b'"PROMOTE"'))


def reorder(folder: Path) -> None:
    one, other = folder / "000001.json", folder / "000002.json"
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def remove_first(folder: Path) -> None:
    (folder / "000000.json").unlink()


def remove_and_close_the_gap(folder: Path) -> None:
    (folder / "000001.json").unlink()
    for number in (2, 3):
        record = decode_decision((folder / f"{number:06d}.json").read_bytes())
        (folder / f"{number:06d}.json").unlink()
        renumbered = msgspec.structs.replace(record, number=number - 1)
        (folder / f"{number - 1:06d}.json").write_bytes(encode_decision(renumbered))


def insert(folder: Path) -> None:
    (folder / "000001b.json").write_bytes((folder / "000001.json").read_bytes())


def respace(folder: Path) -> None:
    path = folder / "000002.json"
    path.write_bytes(msgspec.json.encode(decode_decision(path.read_bytes())))  # the same values, other bytes


@pytest.mark.parametrize(
    ("tamper", "shows_at"),
    [
        (change, "000002.json"),
        (reorder, "000001.json"),
        (remove_first, "000001.json"),
        (remove_and_close_the_gap, "000001.json"),
        (insert, "000001b.json"),
        (respace, "000003.json"),
    ],
)
def test_a_chain_that_was_touched_is_found_out(
    chain: Path, decide: Decide, tamper: Any, shows_at: str
) -> None:
    assert len(read_decisions(chain)) == 4
    tamper(chain)
    for attempt in (lambda: read_decisions(chain), lambda: decide("PROMOTE")):
        with pytest.raises(DecisionError, match="the chain is broken before this record") as broken:
            attempt()
        assert broken.value.path == chain / shows_at
    assert "restore what was changed or removed" in str(broken.value)


def test_a_file_that_is_no_record_or_a_later_one_is_said_to_be(chain: Path) -> None:
    path = chain / "000003.json"
    good = path.read_bytes()
    for data, words in (
        (b"", "no decision record"),
        (good[:-40], "no decision record"),
        (
            good.replace(b'"schema": 1', b'"schema": 2'),
            "its schema is 2, this gnomon reads up to 1: upgrade it",
        ),
    ):
        path.write_bytes(data)
        with pytest.raises(DecisionError, match=words):
            read_decisions(chain)


def test_a_record_of_another_gnomon_keeps_its_place_in_the_chain(folder: Path, decide: Decide) -> None:
    """It may have fields that this one does not know: the digest is over its bytes as they stand."""
    decide()
    path = folder / "000000.json"
    path.write_bytes(path.read_bytes().replace(b'"human"', b'"mood": "fine",\n  "human"'))
    record = decide("PROMOTE")
    assert record is not None
    assert record.previous == digest_of(path.read_bytes())
    assert len(read_decisions(folder)) == 2


def test_there_are_no_decisions_where_nothing_was_decided(folder: Path) -> None:
    assert read_decisions(folder) == []
    assert not folder.exists()


# ---- others at the same moment ----


def test_gates_that_record_at_the_same_moment_make_one_chain(folder: Path, comparison: Comparison) -> None:
    """Six at once, two for each of three candidates: nothing lost, nothing twice in a row, no error."""
    together = threading.Barrier(6)

    def poll(candidate: int) -> None:
        together.wait()
        for look in (None, 14, 21, 28):
            verdict = made(comparison, "HOLD", look=look, candidate_digest=f"sha256:{candidate}")
            record_decision(folder, comparison, verdict, POLICY, LABELS)

    with ThreadPoolExecutor(6) as gates:
        list(gates.map(poll, [0, 1, 2] * 2))
    found = read_decisions(folder)
    for candidate in range(3):
        looks = [record.look for record in found if record.candidate_digest == f"sha256:{candidate}"]
        assert set(looks) == {None, 14, 21, 28}
        assert all(before != after for before, after in itertools.pairwise(looks))
    assert files(folder) == [f"{number:06d}.json" for number in range(len(found))]


def test_a_rejection_that_another_gate_recorded_meanwhile_is_not_overruled(
    folder: Path, decide: Decide
) -> None:
    decide("REJECT", look=5)
    for late in ("PROMOTE", "HOLD"):
        with pytest.raises(
            DecisionError, match="another gate has rejected this candidate meanwhile; ask again"
        ):
            decide(late, look=14)
    assert decide("INVALID", look=14) is not None
    assert decide("REJECT", look=5) is not None
    assert decide("PROMOTE", policy=Policy(critical_errors=Critical(max=3))) is not None


# ---- crashes and full disks ----


KILLED = """
import os, pathlib, signal, sys
from gnomon_diff.comparison import from_json
from gnomon_diff.settings import Critical, LabelSettings, Policy
from gnomon_reports import decisions
folder, document, before = sys.argv[1:]
setattr(decisions.os, before, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
found = from_json(pathlib.Path(document).read_bytes())
policy = Policy(critical_errors=Critical())
decisions.record_decision(pathlib.Path(folder), found.comparison, found.verdict, policy, LabelSettings())
"""


@pytest.mark.parametrize("before", ["fchmod", "fsync", "link"])
def test_a_crash_while_writing_leaves_no_half_record(
    folder: Path, tmp_path: Path, comparison: Comparison, decide: Decide, before: str
) -> None:
    """Killed just before each of the system calls that make a record."""
    decide()
    document = tmp_path / "comparison.json"
    document.write_bytes(to_json(comparison, made(comparison, "PROMOTE")))
    killed = subprocess.run([sys.executable, "-c", KILLED, folder, document, before], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert [record.number for record in read_decisions(folder)] == [0]
    assert decide("PROMOTE") is not None
    assert [record.verdict for record in read_decisions(folder)] == ["HOLD", "PROMOTE"]


def test_a_full_disk_is_said_and_leaves_the_chain_as_it_was(
    folder: Path, decide: Decide, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(decisions.os, "fsync", full)
    with pytest.raises(
        DecisionError, match=r"cannot be written \(No space left on device\); free some space"
    ):
        decide("PROMOTE")
    assert files(folder) == ["000000.json"]


def test_a_file_in_the_place_of_the_folder_is_said(folder: Path, decide: Decide) -> None:
    folder.parent.mkdir(parents=True)
    folder.write_text("not a folder")
    with pytest.raises(DecisionError, match="cannot be written"):
        decide()
