"""The sentences are those of report.md, 5, computed from the run, and none says more than its interval."""

from __future__ import annotations

import msgspec
import pytest
import report_samples as samples
from gnomon_reports import summary_text
from gnomon_reports.answers import answers
from gnomon_reports.limits import limits, unseen_hours
from gnomon_reports.markup import plain
from gnomon_reports.numerals import THIN
from gnomon_reports.run import Run
from gnomon_reports.sections.segments import segments_figure
from gnomon_reports.sections.where import where_section
from gnomon_reports.sentences import verdict_sentence


def said(sample: samples.Sample) -> str:
    return plain(verdict_sentence(Run(*sample))).replace(THIN, " ").replace("\xa0", " ")


def answered(sample: samples.Sample) -> dict[str, str]:
    return {name: plain(text).replace(THIN, " ").replace("\xa0", " ") for name, text in answers(Run(*sample))}


def one_criterion(outcome: str, **values: object) -> samples.Sample:
    comparison = samples.make(28)
    found = {
        "name": "disagreement",
        "state": "fail",
        "estimate": 0.237,
        "low": 0.224,
        "high": 0.25,
        "limit": 0.1,
        "unit": "points",
        **values,
    }
    return comparison, samples.judge(comparison, outcome, criteria=[samples.criterion(**found)])  # type: ignore[arg-type]


MQ = samples.SegmentKey(feature="features.carrier", kind="value", value="MQ")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"segment": MQ}, "Do not promote 3.3. On carrier = MQ it disagrees with 3.2 by 23.7 points more than noise explains [22.4, 25.0]; the limit is 10."),
        ({}, "Do not promote 3.3. It disagrees with 3.2 by 23.7 points more than noise explains [22.4, 25.0]; the limit is 10."),
        (
            {"name": "latency_p95", "estimate": 0.71, "low": 0.62, "high": 0.81, "limit": 0.5, "unit": "ratio"},
            "Do not promote 3.3. Its p95 latency is +71.0 % [+62.0, +81.0] against 3.2; the limit is +50.",
        ),
        (
            {"name": "critical_errors", "estimate": 3.0, "low": 3.0, "high": 3.0, "limit": 0.0, "unit": "count", "n": 500},
            "Do not promote 3.3. It crashed or hung on 3 of 500 requests, twice each; the limit is none.",
        ),
    ],
)  # fmt: skip
def test_a_rejection_names_what_is_beyond_its_limit(values: dict[str, object], sentence: str) -> None:
    assert said(one_criterion("REJECT", **values)) == sentence


def test_a_promotion_names_the_closest_criterion() -> None:
    text = said(samples.promote())
    assert text.startswith(
        "Promote 3.3. All 17 criteria are shown to lie within their limits; the closest is "
    )
    assert text.endswith(" against 5.")


def test_a_hold_names_what_is_open_and_the_next_look() -> None:
    assert said(samples.hold()) == (
        "Not yet. 16 of 17 criteria are within limits; p95 latency is open at +31 % [+18, +55] against +50. "
        "Next look: 21 whole days, 22 Jul at the earliest."
    )


def test_too_few_days_say_what_was_counted_and_that_it_is_all() -> None:
    assert said(samples.few_days()) == (
        "Not yet: 3 of 14 whole days. Over the traffic seen 58 of 2 728 differed (2.1 %), counted; "
        "what other days bring is not known before day 7. Next look: 14 whole days, 15 Jul at the earliest."
    )


def test_an_expired_run_says_what_to_do() -> None:
    comparison, verdict = samples.hold()
    assert verdict is not None
    verdict = msgspec.structs.replace(verdict, expired=True, days=28, next_look=None)
    sentence = said((comparison, verdict))
    assert sentence.startswith("Not shown in 28 days: ")
    assert "is open at" in sentence
    assert sentence.endswith("That was the last look; a new experiment starts anew.")


def test_other_states_of_the_data_say_so() -> None:
    assert said(samples.invalid()).startswith(
        "No verdict: 1 204 of 24 811 mirrored records are unaccounted for."
    )
    assert said(samples.empty()) == "No policy judged this comparison. No pairs in this window."
    assert said(samples.one_pair()) == "Not yet. One pair: nothing can be estimated."
    comparison, _ = samples.all_errors()
    assert "3.3 answered nothing: 500 of 500 requests failed, 498 by time-out." in said((comparison, None))
    assert answered(samples.all_equal())["What differs"] == "No flip in 12 261 pairs: at most 0.04 % differ."


