"""The exactly-once campaign in short: a few faults of some kinds, and nothing doubled, lost or wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CAMPAIGN = Path(__file__).with_name("campaign.py")


def outcomes(kinds: str, *more: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, CAMPAIGN, "--json", "--kinds", kinds, "--budget-s", "60", "--jobs", "2", *more],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def assert_exactly_once(found: list[dict[str, Any]]) -> None:
    for each in found:
        assert each["tried"] > 0
        assert each["found"] == each["expected"] > 0
        assert (each["doubled"], each["lost"], each["wrong"], each["letters_lost"], each["odd"]) == (
            0,
            0,
            0,
            0,
            [],
        )


@pytest.mark.timeout(280)
def test_workers_that_die_or_starve_within_their_commits() -> None:
    found = outcomes("spool-killed-in-commit,commit-half-done", "--faults", "2")
    assert len(found) == 2
    assert_exactly_once(found)


@pytest.mark.timeout(280)
def test_a_zombie_and_a_second_candidate() -> None:
    found = outcomes("spool-slept-in-commit,candidate-added", "--faults", "1")
    assert len(found) == 2
    assert_exactly_once(found)


@pytest.mark.timeout(280)
def test_members_of_a_group_that_are_killed(bootstrap: str) -> None:
    assert_exactly_once(outcomes("kafka-killed", "--faults", "3", "--bootstrap", bootstrap))


def test_a_kind_that_is_none_is_named() -> None:
    done = subprocess.run(
        [sys.executable, CAMPAIGN, "--kinds", "kafka-kiled"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "no such kind: kafka-kiled" in done.stderr
