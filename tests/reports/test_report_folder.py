"""A report on disk is there as a whole or not at all, and stays inside its folder."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import report_samples as samples
from gnomon_diff.comparison import Comparison, from_json
from gnomon_reports import folder, write


def named(version: str) -> Comparison:
    comparison, _ = samples.empty()
    return msgspec.structs.replace(
        comparison, subject=msgspec.structs.replace(comparison.subject, candidate_version=version)
    )


def test_a_report_is_a_folder_named_by_time_and_version(tmp_path: Path) -> None:
    comparison, verdict = samples.golden()
    page = write(comparison, verdict, tmp_path / "reports")
    assert page == tmp_path / "reports" / "20130710T091200Z-3.3" / "report.html"
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    document = from_json(page.with_name("comparison.json").read_bytes())
    assert (document.comparison, document.verdict) == (comparison, verdict)


def test_a_second_report_of_the_same_second_takes_a_number(tmp_path: Path) -> None:
    pages = [write(named("3.3"), None, tmp_path) for _ in range(3)]
    assert [page.parent.name[-5:] for page in pages] == ["Z-3.3", "3.3-2", "3.3-3"]


@pytest.mark.parametrize(
    "version",
    ["../../etc", "..", ".", "", "/abs/olute", "a\x00b\nc", "x" * 500, "..\\..\\win", "~root", "-rf"],
)
def test_no_version_leads_out_of_the_folder(tmp_path: Path, version: str) -> None:
    page = write(named(version), None, tmp_path / "reports")
    assert page.parent.parent == tmp_path / "reports"
    assert page.resolve().is_relative_to(tmp_path / "reports")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["reports"]


def test_a_report_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> bytes:
        raise OSError("disk full")

    monkeypatch.setattr(folder, "to_json", broken)
    with pytest.raises(OSError, match="disk full"):
        write(named("3.3"), None, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_without_examples_no_request_is_written_anywhere(tmp_path: Path) -> None:
    comparison, verdict = samples.golden()
    asked = [*comparison.queries, samples.Query(figure="examples", sql="where request_id in ('0198abc')")]
    page = write(msgspec.structs.replace(comparison, queries=asked), verdict, tmp_path, examples=False)
    for path in (page, page.with_name("comparison.json")):
        text = path.read_text(encoding="utf-8")
        assert "0198abc" not in text
        assert not any(example.request_id in text for example in comparison.examples)
