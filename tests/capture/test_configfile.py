"""A mirror from the configuration file, with the base install alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gnomon.config import load
from gnomon_capture import Mirror, redacted_key
from gnomon_capture.configfile import read_capture
from gnomon_capture.errors import SettingsError, UsageError

Reader = Callable[..., Any]

FULL = """
[experiment]
name = "arrival-delay"
task = "binary"
positive = "late"

[traffic]
from = "spool:traffic"

[primary]
version = "1"

[[candidate]]
version = "2"
model = "candidate.skops"

[capture]
linger_s = 0.1
control = "control.toml"
overflow = "overflow"

[capture.select]
frac = 0.0
by = "key"

[[capture.select.rules]]
frac = 1.0
since = 2026-01-01T00:00:00Z
until = 2126-01-01T00:00:00Z
where.features.amount.min = 100
where."attributes.tier" = ["gold", "silver"]

[capture.redact]
secret_file = "secret"
fields.key = "hash"
fields.payload.user.mail = "drop"
fields."features.note" = { truncate = 2 }
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("correct horse battery staple\n")
    path = tmp_path / "gnomon.toml"
    path.write_text(FULL)
    return path


def test_a_mirror_does_what_the_file_says(
    config: Path, spooled: Reader, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))  # paths in the file are relative to it
    with Mirror.from_config(config) as mirror:
        mirror.record({"amount": 500, "note": "abc"}, key="N14228", attributes={"tier": "gold"})
        mirror.record({"amount": 50}, key="N14228", attributes={"tier": "gold"})
        mirror.record({"amount": 500}, key="N14228", attributes={"tier": "lead"})
    [request] = spooled(config.parent / "traffic").requests
    assert (request.service, request.weight) == ("arrival-delay", 1.0)
    assert request.features == {"amount": 500, "note": "ab"}
    assert request.key == redacted_key(read_capture(config).settings.redact, "N14228") != "N14228"
    assert mirror.stats().not_selected == 2


def test_both_readers_of_the_file_understand_the_same(config: Path) -> None:
    mine, whole = read_capture(config), load(config)
    assert mine.settings.select == whole.capture.select
    assert mine.service == whole.experiment.name
    assert mine.to == f"spool:{config.parent}/traffic"


def test_the_control_file_beside_it_is_followed(config: Path) -> None:
    (config.parent / "control.toml").write_text("enabled = false")
    with Mirror.from_config(config, service="other") as mirror:
        mirror.record({"amount": 500}, attributes={"tier": "gold"})
    assert mirror.service == "other"
    assert mirror.stats().not_selected == 1


def test_two_tables_are_enough(tmp_path: Path, spooled: Reader) -> None:
    (tmp_path / "gnomon.toml").write_text('[traffic]\nfrom = "spool:t"\n')
    with Mirror.from_config(tmp_path / "gnomon.toml") as mirror:
        mirror.record({"n": 1})
    assert [request.service for request in spooled(tmp_path / "t").requests] == [None]


def test_nothing_but_the_base_install_is_loaded(config: Path) -> None:
    code = "import sys, gnomon\ngnomon.Mirror.from_config(sys.argv[1]).close()\nprint(*sys.modules)"
    command = [sys.executable, "-c", code, config]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert loaded & {"pyarrow", "pandas", "numpy", "duckdb", "deltalake", "gnomon_replay"} == set()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("[traffic]", "[trafic]", "[trafic] unknown table; did you mean [traffic]?"),
        ("[capture]", "[captrue]", "[captrue] unknown table; did you mean [capture]?"),
        ("[capture.select]", "[capture.selct]", "[capture.selct] unknown key; did you mean `select`?"),
        ("linger_s", "lingr_s", "[capture.lingr_s] unknown key; did you mean `linger_s`?"),
        ('from = "spool', 'form = "spool', "[traffic.form] unknown key; did you mean `from`?"),
        ("spool:traffic", "traffic", "[traffic.from] 'traffic' is no traffic address"),
        ("frac = 1.0", "frac = 100", "[capture.select.rules.0.frac] Expected `float` <= 1.0"),
        ('"hash"', '"hsh"', "[capture.redact.fields.key] 'hsh' cannot be done to a field; did you mean `hash`?"),
        ("[traffic]", "traffic", "is not TOML"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_with_file_and_place(config: Path, old: str, new: str, says: str) -> None:
    config.write_text(FULL.replace(old, new, 1))
    with pytest.raises(SettingsError) as caught:
        Mirror.from_config(config)
    assert str(config) in str(caught.value)
    assert says in str(caught.value)


def test_no_file_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no configuration at .*gnomon\.toml; write one with \[traffic\]"):
        Mirror.from_config(tmp_path / "gnomon.toml")
