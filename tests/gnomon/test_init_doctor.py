"""`gnomon init` writes a file that works; `gnomon doctor` finds what does not. On real traffic and models."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
from gnomon.config import load
from gnomon_capture import Mirror
from gnomon_diff.settings import Policy
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import ConfigResource
from sklearn.linear_model import LogisticRegression

from gnomon import cli

COUNT = 300


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two models, trained on numbers, and the first one's traffic."""
    chance = np.random.default_rng(3)
    frame = pd.DataFrame(
        {"delay": chance.normal(0, 10, COUNT), "distance": chance.integers(1, 99, COUNT) * 1.0}
    )
    late = np.where(frame["delay"] > 0, "late", "in time")
    primary = LogisticRegression().fit(frame, late)
    skops.io.dump(primary, tmp_path / "primary.skops")
    candidate = LogisticRegression(C=0.01).fit(frame, late)
    skops.io.dump(candidate, tmp_path / "candidate.skops")
    joblib.dump(candidate, tmp_path / "candidate.joblib")
    skops.io.dump(
        LogisticRegression().fit(frame.rename(columns={"delay": "delai"}), late), tmp_path / "other.skops"
    )
    tmp_path.joinpath("models.py").write_text(
        "def ask(frame):\n    return [{'label': 'late', 'score': 0.5}] * len(frame)\n"
        "def fail(frame):\n    raise ValueError('no such carrier')\n"
        "def some(frame):\n    return [{'label': 'late', 'score': None if x < 0 else 0.5} for x in frame['delay']]\n"
    )
    mirrored(tmp_path, frame, primary)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def mirrored(folder: Path, frame: pd.DataFrame, primary: LogisticRegression) -> None:
    with Mirror(f"spool:{folder / 'traffic'}", service="arrivals", require=True) as mirror:
        rows = zip(frame.to_dict("records"), primary.predict(frame), strict=True)
        for x, (row, label) in enumerate(rows):
            mirror.record(
                row | {"carrier": "ABC"[x % 3], "tail": f"N{x}"},
                served={"version": "3.2", "label": label, "score": 0.5},
                request_id=f"r{x}",
                attributes={"region": ("us", "eu")[x % 2], "session": str(x)},
            )


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    try:
        status = cli.main(arguments)
    except SystemExit as exc:
        status = int(exc.code or 0)
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return status, captured.out, captured.err


# ---- init ----


def test_what_init_writes_replays_and_reports(capsys, folder):
    status, out, err = run(
        capsys,
        "init",
        "--model",
        "candidate.skops",
        "--primary",
        "primary.skops",
        "--traffic",
        "spool:traffic",
    )
    assert (status, out) == (0, "gnomon.toml\n"), err
    config = load(Path("gnomon.toml"))
    assert config.experiment.name == "arrivals"
    assert (config.experiment.positive, config.primary.version) == ("late", "3.2")
    assert [model.version for model in config.candidates] == ["candidate"]
    assert config.features == {"delay": "double", "distance": "double", "carrier": "string", "tail": "string"}
    assert judged(config.policy) == {"disagreement", "latency_p95", "error_rate", "critical_errors"}
    assert config.policy.segments.by == ("attributes.region", "features.carrier")
    for words in ("delay double", "carrier string", "model 3.2: 20 requests", "guessed", "not known: "):
        assert words in err
    assert run(capsys, "doctor")[0] == 0
    status, out, _ = run(capsys, "replay", "--json", "--quiet")
    assert (status, json.loads(out)["pairs"], json.loads(out)["errors"]) == (0, COUNT, 0)
    status, out, _ = run(capsys, "report")
    assert status == 0
    assert Path(out.strip()).stat().st_size > 100_000
    assert run(capsys, "gate")[0] == 3


def judged(policy: Policy) -> set[str]:
    return {name for name in policy.CRITERIA if getattr(policy, name) is not None}


