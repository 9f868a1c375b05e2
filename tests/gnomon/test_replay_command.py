"""`gnomon replay`: several candidates, windows and bounds as a user meets them, and what the accounts then say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from gnomon.config import load
from gnomon.judging import compare_and_judge
from gnomon_capture import Mirror

from gnomon import cli

CONFIG = """\
[experiment]
name = "tiny"
task = "binary"
positive = "1"

[traffic]
from = "spool:traffic"

[primary]
version = "1"
model = "models:primary"

[[candidate]]
version = "2"
model = "models:primary"

[[candidate]]
version = "3"
model = "models:third"

[replay]
latency_min = 0
latency_per_s = 0
"""

MODELS = """
import pandas as pd

def primary(frame):
    return pd.DataFrame({"label": (frame["x"] > 4).astype(int), "score": frame["x"] / 100})

def third(frame):
    if len(frame) and frame["x"].max() >= 0:
        raise ValueError("third is not ready")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two processes that mirrored a hundred requests each, one a minute, with ledgers."""
    tmp_path.joinpath("gnomon.toml").write_text(CONFIG)
    tmp_path.joinpath("models.py").write_text(MODELS)
    for process in ("web-1", "web-2"):
        with Mirror(f"spool:{tmp_path / 'traffic'}", process=process, require=True) as mirror:
            for x in range(100):
                ts = f"2026-11-24T{8 + x // 60:02d}:{x % 60:02d}:00Z"
                mirror.record({"x": x}, served={"label": int(x > 4)}, request_id=f"{process}-{x}", ts=ts)
    return tmp_path


def replayed(capsys: pytest.CaptureFixture[str], folder: Path, *how: str) -> tuple[int, dict, str]:
    status = cli.main(["replay", "--config", str(folder / "gnomon.toml"), "--json", *how])
    out, err = capsys.readouterr()
    return status, json.loads(out) if out else {}, err


def accounts(folder: Path, version: str = "2"):
    config = load(folder / "gnomon.toml")
    return compare_and_judge(config, config.candidate(version), examples=0).comparison.accounts


def test_what_lies_before_a_window_is_outside_and_what_lies_behind_it_is_pending(capsys, folder):
    status, done, _ = replayed(
        capsys, folder, "--candidate", "2", "--from", "2026-11-24T08:30", "--to", "2026-11-24T09:10:00Z"
    )
    assert (status, done["pairs"], done["ended"]) == (0, 80, "caught up")
    found = accounts(folder)
    assert (found.mirrored, found.outside, found.pending, found.missing, found.paired) == (200, 60, 60, 0, 80)
    assert [line for line in found.balances if line.balanced is not True] == []
    assert {one.process: one.outside for one in found.processes} == {"web-1": 30, "web-2": 30}
    status, done, _ = replayed(capsys, folder, "--candidate", "2")
    assert (status, done["pairs"]) == (0, 60)
    found = accounts(folder)
    assert (found.outside, found.pending, found.missing, found.paired) == (60, 0, 0, 140)
    assert [line for line in found.balances if line.balanced is not True] == []


def test_a_record_that_is_lost_in_a_window_is_still_missing(capsys, folder):
    for file in (folder / "traffic" / "web-2").glob("*.ndjson"):
        lines = file.read_bytes().splitlines(keepends=True)
        file.write_bytes(
            b"".join(line for line in lines if b'"web-2-70"' not in line and b'"web-2-7"' not in line)
        )
    replayed(capsys, folder, "--candidate", "2", "--from", "2026-11-24T08:30")
    found = accounts(folder)
    assert (found.missing, found.outside, found.paired) == (1, 60, 139)


def test_a_process_that_ended_before_the_window_is_outside_as_a_whole(capsys, folder):
    """Its ledger is known from a candidate that read all."""
    replayed(capsys, folder, "--candidate", "2")
    (folder / "gnomon.toml").write_text(
        CONFIG.replace('"3"\nmodel = "models:third"', '"4"\nmodel = "models:primary"')
    )
    replayed(capsys, folder, "--candidate", "4", "--from", "2026-11-24T12:00")
    with Mirror(f"spool:{folder / 'traffic'}", process="web-3", require=True) as mirror:
        for x in range(10):
            mirror.record(
                {"x": x}, served={"label": 0}, request_id=f"late-{x}", ts=f"2026-11-24T13:{x:02d}:00Z"
            )
    replayed(capsys, folder, "--candidate", "4", "--from", "2026-11-24T12:00")
    found = accounts(folder, "4")
    assert (found.mirrored, found.outside, found.missing, found.pending, found.paired) == (210, 200, 0, 0, 10)
    assert [line for line in found.balances if line.balanced is not True] == []


def test_a_limit_leaves_the_rest_pending(capsys, folder):
    status, done, err = replayed(capsys, folder, "--candidate", "2", "--limit", "30")
    assert (status, done["requests"], done["ended"]) == (0, 30, "limit")
    assert "ended: limit" in err
    found = accounts(folder)
    assert (found.paired, found.pending, found.missing, found.outside) == (30, 170, 0, 0)


def test_a_bound_of_the_configuration_ends_the_run(capsys, folder):
    (folder / "gnomon.toml").write_text(CONFIG + "stop = { hours = 1e-9 }\n")
    status, done, err = replayed(capsys, folder, "--candidate", "2", "--follow")
    assert (status, done["ended"]) == (0, "hours")
    assert "ended: hours" in err


def test_all_candidates_run_and_one_that_fails_does_not_stop_the_others(capsys, folder):
    status, done, err = replayed(capsys, folder)
    assert (status, done["by_candidate"]) == (4, {"2": 200})
    assert "third is not ready" in done["failed"]["3"]
    assert "candidate 3 was given up: model 3: failed on all of 5 requests" in err
    status, _, err = replayed(capsys, folder, "--candidate", "3")
    assert status == 2
    assert "third is not ready" in err


def test_a_candidate_that_cannot_be_loaded_does_not_stop_the_others(capsys, folder):
    (folder / "gnomon.toml").write_text(CONFIG.replace("models:third", "models:nowhere"))
    status, done, err = replayed(capsys, folder)
    assert (status, done["by_candidate"]) == (4, {"2": 200})
    assert "the other candidates go on without it" in err


def test_the_same_model_twice_is_refused(capsys, folder):
    import shutil

    (folder / "m.joblib").write_bytes(b"x")
    shutil.copy(folder / "m.joblib", folder / "n.joblib")
    text = CONFIG.replace('"models:third"', '"m.joblib"\nallow_pickle = true')
    text = text.replace(
        'version = "2"\nmodel = "models:primary"', 'version = "2"\nmodel = "n.joblib"\nallow_pickle = true'
    )
    (folder / "gnomon.toml").write_text(text)
    status, _, err = replayed(capsys, folder)
    assert status == 2
    assert "candidates 2 and 3 are the same model; name one by --candidate" in err


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (["--limit", "0"], "is no number of requests, 1 or more"),
        (["--pace", "fast"], "write 1x for the original rate"),
        (["--pace", "0x"], "write 1x for the original rate"),
        (["--from", "yesterday"], "is not a time such as"),
        (["--to", "2026-11-24", "--follow"], "--follow has no end"),
        (["--to", "2999-01-01"], "--to lies in the future; use --follow"),
        (["--from", "2026-11-24T09:00", "--to", "2026-11-24T08:00"], "--from has to lie before --to"),
        (["--candidate", "9"], "has no candidate '9'; it has 2, 3"),
    ],
)
def test_what_cannot_be_is_said_in_words(capsys, folder, how, words):
    try:
        status = cli.main(["replay", "--config", str(folder / "gnomon.toml"), *how])
    except SystemExit as exc:
        status = exc.code
    assert status == 2
    assert words in capsys.readouterr().err


def test_paced_traffic_is_replayed_like_any_other(capsys, folder):
    status, done, _ = replayed(
        capsys, folder, "--candidate", "2", "--pace", "6000x"
    )  # a hundred minutes in a second
    assert (status, done["pairs"]) == (0, 200)
