"""The policy: what it refuses, and the digest that a verdict is given for."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from gnomon_capture.errors import SettingsError
from gnomon_capture.settings import from_mapping
from gnomon_diff.evidence import log_threshold, t_log_e
from gnomon_diff.settings import LabelSettings, Policy, default_policy, policy_digest, policy_rules

GATE: dict[str, Any] = {"disagreement": {"max_excess": 0.05}}


def policy(**more: Any) -> Policy:
    return from_mapping(Policy, GATE | more, "gate")


def digest(table: dict[str, Any] = GATE, labels: dict[str, Any] | None = None) -> str:
    return policy_digest(
        from_mapping(Policy, table, "gate"), from_mapping(LabelSettings, labels or {}, "labels")
    )


# ---- refusals ----


@pytest.mark.parametrize(
    ("table", "path", "words"),
    [
        (
            {},
            "gate",
            "a policy without a criterion can never fail; name one of disagreement, disagreement_raw",
        ),
        ({"alpha": 0.1}, "gate", "a policy without a criterion can never fail"),
        (GATE | {"disagrement": {"max_excess": 0.1}}, "gate.disagrement", "did you mean `disagreement`?"),
        ({"disagreement": {"max_exces": 0.1}}, "gate.disagreement.max_exces", "did you mean `max_excess`?"),
        (GATE | {"looks": [14]}, "gate.looks", "did you mean `looks_days`?"),
        (
            GATE | {"segments": {"min_frac": 0.1}},
            "gate.segments.min_frac",
            "did you mean `min_segment_frac`?",
        ),
        (GATE | {"looks_days": []}, "gate.looks_days", "in rising order"),
        (GATE | {"looks_days": [21, 14]}, "gate.looks_days", "in rising order"),
        (GATE | {"looks_days": [14, 14]}, "gate.looks_days", "in rising order"),
        (GATE | {"looks_days": [0, 14]}, "gate.looks_days.0", ">= 1"),
        (GATE | {"looks_days": [14.5]}, "gate.looks_days.0", "got `float`"),
        (GATE | {"alpha": 0.0}, "gate.alpha", "> 0.0"),
        (GATE | {"alpha": 0.5}, "gate.alpha", "< 0.5"),
        (GATE | {"error_rate": {}}, "gate.error_rate", "name `max_increase_rel`, `max_increase_abs` or both"),
        (GATE | {"error_rate": {"max_increase_rel": 0}}, "gate.error_rate", "can never be shown"),
        (GATE | {"latency_p95": {"max_increase_rel": 1e-9}}, "gate.latency_p95.max_increase_rel", ">= 0.001"),
        (GATE | {"valid_for": "a day"}, "gate.valid_for", "write `90s`"),
        (GATE | {"valid_for": "0h"}, "gate.valid_for", "is no duration"),
        (GATE | {"segments": {"by": ["carrier"]}}, "gate.segments.by.0", "features|attributes"),
        (GATE | {"segments": {"by": ["features.a", "features.a"]}}, "gate.segments.by", "stands twice"),
        (
            GATE | {"segments": {"by": [], "disagreement": {"max_excess": 0.1}}},
            "gate.segments.by",
            "name the segments",
        ),
        (
            {"disagreement_raw": {"max": 0.1}, "segments": {"disagreement": {"max_excess": 0.1}}},
            "gate.segments.disagreement",
            "a limit of `disagreement`, which this policy does not judge",
        ),
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused_with_its_place_and_reason(
    table: dict[str, Any], path: str, words: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        from_mapping(Policy, table, "gate")
    assert refused.value.path == path
    assert words in refused.value.message


NUMBERS = [
    ("alpha",),
    ("disagreement", "max_excess"),
    ("disagreement_raw", "max"),
    ("error_rate", "max_increase_rel"),
    ("error_rate", "max_increase_abs"),
    ("latency_p95", "max_increase_rel"),
    ("accuracy", "max_decrease_rel"),
    ("skew", "max"),
    ("missing", "max_frac"),
    ("coverage", "min_frac"),
    ("segments", "min_segment_frac"),
]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")], ids=str)
@pytest.mark.parametrize("keys", NUMBERS, ids=".".join)
def test_no_limit_may_be_nan_or_infinite(keys: tuple[str, ...], value: float) -> None:
    table: Any = value
    for key in reversed(keys):
        table = {key: table}
    with pytest.raises(SettingsError):
        from_mapping(Policy, GATE | table, "gate")


@pytest.mark.parametrize("alpha", [0.2, 0.05, 0.01, 1e-4, 1e-9])
def test_a_look_at_which_nothing_could_be_shown_is_refused(alpha: float) -> None:
    """The best that D days can show: all alike and nothing flagged, so X = L b each, and one day of -L b added."""

    def can_show(days: int) -> bool:
        return bool(t_log_e(days + 1, days - 1, days + 1) >= log_threshold(alpha))

    for days in range(1, 40):
        try:
            policy(alpha=alpha, looks_days=[days])
        except SettingsError as refused:
            assert not can_show(days)  # it may take a look that can just not show anything, never the reverse
            assert "no candidate can be shown to be within a limit" in refused.message
        else:
            assert can_show(days) or can_show(days + 1)


# ---- the digest ----


def test_the_digest_does_not_change_where_a_default_is_written_out() -> None:
    written = GATE | {
        "alpha": 0.05,
        "unit": "day",
        "looks_days": [14, 21, 28],
        "min_pairs": 1000,
        "valid_for": "1d",
        "skew": {"max": 0.01},
        "missing": {"max_frac": 0},
        "coverage": {"min_frac": 0.9},
        "require_ledger": False,
        "segments": {"min_segment_frac": 0.01},
    }
    assert digest(written, {"deadline": "168h", "max_missing_frac": 0.1}) == digest()


def test_the_digest_is_this_for_ever() -> None:
    """Records name it: another gnomon must come to the same."""
    table = GATE | {"critical_errors": {}, "alpha": 0.01, "segments": {"by": ["features.carrier"]}}
    rules = {
        "policy": 1,
        "gate": {
            "alpha": 0.01,
            "disagreement": {"max_excess": 0.05},
            "critical_errors": {},
            "segments": {"by": ["features.carrier"]},
        },
        "labels": {"deadline": 7200.0},
    }
    text = json.dumps(rules, sort_keys=True, separators=(",", ":"))
    assert (
        json.loads(
            json.dumps(policy_rules(from_mapping(Policy, table, "gate"), LabelSettings(deadline="2h")))
        )
        == rules
    )
    assert digest(table, {"deadline": "2h"}) == "sha256:" + hashlib.sha256(text.encode()).hexdigest()


CHANGES: list[dict[str, Any]] = [
    {"alpha": 0.04},
    {"looks_days": [14, 21]},
    {"min_pairs": 1001},
    {"valid_for": "23h"},
    {"disagreement": {"max_excess": 0.06}},
    {"disagreement_raw": {"max": 0.1}},
    {"error_rate": {"max_increase_rel": 0.05}},
    {"error_rate": {"max_increase_abs": 0.05}},
    {"error_rate": {"max_increase_rel": 0.05, "max_increase_abs": 0.05}},
    {"latency_p95": {"max_increase_rel": 0.5}},
    {"accuracy": {"max_decrease_rel": 0.1}},
    {"critical_errors": {}},
    {"critical_errors": {"max": 1}},
    {"skew": {"max": 0.02}},
    {"missing": {"max_frac": 0.001}},
    {"coverage": {"min_frac": 0.8}},
    {"coverage": {"hours_of_week": 168}},
    {"require_ledger": True},
    {"segments": {"by": ["features.a"]}},
    {"segments": {"by": ["features.a", "features.b"]}},
    {"segments": {"by": ["features.b", "features.a"]}},
    {"segments": {"by": []}},
    {"segments": {"min_segment_frac": 0.02}},
    {"segments": {"disagreement": {"max_excess": 0.1}}},
]


def test_the_digest_changes_with_every_value_that_is_chosen() -> None:
    digests = [digest(GATE | change) for change in CHANGES]
    digests += [digest(), digest(GATE, {"deadline": "1d"}), digest(GATE, {"max_missing_frac": 0.2})]
    assert len(set(digests)) == len(digests)
    chosen = {key for change in CHANGES for key in change}
    assert chosen == set(Policy.__struct_fields__) - {"unit"}  # which has one value


def test_the_order_in_which_a_policy_is_written_does_not_matter() -> None:
    table = GATE | {"alpha": 0.01, "skew": {"max": 0.02}, "critical_errors": {"max": 1}}
    assert digest(dict(reversed(table.items()))) == digest(table)


def test_the_default_policy_is_what_the_experiment_can_measure() -> None:
    names = [
        name for name in Policy.CRITERIA if getattr(default_policy(has_primary_model=True), name) is not None
    ]
    assert names == ["disagreement", "error_rate", "latency_p95", "accuracy", "critical_errors"]
    names = [
        name for name in Policy.CRITERIA if getattr(default_policy(has_primary_model=False), name) is not None
    ]
    assert names == ["error_rate", "accuracy", "critical_errors"]
    default_policy(has_primary_model=True).check("gate")


@pytest.mark.parametrize("deadline", ["", "7", "7 weeks", "0d", "-1d"])
def test_a_label_deadline_is_a_duration(deadline: str) -> None:
    with pytest.raises(SettingsError):
        from_mapping(LabelSettings, {"deadline": deadline}, "labels")
