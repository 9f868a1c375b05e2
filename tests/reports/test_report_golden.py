"""`tests/data/comparison.json`, the golden form of contract 3, made by report_samples.py."""

from __future__ import annotations

import report_samples as samples
from gnomon_diff.comparison import from_json, to_json
from gnomon_reports import render


def test_the_golden_comparison_loads_and_is_written_again_as_it_was() -> None:
    data = samples.GOLDEN.read_bytes()
    document = from_json(data)
    assert to_json(document.comparison, document.verdict) == data


def test_the_golden_comparison_makes_a_page() -> None:
    document = from_json(samples.GOLDEN.read_bytes())
    assert "7 of 14 whole days" in render(document.comparison, document.verdict)
