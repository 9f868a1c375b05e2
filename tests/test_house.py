"""The rules of the house: imports run one way, packages show what they mean to, the tree names no machine."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Each may import itself and those before it.
STAGES = {
    "gnomon_capture": "capture",
    "gnomon_replay": "replay",
    "gnomon_diff": "diff",
    "gnomon_reports": "reports",
    "gnomon": "gnomon",
}
RANK = {package: rank for rank, package in enumerate(STAGES)}
# Runs in the candidate's own environment, where gnomon is not installed.
ALONE = ("replay/gnomon_replay/host.py", "replay/gnomon_replay/warden.py")
FOLDERS = {*STAGES.values(), "tests", "bench", "docs", ".ci"}
# What the base install, which a serving process has, does not bring.
HEAVY = {"pyarrow", "duckdb", "pandas", "numpy", "deltalake", "sklearn", "plotly"}

# Written so that they do not match themselves.
MACHINE_PATH = re.compile(rb"(?<![\w.~-])/(?:work|home|root|opt|Users)/\w[^\s\"'`]*")
REGISTRY = re.compile(
    rb"(?:pypi|files\.pythonhosted|registry\.npmjs|(?:deb|security)\.debian|repo1?\.maven(?:\.apache)?)\.org"
    rb"|--(?:find-links|trusted-host|(?:extra-)?index-url)\b|PIP_(?:FIND_LINKS|(?:EXTRA_)?INDEX_URL)\b"
    rb"|<(?:plugin)?[Rr]epository>"
)


def packages_imported(tree: ast.AST, package: str) -> Iterator[tuple[int, str]]:
    """The line and top-level name of every import, those inside functions and by importlib included."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    yield node.lineno, alias.name.split(".")[0]
            case ast.ImportFrom(level=0, module=str(module)):
                yield node.lineno, module.split(".")[0]
            case ast.ImportFrom():
                yield node.lineno, package
            case ast.Call(
                func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(module)), *_],
            ):
                yield node.lineno, module.split(".")[0] or package


def imports_of_the_house(root: Path) -> Iterator[tuple[str, int, str, str]]:
    """Path, line, importing and imported package of every import among the five packages."""
    for package, folder in STAGES.items():
        for path in sorted((root / folder / package).rglob("*.py")):
            tree = ast.parse(path.read_text(), path)
            for line, imported in packages_imported(tree, package):
                if imported in RANK:
                    yield path.relative_to(root).as_posix(), line, package, imported


def wrong_imports(root: Path) -> list[str]:
    return [
        f"{path}:{line} imports {imported}"
        for path, line, package, imported in imports_of_the_house(root)
        if RANK[imported] > RANK[package] or path in ALONE
    ]