def test_a_reason_of_the_gate_is_not_said_twice() -> None:
    comparison, _ = samples.hold()
    verdict = samples.judge(
        comparison, "HOLD", look=14, criteria=[], reason="Not yet: 12 pairs of at least 1000."
    )
    assert said((comparison, verdict)) == "Not yet: 12 pairs of at least 1000."
    invalid = samples.judge(comparison, "INVALID", reason="No verdict: the traffic has no ledger.")
    assert said((comparison, invalid)) == "No verdict: the traffic has no ledger."


def test_there_are_always_the_four_answers() -> None:
    for make in samples.STATES.values():
        found = answered(make())
        assert list(found) == ["What differs", "Where", "How sure", "What next"]
        assert all(found.values())


def test_no_segment_is_named_whose_interval_reaches_into_that_of_all_traffic() -> None:
    comparison, _ = samples.reject()
    assert answered((comparison, None))["Where"].startswith(
        "carrier = MQ: 7.9 % of traffic, 34 % of the flips"
    )
    wide = [msgspec.structs.replace(s, low=0.0 if s.low is not None else None) for s in comparison.segments]
    assert answered((msgspec.structs.replace(comparison, segments=wide), None))["Where"] == (
        "In no segment is it shown to be more than over all traffic."
    )
    none = [msgspec.structs.replace(s, low=None, high=None) for s in comparison.segments]
    assert answered((msgspec.structs.replace(comparison, segments=none), None))["Where"] == (
        "Not known yet: no segment has an interval."
    )


def test_a_title_claims_no_more_than_its_interval() -> None:
    comparison, verdict = samples.reject()
    titles = {
        figure.ident: plain(figure.title).replace("\xa0", " ")
        for figure in where_section(Run(comparison, verdict)).figures
    }
    assert titles["where-days"] == "carrier = MQ disagrees at least 3 times as often as all traffic"
    quiet = {figure.ident: plain(figure.title) for figure in where_section(Run(*samples.few_days())).figures}
    assert quiet["where-days"] == "Disagreement by day"


def test_limits_are_generated_with_their_numbers_and_are_at_most_six() -> None:
    lines = [plain(line).replace(THIN, " ") for line in limits(Run(*samples.reject()))]
    assert len(lines) <= 6
    assert lines[0] == "What people would have done: nobody acted on 3.3's answers."
    assert "Who is right on 2 598 pairs (1.6 %) without a label." in lines  # of 3,247, a fifth of them ended:
    assert "Who is right on 649 pairs (0.40 %) that 3.2 ended: no label can come." in lines
    assert any("there are no labels yet" in plain(line) for line in limits(Run(*samples.no_labels())))
    assert any("No noise floor" in plain(line) for line in limits(Run(*samples.no_primary())))


def test_unseen_hours_name_the_longest_gap() -> None:
    hours = [[1] * 24 for _ in range(7)]
    assert unseen_hours(hours) == ""
    hours[5][0:6] = [0] * 6
    hours[2][3] = 0
    assert unseen_hours(hours) == "Saturday 00 to 06 and 1 other hour of the week"


def test_the_terminal_summary_is_plain_and_leaves_no_control_character() -> None:
    text = summary_text(*samples.reject())
    assert text.startswith("REJECT  arrival-delay  3.2 → 3.3\n\nDo not promote 3.3.")
    assert "  fail  carrier = MQ, disagreement above noise" in text
    hostile = summary_text(*samples.hostile())
    assert not [
        c
        for c in hostile
        if (ord(c) < 32 and c != "\n") or 0x7F <= ord(c) < 0xA0 or 0x202A <= ord(c) <= 0x202E
    ]


def test_a_segment_that_is_a_feature_and_an_attribute_is_shown_once() -> None:
    comparison, verdict = samples.reject()
    twins = [
        msgspec.structs.replace(
            segment,
            judged=False,
            key=msgspec.structs.replace(
                segment.key, feature=segment.key.feature.replace("features.", "attributes.")
            ),
        )
        for segment in comparison.segments
        if segment.key.feature.startswith("features.")
    ]
    doubled = msgspec.structs.replace(comparison, segments=[*twins, *comparison.segments])
    figure = segments_figure(Run(doubled, verdict))
    assert figure is not None
    assert figure.body.html == segments_figure(Run(comparison, verdict)).body.html  # type: ignore[union-attr]
    assert plain(figure.foot[-1]) == f"{len(twins)} more are the same requests under an attribute's name"