def test_without_a_primary_only_what_can_be_measured_is_judged(capsys, folder):
    place = folder / "deep"
    place.mkdir()
    how = (
        "--model",
        "candidate.joblib",
        "--traffic",
        "spool:traffic",
        "--config",
        "deep/gnomon.toml",
        "--name",
        "n",
    )
    status, _, err = run(capsys, "init", *how)
    assert status == 0, err
    config = load(place / "gnomon.toml")
    assert judged(config.policy) == {"disagreement_raw", "error_rate", "critical_errors"}
    assert (config.traffic.address, config.candidates[0].model) == ("spool:../traffic", "../candidate.joblib")
    assert config.candidates[0].sha256 is not None  # allowed to load, and no other file in its place
    assert "without the serving model (--primary)" in err
    assert run(capsys, "replay", "--config", "deep/gnomon.toml")[0] == 0
    assert run(capsys, "report", "--config", "deep/gnomon.toml")[0] == 0


def test_init_overwrites_nothing_unless_it_is_forced(capsys, folder):
    Path("gnomon.toml").write_text("mine")
    how = ("init", "--model", "candidate.skops", "--traffic", "spool:traffic")
    status, _, err = run(capsys, *how)
    assert (status, Path("gnomon.toml").read_text()) == (2, "mine")
    assert "--force" in err
    assert run(capsys, *how, "--force")[0] == 0
    assert tomllib.loads(Path("gnomon.toml").read_text())["experiment"]["positive"] == "late"
    assert [path.name for path in folder.iterdir() if path.name.startswith(".gnomon")] == []


@pytest.mark.parametrize(
    ("model", "more", "status", "words"),
    [
        ("nowhere.skops", (), 2, "cannot be read"),
        ("nowhere.joblib", (), 2, "cannot be read"),
        ("nowhere", (), 2, "module:callable"),
        ("other.skops", (), 2, "needs the feature `delai`, which no request has had; did it mean `delay`?"),
        ("models:fail", ("--positive", "late"), 2, "failed on all of 20 requests: exception: ValueError"),
        ("models:ask", (), 2, "name it by --positive"),
        ("candidate.skops", ("--positive", "early"), 2, "the model's classes are in time, late"),
        ("candidate.skops", ("--traffic", "spool:nowhere"), 4, "there is no traffic at"),
        ("candidate.skops", ("--traffic", "nowhere"), 2, "is no traffic address"),
        ("candidate.skops", ("--name", "a b"), 2, "is no name"),
        ("candidate.skops", ("--config", "no/such/gnomon.toml"), 2, "there is no folder"),
    ],
)
def test_init_says_what_is_wrong_and_writes_nothing(capsys, folder, model, more, status, words):
    given = ("init", "--traffic", "spool:traffic", "--model", model, *more)
    found, out, err = run(capsys, *given)
    assert (found, out) == (status, ""), err
    assert words in err
    assert err.count("\n") == 1
    assert not Path("gnomon.toml").exists()


def test_a_callable_is_written_with_the_label_that_was_named(capsys, folder):
    how = ("--model", "models:some", "--positive", "late", "--traffic", "spool:traffic")
    status, _, err = run(capsys, "init", *how)
    assert status == 0, err
    assert "failed: nan_output" in err
    assert load(Path("gnomon.toml")).candidates[0].model == "models:some"


# ---- doctor ----


def configured(capsys: pytest.CaptureFixture[str], *replace: tuple[str, str]) -> None:
    how = ("--model", "candidate.skops", "--primary", "primary.skops", "--traffic", "spool:traffic")
    assert run(capsys, "init", *how)[0] == 0
    text = Path("gnomon.toml").read_text()
    for old, new in replace:
        assert old in text
        text = text.replace(old, new)
    Path("gnomon.toml").write_text(text)


def states(capsys: pytest.CaptureFixture[str], status: int) -> dict[str, tuple[str, str]]:
    found, out, _ = run(capsys, "doctor", "--json")
    assert found == status, out
    whole = json.loads(out)
    assert whole["failed"] == sum(each["state"] == "failed" for each in whole["checks"])
    return {each["check"]: (each["state"], each["text"]) for each in whole["checks"]}


