"""Settings of the gate (`[gate]`, the policy) and of labels (`[labels]`)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from gnomon_capture.errors import SettingsError
from gnomon_capture.record import canonical_label
from gnomon_capture.settings import Frac, PositiveInt, Settings, duration_s

Alpha = Annotated[float, msgspec.Meta(gt=0, lt=0.5)]
Increase = Annotated[float, msgspec.Meta(ge=0, le=1000)]


class ReferenceSettings(Settings, frozen=True, kw_only=True, rename={"address": "from"}):
    """`[reference]`: what the report holds the traffic's features against.

    Attributes:
        address: a Parquet file whose columns are called as the features are (the training data), a pattern such
            as `train/*.parquet`, or `first day`, the traffic's own first whole day. Relative to the configuration.
    """

    address: Annotated[str, msgspec.Meta(min_length=1)]


class Excess(Settings, frozen=True, kw_only=True):
    """The most that disagreement may exceed the noise floor, as a fraction of requests."""

    max_excess: Annotated[float, msgspec.Meta(gt=0, lt=1)]


class RawDisagreement(Settings, frozen=True, kw_only=True):
    """The most that answers may differ at all; for experiments without a primary model."""

    max: Annotated[float, msgspec.Meta(gt=0, lt=1)]


class ErrorRate(Settings, frozen=True, kw_only=True):
    """The most that errors may rise over the primary's: within if either limit is met, beyond only if both
    are passed."""

    max_increase_rel: Increase | None = None
    max_increase_abs: Annotated[float, msgspec.Meta(gt=0, lt=1)] | None = None

    def check(self, path: str) -> None:
        if self.max_increase_rel is None and self.max_increase_abs is None:
            raise SettingsError(path, "name `max_increase_rel`, `max_increase_abs` or both")
        if self.max_increase_rel == 0 and self.max_increase_abs is None:
            raise SettingsError(path, "an increase of exactly 0 can never be shown; allow a little")


class LatencyP95(Settings, frozen=True, kw_only=True):
    """The most that the p95 of latency may rise over the primary's; less than a thousandth no clock tells."""

    max_increase_rel: Annotated[float, msgspec.Meta(ge=0.001, le=1000)]


class Accuracy(Settings, frozen=True, kw_only=True):
    """The most that accuracy may fall below the primary's, relative."""

    max_decrease_rel: Annotated[float, msgspec.Meta(gt=0, lt=1)]


class Critical(Settings, frozen=True, kw_only=True):
    """How many requests may crash or hang the candidate, twice each."""

    max: Annotated[int, msgspec.Meta(ge=0)] = 0


class Skew(Settings, frozen=True, kw_only=True):
    """The most that captured features may differ from those served, as a fraction of requests."""

    max: Frac = 0.01


class Missing(Settings, frozen=True, kw_only=True):
    """The most of the mirrored records that may be nowhere, as a fraction."""

    max_frac: Frac = 0.0


class Coverage(Settings, frozen=True, kw_only=True):
    """The least that must be covered: a share of the traffic, and hours of the week seen (0 to 168)."""

    min_frac: Frac = 0.9
    hours_of_week: Annotated[int, msgspec.Meta(ge=0, le=168)] = 0


class Segments(Settings, frozen=True, kw_only=True):
    """Which segments are judged, and their limits.

    Attributes:
        by: `features.<name>` or `attributes.<name>`; default: every attribute with at most 50 values.
        min_segment_frac: smaller segments, as a share of all pairs, are judged together, as `other`; what is
            smaller even so is not judged by itself.
        disagreement: default: the criterion's own limit.
    """

    by: tuple[Annotated[str, msgspec.Meta(pattern=r"^(features|attributes)\..")], ...] | None = None
    min_segment_frac: Frac = 0.01
    disagreement: Excess | None = None

    def check(self, path: str) -> None:
        by = self.by or ()
        if len(set(by)) < len(by):
            raise SettingsError(f"{path}.by", "one of them stands twice")
        if self.disagreement is not None and self.by == ():
            raise SettingsError(f"{path}.by", "name the segments that the limit is for")


class Policy(Settings, frozen=True, kw_only=True):
    """`[gate]`: the criteria, declared before the data they judge. A criterion is judged if it is named.

    Attributes:
        alpha: the error budget of PROMOTE, and the one of REJECT.
        unit: `day`; `request` only for requests known to be independent of each other.
        looks_days: whole days after which PROMOTE is looked at; the last ends the run.
        min_pairs: fewer never promote.
        valid_for: how long a PROMOTE stands.
        require_ledger: traffic without ledgers is INVALID.
    """

    alpha: Alpha = 0.05
    unit: Literal["day"] = "day"
    looks_days: tuple[PositiveInt, ...] = (14, 21, 28)
    min_pairs: PositiveInt = 1000
    valid_for: str = "24h"
    disagreement: Excess | None = None
    disagreement_raw: RawDisagreement | None = None
    error_rate: ErrorRate | None = None
    latency_p95: LatencyP95 | None = None
    accuracy: Accuracy | None = None
    critical_errors: Critical | None = None
    skew: Skew = Skew()
    missing: Missing = Missing()
    coverage: Coverage = Coverage()
    require_ledger: bool = False
    segments: Segments = Segments()

    CRITERIA: ClassVar[tuple[str, ...]] = (
        "disagreement",
        "disagreement_raw",
        "error_rate",
        "latency_p95",
        "accuracy",
        "critical_errors",
    )

    def check(self, path: str) -> None:
        duration_s(self.valid_for, f"{path}.valid_for")
        if self.error_rate is not None:
            self.error_rate.check(f"{path}.error_rate")
        if not any(getattr(self, name) is not None for name in self.CRITERIA):
            raise SettingsError(
                path, f"a policy without a criterion can never fail; name one of {', '.join(self.CRITERIA)}"
            )
        if not self.looks_days or sorted(set(self.looks_days)) != list(self.looks_days):
            raise SettingsError(
                f"{path}.looks_days", "write whole days in rising order, such as [14, 21, 28]"
            )
        first = next(days for days in range(1, 1000) if _most_log_e(days) >= -math.log(self.alpha))
        if self.looks_days[0] < first:
            raise SettingsError(
                f"{path}.looks_days",
                f"at alpha {self.alpha:g} no candidate can be shown to be within a limit by {self.looks_days[0]} whole "
                f"days; look first after {first} or more",
            )
        self.segments.check(f"{path}.segments")
        if self.segments.disagreement is not None and self.disagreement is None:
            raise SettingsError(
                f"{path}.segments.disagreement",
                "it is a limit of `disagreement`, which this policy does not judge",
            )


