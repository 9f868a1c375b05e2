"""What the page says of losses, empty values, distances, a reference and the quantiles of latency."""

from __future__ import annotations

import datetime

import msgspec
import report_samples as samples
from gnomon_diff.comparison import (
    Comparison,
    ErrorExample,
    Filled,
    Loss,
    Losses,
    PairedShift,
    Presence,
    Reference,
    Telling,
    TwoSample,
)
from gnomon_reports import render
from report_reader import Reader

HOSTILE = '<b onclick="x">&'


def told(low: float) -> TwoSample:
    return TwoSample(
        n_then=5000, n_now=4000, days_then=9, days_now=10, auc=0.61, low=low, high=0.67,
        telling=[Telling(column=f"features.{HOSTILE}", auc_drop=0.1)], left_out=0, reason=None,
    )  # fmt: skip


def filled_in(low: float = 0.55, *, shown: bool = True) -> Comparison:
    comparison = samples.make(days=14)
    loss = Loss(
        stage="predicted", by="features.carrier", value=HOSTILE, n=1000, lost=80, rest_frac=0.01, excess=70.0,
        log_e=30.0, shown=shown,
    )  # fmt: skip
    shifts = [
        msgspec.structs.replace(
            shift, psi_chance=0.004, js_chance=0.02, sampled_then=20_000, sampled_now=20_000, ks=0.071,
            ks_chance=0.0136, wasserstein=0.21, wasserstein_chance=0.013,
        )
        for shift in comparison.shifts
    ]  # fmt: skip
    start = datetime.datetime(2013, 7, 1, tzinfo=datetime.UTC)
    assert comparison.latency is not None
    quantiles = [
        msgspec.structs.replace(one, ratio=1.1, ratio_low=1.02, ratio_high=1.19)
        for one in comparison.latency.quantiles
    ]
    return msgspec.structs.replace(
        comparison,
        losses=Losses(parts=40, block="hour", most=[loss], unknown=[f"3 dead letters {HOSTILE}"]),
        presence=Presence(
            n=300, days=[start, start + datetime.timedelta(days=1)], day_n=[100, 200], versions=["3.1", None],
            version_n=[250, 50],
            columns=[
                Filled(column=f"features.{HOSTILE}", nulls=33, defaults=3, day_nulls=[30, 3], day_defaults=[0, 3],
                       version_nulls=[25, 8], version_defaults=[3, 0])
            ],
        ),
        shifts=shifts,
        two_sample=told(low),
        paired_shifts=[
            PairedShift(column="label", n=900, psi=0.01, psi_excess=0.009, js=0.05, sampled=0, ks=None, ks_low=None,
                        ks_high=None, wasserstein=None, new_values=[HOSTILE], gone_values=[], reason="no interval: x")
        ],
        reference=Reference(
            name=f"train {HOSTILE}.parquet", n_reference=5000, n_traffic=12_000, shifts=shifts, only_traffic=["features.a"],
            only_reference=[HOSTILE], unreadable=["features.c"], two_sample=told(0.55),
        ),
        latency=msgspec.structs.replace(
            comparison.latency, quantiles=quantiles, served_us={"p50": 800.0, "p95": 2000.0, "p99": 4000.0}
        ),
        errors=[
            msgspec.structs.replace(error, examples=[ErrorExample(request_id="r-77", message="x")])
            for error in comparison.errors
        ],
    )  # fmt: skip


def test_everything_that_was_measured_is_on_the_page() -> None:
    page = render(filled_in(), None)
    for ident in ("input-losses", "input-filled", "input-distances", "input-reference", "scores-paired"):
        assert f'id="{ident}"' in page
    for words in (
        "1 part lost more often than the rest", "But not evenly", "The two halves can be told apart", "0.071",
        "Only in the traffic", "Of another type in the reference", "Labels that only the candidate gives",
        "[1.020, 1.190]", "r-77", "Serving skew, counted over",
    ):  # fmt: skip
        assert words in page, words


def test_values_of_the_traffic_stay_text() -> None:
    page = render(filled_in(), None)
    assert not [tag for tag, attributes in Reader(page).tags if "onclick" in attributes]
    assert len(Reader(page).tags) <= 6000


def test_what_no_interval_carries_is_no_finding() -> None:
    page = render(filled_in(0.49, shown=False), None)
    assert "can be told apart" not in page
    assert "No part is shown to be lost more often" in page
    assert "But not evenly" not in page


def test_a_page_without_examples_names_no_request() -> None:
    assert "r-77" not in render(filled_in(), None, examples=False)