def test_doctor_goes_on_after_a_failure_and_says_what_to_do(capsys, folder):
    configured(
        capsys,
        ("spool:traffic", "spool:elsewhere"),
        ('model = "candidate.skops"', f'model = "candidate.skops"\nsha256 = "{"0" * 64}"'),
    )
    found = states(capsys, 4)
    assert found["traffic"][0] == "failed"
    assert "there is no traffic at" in found["traffic"][1]
    assert found["candidate candidate"][0] == "failed"
    assert "not the pinned" in found["candidate candidate"][1]
    assert found["log"][0] == found["versions"][0] == found["disk"][0] == "ok"
    assert found["primary 3.2"][0] == "warning"  # it is there, and nothing to try it on
    out = run(capsys, "doctor")[1]
    assert out.splitlines()[-1].startswith("11 checks: ")


def test_doctor_tries_the_models_on_real_requests(capsys, folder):
    configured(capsys, ('"candidate.skops"', '"models:fail"'), ('"primary.skops"', '"models:some"'))
    found = states(capsys, 4)
    assert found["candidate candidate"][0] == "failed"
    assert (
        "answered 0 of 20 real requests; exception: ValueError: no such carrier"
        in found["candidate candidate"][1]
    )
    assert found["primary 3.2"][0] == "warning"
    assert "nan_output" in found["primary 3.2"][1]


def test_doctor_looks_at_what_is_not_read_yet_and_joins_no_one(capsys, folder):
    configured(capsys)
    assert states(capsys, 0)["unread"] == ("ok", f"{COUNT + 1} behind the traffic's end")  # and a ledger
    assert run(capsys, "replay", "--quiet")[0] == 0
    found = states(capsys, 0)
    assert found["unread"] == ("ok", "0 behind the traffic's end")
    assert "its pairs have" in found["log"][1]


def test_a_broken_configuration_is_for_status_2(capsys, folder):
    configured(capsys, ("[gate]", "[gaet]"))
    assert run(capsys, "doctor")[0] == 2
    assert run(capsys, "doctor", "--config", "none.toml")[0] == 2


def test_lines_that_are_no_records_are_warned_of_or_fail(capsys, folder):
    configured(capsys)
    place = folder / "traffic" / "a"  # sorts before the mirror's own
    place.mkdir()
    place.joinpath(f"{0:020d}.ndjson").write_text("no record\n")
    place.joinpath(f"{1:020d}.ndjson").write_text("")
    assert states(capsys, 0)["requests"][0] == "warning"
    Path("gnomon.toml").write_text(Path("gnomon.toml").read_text().replace("spool:traffic", "spool:bad"))
    bad = folder / "bad" / "a"
    bad.mkdir(parents=True)
    bad.joinpath(f"{0:020d}.ndjson").write_text("no record\n")
    bad.joinpath(f"{1:020d}.ndjson").write_text("")
    found = states(capsys, 4)
    assert found["requests"][0] == "failed"
    assert "malformed" in found["requests"][1]


def test_doctor_on_a_topic_warns_before_its_retention_takes_what_is_unread(capsys, folder, bootstrap, topic):
    configured(capsys, ("spool:traffic", f"kafka://{bootstrap}/{topic}"))
    assert states(capsys, 0)["traffic"][0] == "warning"  # nothing there yet
    producer = KafkaProducer(bootstrap_servers=bootstrap)
    record = {"request_id": "r", "ts": "2026-11-01T08:00:00Z", "features": {"delay": 1.0, "distance": 2.0}}
    producer.send(topic, json.dumps(record).encode())
    producer.close()
    found = states(capsys, 0)
    assert found["unread"] == ("ok", "1 behind the traffic's end; the topic keeps messages for ever")
    assert found["candidate candidate"][0] == "ok"
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.alter_configs([ConfigResource("TOPIC", topic, configs={"retention.ms": "604800000"})])
    admin.close()
    state, text = states(capsys, 0)["unread"]
    assert state == "warning", text
    assert "keeps messages for 168.0 h" in text
    assert "raise the topic's retention.ms" in text
    Path("gnomon.toml").write_text(Path("gnomon.toml").read_text().replace(topic, "nowhere"))
    assert "the broker has no topic 'nowhere'" in states(capsys, 4)["traffic"][1]
