"""Slices on the page: what the test has shown, and no claim before it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from gnomon_diff.comparison import Slice, SliceSearch
from gnomon_reports.markup import plain
from gnomon_reports.run import Run
from gnomon_reports.sections.slices import slice_sentence, slices_figure
from report_samples import golden


def one(confirmed: bool | None, **more: Any) -> Slice:
    values: dict[str, Any] = {
        "predicate": "carrier = 'MQ' AND distance >= 500", "n": 900, "share": 0.02, "flips": 300, "rate": 1 / 3, "lift": 12.3,
        "noise_n": 45, "noise": 0.02, "test_n": 210, "test_flips": 70, "test_rate": 1 / 3, "low": 0.2, "high": None, "excess": 0.31,
        "excess_low": 0.181, "excess_high": None, "level": 0.95, "log_e": 7.0, "confirmed": confirmed, "reason": None,
    }  # fmt: skip
    return Slice(**{**values, **more})


def run_with(*slices: Slice, **more: Any) -> Run:
    search = SliceSearch(
        limit=0.05, measure="excess", alpha=0.1, searched_n=4000, test_n=4100, test_days=14,
        proposed=len(slices), reason=more.get("reason"), seed=0, slices=list(slices),
    )  # fmt: skip
    comparison, verdict = golden()
    return Run(msgspec.structs.replace(comparison, slices=search), verdict)


def test_a_confirmed_slice_is_named_with_its_interval_its_n_and_its_sql() -> None:
    run = run_with(one(True), one(False, predicate="hour < 6", excess_low=0.01))
    figure, said = slices_figure(run), slice_sentence(run)
    assert figure is not None and said is not None
    assert figure.title == "One of two slices is shown beyond the limit"
    shown = plain(figure.body)
    assert "beyond" in shown and "not shown" in shown and "n 210" in shown
    assert "AND disagrees AND carrier = 'MQ' AND distance >= 500" in shown
    assert "[18" in plain(said) and "none]" in plain(said) and "limit" not in plain(said)
    assert any("false discovery rate 10" in plain(part) for part in figure.foot)


def test_before_the_test_no_title_claims_anything() -> None:
    why = "a test takes 14 odd whole days, there are 7"
    run = run_with(one(None, low=None, excess_low=None, log_e=None, reason=why))
    figure = slices_figure(run)
    assert figure is not None
    assert figure.title == "One to look at, not tested yet"
    assert "A test takes 14 odd whole days, there are 7." in plain(figure.body)
    assert slice_sentence(run) is None


@pytest.mark.parametrize("reason", ["nowhere do they differ notably more often than elsewhere"])
def test_where_none_was_found_it_says_so(reason: str) -> None:
    figure = slices_figure(run_with(reason=reason))
    assert figure is not None and figure.title == "No slice was found"
    assert plain(figure.body) == f"{reason[0].upper()}{reason[1:]}."