def in_the_tree() -> list[Path]:
    """The files that are committed, or would be by `git add .`, relative to the root."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    command = [
        "git",
        "-c",
        f"safe.directory={ROOT}",
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [Path(name) for name in listed.split("\0") if name and (ROOT / name).is_file()]


def test_imports_run_one_way() -> None:
    assert wrong_imports(ROOT) == []


def test_the_check_of_imports_sees_the_real_ones() -> None:
    seen = {(package, imported) for _, _, package, imported in imports_of_the_house(ROOT)}
    assert ("gnomon_replay", "gnomon_capture") in seen


@pytest.mark.parametrize(
    "line",
    [
        "import gnomon_diff",
        "import os, gnomon_diff.settings",
        "from gnomon_diff.settings import Policy",
        "def late():\n    from gnomon import cli",
        "def late():\n    return __import__('gnomon_reports')",
        "import importlib\nimportlib.import_module('gnomon.cli')",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import gnomon",
    ],
)
def test_a_wrong_import_is_caught_wherever_it_hides(tmp_path: Path, line: str) -> None:
    package = tmp_path / "replay" / "gnomon_replay"
    (package / "deep").mkdir(parents=True)
    (package / "good.py").write_text("import gnomon_capture\nfrom . import other\n")
    assert wrong_imports(tmp_path) == []
    (package / "deep" / "bad.py").write_text(line)
    [wrong] = wrong_imports(tmp_path)
    assert wrong.startswith("replay/gnomon_replay/deep/bad.py:")


@pytest.mark.parametrize("alone", ALONE)
@pytest.mark.parametrize(
    "line", ["import gnomon_capture", "from gnomon_replay import pairs", "from . import pairs"]
)
def test_what_runs_in_the_models_environment_imports_nothing_of_the_house(
    tmp_path: Path, alone: str, line: str
) -> None:
    host = tmp_path / alone
    host.parent.mkdir(parents=True)
    host.write_text(line)
    assert wrong_imports(tmp_path) == [
        f"{alone}:1 imports {'gnomon_capture' if 'capture' in line else 'gnomon_replay'}"
    ]
    assert (ROOT / alone).is_file()  # or the rule would guard a file that has moved


@pytest.mark.parametrize("package", STAGES)
def test_a_package_shows_what_its_all_names(package: str) -> None:
    module = importlib.import_module(package)
    named = list(getattr(module, "__all__", []))
    # The order that ruff keeps: constants, classes, functions.
    assert named == sorted(named, key=lambda name: (not name.isupper(), not name[:1].isupper(), name))
    assert [name for name in named if not hasattr(module, name)] == []
    # What completion offers; a package that loads names on first use lists them by its own __dir__.
    visible = {name for name in dir(module) if not name.startswith("_") and name != "annotations"}
    modules = {name for name in visible if isinstance(getattr(module, name, None), ModuleType)}
    assert visible - modules == {name for name in named if not name.startswith("_")}


@pytest.mark.parametrize(("package", "unwanted"), [("gnomon", HEAVY | {"kafka"}), ("gnomon_capture", HEAVY)])
def test_importing_it_in_a_serving_process_loads_nothing_heavy(package: str, unwanted: set[str]) -> None:
    script = f"import sys, {package}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert package in loaded
    assert unwanted & loaded == set()


def test_every_folder_at_the_top_is_known() -> None:
    assert {path.parts[0] for path in in_the_tree() if len(path.parts) > 1} - FOLDERS == set()


@pytest.mark.parametrize("pattern", [MACHINE_PATH, REGISTRY], ids=["machine path", "registry"])
def test_the_tree_names_no_machine_and_no_registry(pattern: re.Pattern[bytes]) -> None:
    found = [
        f"{path}: {match[0].decode(errors='replace')}"
        for path in in_the_tree()
        for match in pattern.finditer((ROOT / path).read_bytes())
    ]
    assert found == []


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (MACHINE_PATH, "open('/|home/someone/flights.csv')"),
        (MACHINE_PATH, "file:///|work/main"),
        (REGISTRY, "https://py|pi.org/simple"),
        (REGISTRY, "<url>https://repo.ma|ven.apache.org/maven2</url>"),
        (REGISTRY, "pip install --extra-|index-url x"),
        (REGISTRY, "PIP_|FIND_LINKS=wheels"),
    ],
)
def test_such_a_name_would_be_seen(pattern: re.Pattern[bytes], text: str) -> None:
    assert pattern.search(text.replace("|", "").encode())  # the bars hide these examples from the test above


@pytest.mark.parametrize(("ci", "status", "outcome"), [("", 0, "2 skipped"), ("true", 1, "2 errors")])
def test_without_its_programs_a_test_is_skipped_but_fails_in_ci(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ci: str, status: int, outcome: str
) -> None:
    (tmp_path / "conftest.py").write_bytes((ROOT / "tests" / "conftest.py").read_bytes())
    (tmp_path / "test_it.py").write_text("def test_b(bootstrap): pass\ndef test_c(chromium): pass\n")
    monkeypatch.setenv("CI", ci)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("GNOMON_TEST_BOOTSTRAP", raising=False)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-c",
        ROOT / "pyproject.toml",
        "-p",
        "no:cacheprovider",
        tmp_path,
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    assert outcome in done.stdout
    assert "run: tests/system.sh java maven" in done.stdout
    assert "run: tests/system.sh chromium" in done.stdout
