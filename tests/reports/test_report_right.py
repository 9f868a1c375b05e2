"""The section `Who is right?`: measures with their n and interval or reason, coverage, and the estimate before labels."""

from __future__ import annotations

import msgspec
import pytest
import report_samples as samples
from gnomon_diff.comparison import Comparison, Correctness, Estimate, Measure, Rate
from gnomon_reports.figure import Section, render_section
from gnomon_reports.markup import group, plain
from gnomon_reports.run import Run
from gnomon_reports.sections.labelled import duration
from gnomon_reports.sections.right import right_section
from gnomon_reports.sections.scores import scores_section
from gnomon_reports.sections.where import where_section


def section(comparison: Comparison) -> Section:
    return right_section(Run(comparison, None))


def answer(part: Section) -> str:
    return plain(group(*part.answer))


def figure(part: Section, ident: str) -> str:
    [one] = [one for one in part.figures if one.ident == ident]
    whole = group(one.title, " | ", one.line, " | ", one.body, " | ", *(group(f, " | ") for f in one.foot))
    return plain(group(whole, one.data or ""))


@pytest.fixture(scope="module")
def labelled() -> Comparison:
    return samples.make(28, broken=False)


def test_every_measure_stands_with_its_n_and_its_interval_or_the_reason(labelled: Comparison) -> None:
    text = figure(section(labelled), "right-accuracy")
    right = labelled.correctness
    assert right is not None
    for name in ("accuracy", "precision", "recall", "F1", "AUC", "log loss", "Brier score", "cost a pair"):
        assert name in text
    assert "precision, F1: the two are shares of different pairs" in text
    assert "AUC: it is no ratio of two sums of a day" in text
    assert "cost: false positive 1, false negative 5" in text
    assert "28 whole days whose labels have had their time" in text


def test_the_candidates_wins_are_said_with_their_interval(labelled: Comparison) -> None:
    right = labelled.correctness
    assert right is not None and right.wins is not None
    said = answer(section(labelled))
    assert "disagreements with a label 3.3 wins" in said and "[" in said
    assert f"{right.wins_primary}, 3.3 on" in said.replace("\u202f", "")


def test_before_a_week_there_are_counts_and_the_reason() -> None:
    part = section(samples.make(3, broken=False))
    assert "no interval before 7 whole days whose labels have had their time, there are 3" in answer(part)
    assert "none yet" in figure(part, "right-accuracy")


def test_a_labelled_part_unlike_the_rest_is_a_warning_in_the_answer(labelled: Comparison) -> None:
    part = section(labelled)
    assert "The labelled part does not look like the rest: of carrier = <i>9E</i>" in answer(part)
    html = render_section(Run(labelled, None), part).html
    assert "<i>9E</i>" not in html and "&lt;i&gt;9E&lt;/i&gt;" in html
    text = figure(part, "right-labels")
    assert "cannot be labelled: 3.2 ended it" in text
    assert "p50 1.1 days" in text and "known before the request" in text


def test_without_a_difference_there_is_no_warning(labelled: Comparison) -> None:
    right = labelled.correctness
    assert right is not None and right.coverage is not None
    alike = msgspec.structs.replace(right, coverage=msgspec.structs.replace(right.coverage, unlike=[]))
    part = section(msgspec.structs.replace(labelled, correctness=alike))
    assert "does not look like" not in answer(part)
    assert "No sign that the labelled differ from the rest, in 31 parts" in figure(part, "right-labels")


def test_a_bin_with_few_labels_is_in_the_table_and_not_drawn(labelled: Comparison) -> None:
    [one] = [one for one in section(labelled).figures if one.ident == "right-calibration"]
    html = group(one.body).html
    assert "0.948" not in html and "0.948" in group(one.data).html
    assert "2 with fewer than 30 labels only in the table" in plain(group(*one.foot))


def test_what_each_cutoff_costs_is_part_of_correctness_and_not_of_divergence(labelled: Comparison) -> None:
    run = Run(labelled, None)
    assert "picked after looking: 3.2 at 0.30, 3.3 at 0.34" in figure(right_section(run), "right-cutoffs")
    for part in (where_section(run), scores_section(run)):
        text = answer(part) + " ".join(figure(part, one.ident) for one in part.figures)
        for word in ("accuracy", "cost", "is right", "wins", "estimate"):
            assert word not in text.lower()
    assert "for an equal action rate" in figure(scores_section(run), "scores-cutoffs")


def test_every_cell_of_the_flip_matrix_says_what_is_labelled_waiting_and_never(labelled: Comparison) -> None:
    text = figure(where_section(Run(labelled, None)), "where-flips")
    ended = [flip for flip in labelled.flips if flip.primary == "late"]
    assert text.count("never") == len([flip for flip in ended if flip.never]) + 1  # and the line that says it
    assert text.count(" labelled") == len(labelled.flips)


def test_before_labels_the_estimate_says_that_it_is_one_and_what_it_assumes() -> None:
    comparison, _ = samples.no_labels()
    part = section(comparison)
    said = answer(part)
    assert said.startswith("Not known.No labels yet")
    assert "An estimate until then, if scores are true chances" in said and "It never enters the gate" in said
    assert "the scores do not say who is better" in said
    text = figure(part, "right-estimated")
    assert "An estimate, not a measurement" in text
    assert "if 3.2's scores are true chances" in text and "n 24\u202f000" in text and "no interval: " in text


def test_the_estimate_gives_way_to_labels(labelled: Comparison) -> None:
    part = section(labelled)
    assert "right-estimated" not in [one.ident for one in part.figures]
    assert "estimate" not in answer(part).lower()


def test_labels_of_other_requests_are_said_to_be_that(labelled: Comparison) -> None:
    right = labelled.correctness
    assert right is not None
    none = msgspec.structs.replace(right, labelled=0)
    part = section(msgspec.structs.replace(labelled, correctness=none, estimated_accuracy=None))
    assert part.empty is not None and "none of them is of these pairs" in plain(part.empty)


def test_a_regression_is_about_errors(labelled: Comparison) -> None:
    right = labelled.correctness
    assert right is not None
    part = section(msgspec.structs.replace(labelled, correctness=_regression(right)))
    assert "3.3 is nearer to the truth. The mean absolute error differs by −0.50 [−0.70, −0.30]" in answer(
        part
    ).replace("truth.The", "truth. The")
    text = figure(part, "right-accuracy")
    assert "root mean squared error" in text and "accuracy" not in text


def _regression(right: Correctness) -> Correctness:
    def estimate(value: float, half: float | None = None) -> Estimate:
        if half is None:
            return Estimate(value=value, low=None, high=None, reason="no ratio of sums")
        return Estimate(value=value, low=value - half, high=value + half, reason=None)

    none = Rate(n=0, rate=None, low=None, high=None, days=28, reason="a number is more or less off")
    measures = [
        Measure(
            name="mae", n=900, better="lower", primary=estimate(4.1, 0.3), candidate=estimate(3.6, 0.3), difference=estimate(-0.5, 0.2), days=28
        ),
        Measure(
            name="rmse", n=900, better="lower", primary=estimate(6.1, 0.3), candidate=estimate(5.6, 0.3), difference=estimate(-0.5), days=28
        ),
    ]  # fmt: skip
    return msgspec.structs.replace(
        right,
        primary=none,
        candidate=none,
        difference=none,
        wins=None,
        measures=measures,
        reliability=[],
        cost=None,
    )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(604_800, "7 days"), (86_400, "1 day"), (5400, "1.5 hours"), (59, "59 seconds"), (0.0, "0 seconds")],
)
def test_durations_are_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words