def _most_log_e(days: int) -> float:
    """The most that so many days can show: all alike, nothing flagged, one added at twice the limit.

    `evidence.t_log_e` of n = days + 1 values with s = days - 1 and v = n, its cdf taken as 1.
    """
    n = days + 1
    return -0.5 * math.log(n + 1) + n / 2 * math.log((n + 1) * n / (5 * days + 1)) + math.log(2)


def default_policy(*, has_primary_model: bool) -> Policy:
    """The policy of an experiment without a `[gate]` table: those of the defaults that it can measure."""
    if not has_primary_model:
        return Policy(
            error_rate=ErrorRate(max_increase_rel=0.05, max_increase_abs=0.001),
            accuracy=Accuracy(max_decrease_rel=0.10),
            critical_errors=Critical(),
        )
    return Policy(
        disagreement=Excess(max_excess=0.05),
        error_rate=ErrorRate(max_increase_rel=0.05, max_increase_abs=0.001),
        latency_p95=LatencyP95(max_increase_rel=0.50),
        accuracy=Accuracy(max_decrease_rel=0.10),
        critical_errors=Critical(),
    )


class Cost(Settings, frozen=True, kw_only=True):
    """What a wrong answer costs, in one unit of your own; a right one costs nothing.

    Attributes:
        false_positive: the positive label said, and not true.
        false_negative: another label said, and the positive one true.
    """

    false_positive: Annotated[float, msgspec.Meta(ge=0, le=1e9)]
    false_negative: Annotated[float, msgspec.Meta(ge=0, le=1e9)]

    def check(self, path: str) -> None:
        if not self.false_positive + self.false_negative:
            raise SettingsError(path, "at least one kind of wrong answer must cost something")


class Never(Settings, frozen=True, kw_only=True):
    """Which answer of the primary ends a request, so that its truth can never be known: `label = "blocked"`."""

    label: str | int | float | bool

    def check(self, path: str) -> None:
        if canonical_label(self.label) in (None, "", "nan"):
            raise SettingsError(f"{path}.label", "name the primary's label after which no truth can come")

    @property
    def canonical(self) -> str:
        """The label as the log has it."""
        return canonical_label(self.label) or ""


class LabelSettings(Settings, frozen=True, kw_only=True):
    """`[labels]`: how long a label may take, how many may never come, and what a wrong answer costs.

    Attributes:
        deadline: PROMOTE counts only days that ended longer than this before labels were last loaded.
        max_missing_frac: more unlabelled pairs on those days hold the verdict.
        cost: of a binary task's wrong answers; shown, not judged.
        never: the primary's answer after which no label can come; shown, and not taken off `max_missing_frac`.
    """

    deadline: str = "7d"
    max_missing_frac: Frac = 0.1
    cost: Cost | None = None
    never: Never | None = None

    def check(self, path: str) -> None:
        duration_s(self.deadline, f"{path}.deadline")
        if self.cost is not None:
            self.cost.check(f"{path}.cost")
        if self.never is not None:
            self.never.check(f"{path}.never")

    @property
    def deadline_s(self) -> float:
        """The deadline in seconds."""
        return duration_s(self.deadline, "labels.deadline")


def policy_rules(
    policy: Policy, labels: LabelSettings, disagreement: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The rules that a verdict follows, in canonical form.

    Args:
        disagreement: what `[disagreement]` sets (`comparison.differences.declared`).

    What stands at its default is left out, so that a later gnomon with more settings has the same rules. So is
    what is only shown.
    """
    judged = msgspec.structs.replace(labels, cost=None, never=None)
    rules = {"policy": 1, "gate": _chosen(policy), "labels": _chosen(judged)}
    return rules | {"disagreement": dict(disagreement)} if disagreement else rules


def policy_digest(
    policy: Policy, labels: LabelSettings, disagreement: Mapping[str, Any] | None = None
) -> str:
    """sha256 of the rules; a verdict is for these alone."""
    rules = policy_rules(policy, labels, disagreement)
    return "sha256:" + hashlib.sha256(msgspec.json.encode(rules, order="sorted")).hexdigest()


def _chosen(settings: Settings) -> dict[str, Any]:
    """The settings that are not at their default, nested ones likewise; durations in seconds."""
    chosen: dict[str, Any] = {}
    for field in msgspec.structs.fields(settings):
        value = _canonical(field.name, getattr(settings, field.name))
        if value != _canonical(field.name, field.default):
            chosen[field.encode_name] = value
    return chosen


def _canonical(name: str, value: Any) -> Any:
    if isinstance(value, Settings):
        return _chosen(value)
    if name in ("valid_for", "deadline"):
        return duration_s(value, name)
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value
