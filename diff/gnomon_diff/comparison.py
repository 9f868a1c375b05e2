"""Contract 3: the result of a comparison, and the verdict on it.

A `Comparison` is a closed set of frozen values; whatever prints, plots or judges takes it and nothing else.
Its JSON form (`comparison.json`, beside the page) is these names and nestings as they stand here, under
`{"schema": 1, "comparison": …, "verdict": …}`; `json_schema()` describes it. Every number is finite. A field
that is added later has a default, so that older documents still load.

Rates are fractions (0 to 1). Two kinds of figure never mix:
  * a *count over the traffic seen*: `n`, a number of cases and their share; it needs no interval;
  * a statement about *traffic like that of these days*: `low` and `high`, from whole days
    (Wang & Ramdas' t e-process, one day added), null where there is none, with the reason in words.
"""

from __future__ import annotations

import datetime
from typing import Any, Literal

import msgspec

SCHEMA = 1


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the values of this contract."""


class SegmentKey(Value, frozen=True, kw_only=True):
    """One value of one feature or attribute.

    Attributes:
        feature: `features.carrier`, `attributes.region`, …
        kind: `value`; `range`, of a number; `missing`, requests that had none; `other`, small segments judged
            together, or rare values counted together.
        value: of a range its name, `200 to 500`; null unless the kind is one of these two.
    """

    feature: str
    kind: Literal["value", "range", "missing", "other"]
    value: str | None


class Rate(Value, frozen=True, kw_only=True):
    """A share, and what it says about other days.

    Attributes:
        n: how many requests it is a share of.
        rate: over the traffic seen; null when n is 0.
        low, high: 95 % interval for traffic like that of these days; null where there is none.
        days: the whole days the interval comes from.
        reason: why an end is null; null when neither is.
    """

    n: int
    rate: float | None
    low: float | None
    high: float | None
    days: int
    reason: str | None


class Subject(Value, frozen=True, kw_only=True):
    """What was compared."""

    experiment: str
    task: str
    positive: str
    primary_version: str | None
    primary_digest: str | None
    candidate_version: str
    candidate_digest: str
    primary_digests: list[str]  # of the primary's model in these rows; more than one is shown
    traffic: str
    log: str
    log_version: int | None  # Delta version of `pairs` that was read; null for an empty log
    first_ts: datetime.datetime | None
    last_ts: datetime.datetime | None
    timezone: str


class PartOf(Value, frozen=True, kw_only=True):
    """Which part of the traffic was compared: chosen by whoever asked, so that no verdict is given on it.

    Attributes:
        from_ts, to_ts: requests served at or after, and before; null: no bound.
        where: a condition on the columns of the view `pairs`; null: none. The accounts of such a part begin with
            `paired`: what was sent and did not become a pair has no columns to ask.
        pairs_of_all: of this candidate in the whole log, duplicates that the flag missed included.
    """

    from_ts: datetime.datetime | None
    to_ts: datetime.datetime | None
    where: str | None
    pairs_of_all: int


class Process(Value, frozen=True, kw_only=True):
    """The account of one capturing process; seq counts what it sent, from 0."""

    process: str
    mirrored: int
    in_pairs: int
    in_dead_letters: int
    removed: int
    pending: int | None
    missing: int | None
    upto_seq: int | None  # of its last ledger; null without any, like the three below
    seen: int | None
    not_selected: int | None
    dropped: dict[str, int] | None
    closed: bool
    outside: int = 0  # before the candidate's window


class Balance(Value, frozen=True, kw_only=True):
    """One line of the accounts; both sides are counted on their own.

    `balanced` is null where a side cannot be known, and `reason` says why.
    """

    name: str
    left: int | None
    right: int | None
    balanced: bool | None
    reason: str | None


class Accounts(Value, frozen=True, kw_only=True):
    """From seen to paired: nothing lost, nothing counted twice, and where it does not add up.

    Attributes:
        seen, not_selected: from the ledgers; null without any.
        mirrored: distinct records sent, by the ledgers and what arrived after them.
        pending: in the traffic, not yet read; null when the traffic could not be reached.
        missing: numbers below a process's last ledger that are nowhere; null when there are such and
            `pending` is null, since they may be pending.
        paired: rows of this candidate, without duplicates; = predicted + errors.
        rows: rows of this candidate in the log; = paired + duplicates.
        missed_duplicates: duplicates that the flag missed, counted exactly; already out of every figure.
        dead_letters: lines that are no records, by reason.
        unnumbered: rows from producers that do not number their records: they cannot be accounted for.
        outside: records sent before the candidate's window (`gnomon replay --from`), which are not its own.
    """

    seen: int | None
    not_selected: int | None
    mirrored: int
    dropped: dict[str, int]
    pending: int | None
    missing: int | None
    removed: int
    paired: int
    predicted: int
    errors: dict[str, int]
    duplicates: int
    missed_duplicates: int
    rows: int
    dead_letters: dict[str, int]
    unnumbered: int
    processes: list[Process]
    without_ledger: list[str]
    balances: list[Balance]
    outside: int = 0


class Disagreement(Value, frozen=True, kw_only=True):
    """How often the candidate's answer differs from what users got.

    Attributes:
        n: all pairs with an answer on both sides: no error, and what the task asks for (a label, a value).
        flips: of these, answers that differ.
        rate, low, high: their share; its interval. Where the log was sampled this, noise, skew and excess are
            estimates for all traffic: every request counts by its weight (Horvitz & Thompson 1952).
        noise_n: requests of the noise sample with all four runs.
        noise: the noise floor, how often the models disagree with themselves:
            mean of (primary ≠ primary_again)/2 + (candidate ≠ candidate_again)/2.
        skew: P(served ≠ primary) − P(primary ≠ primary_again): features that were not those served; null
            where nothing but stand-ins was seen.
        excess: rate − noise − skew, what is judged; with its interval.
    """

    n: int
    flips: int
    rate: float | None
    low: float | None
    high: float | None
    noise_n: int
    noise: float | None
    skew: float | None
    excess: float | None
    excess_low: float | None
    excess_high: float | None
    days: int
    reason: str | None


class Segment(Value, frozen=True, kw_only=True):
    """Disagreement of one value of a feature or attribute.

    Attributes:
        share: of all pairs.
        lift: its rate over the rate of all other pairs; null where that is 0.
        judged: the policy gates on it.
    """

    key: SegmentKey
    n: int
    share: float
    flips: int
    rate: float | None
    low: float | None
    high: float | None
    lift: float | None
    noise_n: int
    noise: float | None
    excess: float | None
    excess_low: float | None
    excess_high: float | None
    days: int
    reason: str | None
    judged: bool


class Slice(Value, frozen=True, kw_only=True):
    """Requests that fulfil up to three conditions, found by search. Explains; never judged.

    Attributes:
        predicate: over the view `pairs`, as `gnomon sql` takes it.
        n, share, flips, rate, lift: over all traffic seen, counted; `lift` is the rate over that of all other
            pairs. The part it was found on is among them, so that they flatter it.
        noise_n, noise: the noise floor in the slice, over all traffic seen.
        test_n, test_flips, test_rate: on the part of the log left for the test; the rate is weighted.
        low, high: of the rate, from the test part's days, at `level`.
        excess, excess_low, excess_high: the rate less noise and skew, likewise; null where the rate is tested.
        log_e: ln of the evidence that the slice lies beyond the limit; null where it was not tested, or has none.
        confirmed: shown to lie beyond the limit, the false discovery rate of the report controlled; null where
            there were too few days to test it.
        reason: why it was not tested, or why an end is null.
    """

    predicate: str
    n: int
    share: float
    flips: int
    rate: float | None
    lift: float | None
    noise_n: int
    noise: float | None
    test_n: int
    test_flips: int
    test_rate: float | None
    low: float | None
    high: float | None
    excess: float | None
    excess_low: float | None
    excess_high: float | None
    level: float
    log_e: float | None
    confirmed: bool | None
    reason: str | None


class SliceSearch(Value, frozen=True, kw_only=True):
    """The search for slices, and what came of it.

    Attributes:
        limit: what a slice is tested to be beyond; of the excess over the noise floor, or of the rate.
        alpha: the false discovery rate: of the confirmed, the expected share that does not lie beyond the limit.
        searched_n: requests that it searched, drawn by the hash of their ids.
        test_n, test_days: requests and whole days left for the test.
        proposed: how many slices were tested.
        reason: why there are none; null where there are.
        seed: of the search.
    """

    limit: float
    measure: Literal["excess", "rate"]
    alpha: float
    searched_n: int
    test_n: int
    test_days: int
    proposed: int
    reason: str | None
    seed: int
    slices: list[Slice]


class Day(Value, frozen=True, kw_only=True):
    """The sums of 24 hours from `start`, over all traffic (`segment` null) or one segment: what the gate judges.

    Sums are weighted by the records' `weight` (1 where the log was not sampled).

    Attributes:
        whole: the traffic has been read past the day's end in every partition.
        pairs: rows without duplicates; the base of error rates.
        rows: of these, with an answer on both sides; the base of disagreement.
        flags: of `rows`, answers that differ.
        noise_rows: of the noise sample, with all four answers. (One with an error is left out: the noise is
            then understated, which never helps a candidate.)
        noise_sum: sum over these of f = (A≠A' + C≠C')/2 + (S≠A) − (A≠A'); of a stand-in, whose S is A,
            f = (A≠A' + C≠C')/2.
        noise_total: sum over these of f / noise_frac of the row, an estimate of f's sum over all `rows`:
            what the gate subtracts from `flags`.
        candidate_errors: the candidate failed.
        primary_errors: what users got was an error; without `served`, the primary failed.
        critical_errors: the candidate crashed or hung, twice; a count, not weighted.
        labelled: with a label, not both sides failed.
        primary_right, candidate_right: of `labelled`; a failed side is wrong.
    """

    start: datetime.datetime
    segment: SegmentKey | None
    whole: bool
    pairs: float
    rows: float
    flags: float
    noise_rows: float
    noise_sum: float
    noise_total: float
    candidate_errors: float
    primary_errors: float
    critical_errors: int
    labelled: float
    primary_right: float
    candidate_right: float


class Flip(Value, frozen=True, kw_only=True):
    """One cell of the flip matrix: what users got against what the candidate would have said.

    Attributes:
        primary, candidate: labels in canonical form.
        share: of all pairs, each by its weight.
        labelled, waiting, never: with a label; without one that may still come; without one that can ever come
            (`[labels] never`). They add up to `n`.
        primary_right, candidate_right: of `labelled`.
    """

    primary: str
    candidate: str
    n: int
    share: float
    labelled: int
    waiting: int
    primary_right: int
    candidate_right: int
    never: int = 0


class DifferenceCase(Value, frozen=True, kw_only=True):
    """One request as an example of a kind of difference: what either side has at its path, JSON text cut short."""

    request_id: str
    served: str | None
    candidate: str | None


class DifferenceKind(Value, frozen=True, kw_only=True):
    """How often answers differ in one way; a request can differ in several at once.

    Attributes:
        kind: `label`, `unseen_label` (neither declared nor among those that users got), `score_range` (one score
            alone is out of 0 to 1); `value`, `not_finite` (regression); `items` (ranking); `text`; `distance`,
            `type`, `length` (a distance); or, of JSON by path, value, type, missing, extra, order, length.
        path: of JSON, `$.items[*].price`; null elsewhere.
        n: requests; `share`: of all pairs, each by its weight.
        noise: of the noise sample (`noise_n`), how often the models differ from themselves so; null where that
            is not told apart by kind.
        cases: at most three requests, drawn by the hash of their ids; for JSON by path alone.
    """

    kind: str
    path: str | None
    n: int
    share: float
    noise: float | None
    cases: list[DifferenceCase]


class Distance(Value, frozen=True, kw_only=True):
    """How far apart the answers are, where that is a number.

    Attributes:
        name: for people: absolute difference, overlap of the first 10, …
        n: pairs that have one and it is finite; fewer than all where, for example, two rankings share no two ids.
        mean, quantiles: each request by its weight; quantiles keyed by `p01`, `p05`, `p25`, `p50`, `p75`, `p95`,
            `p99`.
        noise_n: requests of the noise sample; both models against themselves, two distances a request.
        noise_mean, noise_quantiles: of these.
        reason: why there are no intervals.
    """

    name: str
    n: int
    mean: float | None
    quantiles: dict[str, float]
    noise_n: int
    noise_mean: float | None
    noise_quantiles: dict[str, float]
    reason: str | None


class Differences(Value, frozen=True, kw_only=True):
    """When answers count as different, in which ways they do, and by how much.

    Attributes:
        rule: in words, as the rest of "answers differ where …".
        declared: what `[disagreement]` sets; a verdict is for these rules alone.
        kinds: the most frequent first, at most 200; `more_kinds`: there are others.
    """

    rule: str
    declared: dict[str, Any]
    kinds: list[DifferenceKind]
    more_kinds: bool
    distances: list[Distance]


class Histogram(Value, frozen=True, kw_only=True):
    """Counts between edges: `counts[i]` values lie in [edges[i], edges[i + 1]), the last bin is closed."""

    edges: list[float]
    counts: list[int]


class ScoreMove(Value, frozen=True, kw_only=True):
    """The candidate's score minus the score that users got, on the same request.

    Attributes:
        quantiles: of the difference, keyed by `p01`, `p05`, `p25`, `p50`, `p75`, `p95`, `p99`.
        out_of_range: scores of the candidate outside 0 to 1.
        psi: of the candidate's scores against those served, over `primary`'s ten equal-count bins,
            less what the pairing explains (statistics note, 9).
        joint: 50×50 counts, row primary's bin, column candidate's, over 0 to 1.
    """

    n: int
    mean: float | None
    mean_abs: float | None
    quantiles: dict[str, float]
    delta: Histogram
    primary: Histogram
    candidate: Histogram
    joint: list[list[int]]
    out_of_range: int
    psi: float | None
    psi_low: float | None
    psi_high: float | None


class Cutoff(Value, frozen=True, kw_only=True):
    """What acting at another cut-off would do: how many requests both models would call positive.

    Attributes:
        equal_cutoff: where the candidate, of all cut-offs, acts about as often as the primary does at `cutoff`.
        equal_actions, equal_flips: the candidate's actions there, and the answers that then differ.
        cost_n: pairs with a label and both scores; 0 where no costs are declared.
        primary_cost, candidate_cost: declared cost per such pair with the model cut at `cutoff`.
        equal_cost: the candidate's, cut at `equal_cutoff`.
    """

    cutoff: float
    primary_actions: int
    candidate_actions: int
    flips: int
    equal_cutoff: float | None = None
    equal_actions: int | None = None
    equal_flips: int | None = None
    cost_n: int = 0
    primary_cost: float | None = None
    candidate_cost: float | None = None
    equal_cost: float | None = None


class Shift(Value, frozen=True, kw_only=True):
    """How one column's distribution moved between two windows of the traffic.

    Attributes:
        column: `features.distance`, `served.score`, `candidate.label`, …
        kind: numeric or categorical.
        bins: labels of the bins, in order; `then` and `now` count them.
        psi: population stability index (Siddiqi 2006), empty cells as half a count.
        psi_excess: psi less the bias of two samples of these sizes; `psi_low` its 95 % lower bound.
        js: Jensen-Shannon distance, base 2.
        new_values, gone_values: categories seen in only one window, at most ten.
        psi_chance, js_chance: what independent rows of one law exceed in 5 of 100 cases at these sizes.
        sampled_then, sampled_now: values of the numbers drawn from each window, for the two below.
        ks: the largest difference of the distribution functions of these; `ks_chance` as above.
        wasserstein: area between them, in standard deviations of the earlier; `wasserstein_chance`: what
            independent normal rows of one law show on average.
    """

    column: str
    kind: Literal["numeric", "categorical"]
    n_then: int
    n_now: int
    null_then: float
    null_now: float
    bins: list[str]
    then: list[int]
    now: list[int]
    psi: float | None
    psi_excess: float | None
    psi_low: float | None
    js: float | None
    new_values: list[str]
    gone_values: list[str]
    psi_chance: float | None = None
    js_chance: float | None = None
    sampled_then: int = 0
    sampled_now: int = 0
    ks: float | None = None
    ks_chance: float | None = None
    wasserstein: float | None = None
    wasserstein_chance: float | None = None


class PairedShift(Value, frozen=True, kw_only=True):
    """How the distribution of the candidate's answers lies to that of what users got, on the same requests.

    Attributes:
        n: requests with both, all of them; `sampled` of these, drawn by hash, for `ks` and `wasserstein`.
        psi, psi_excess: over the deciles of what users got, or over the labels; `psi_excess` less what the
            pairing explains.
        js: Jensen-Shannon distance, base 2, over the same bins.
        ks, ks_low, ks_high: of scores; 95 % bounds for independent requests, at any look.
        wasserstein: of scores, in the score's unit; it has no interval.
        new_values, gone_values: labels that only the candidate, or only the primary, answers; at most ten.
        reason: why there is no interval.
    """

    column: Literal["score", "label"]
    n: int
    psi: float | None
    psi_excess: float | None
    js: float | None
    sampled: int
    ks: float | None
    ks_low: float | None
    ks_high: float | None
    wasserstein: float | None
    new_values: list[str]
    gone_values: list[str]
    reason: str


class Telling(Value, frozen=True, kw_only=True):
    """One feature, and by how much the AUC falls on days not trained on when its values are shuffled."""

    column: str
    auc_drop: float


class TwoSample(Value, frozen=True, kw_only=True):
    """Can a classifier tell a request of one side from one of the other, by its features? AUC .5: it cannot.

    Attributes:
        n_then, n_now: rows drawn; `days_then`, `days_now` the whole days (or single rows) they come from.
        auc, low, high: on days that were not trained on; 95 % interval with days as the unit, one look.
        telling: the features that give the side away, at most ten, the most telling first.
        left_out: features not looked at, because they were too many.
        reason: why an end, or the AUC, is null.
    """

    n_then: int
    n_now: int
    days_then: int
    days_now: int
    auc: float | None
    low: float | None
    high: float | None
    telling: list[Telling]
    left_out: int
    reason: str | None


class Reference(Value, frozen=True, kw_only=True):
    """The traffic against something else than itself: training data, or its own first day.

    Attributes:
        name: as it was configured.
        n_reference, n_traffic: rows.
        shifts: `then` is the reference, `now` the traffic.
        only_traffic, only_reference: features that the other side does not have.
        unreadable: features whose values in the reference are of another type.
        two_sample: null where there is nothing to tell apart by.
    """

    name: str
    n_reference: int
    n_traffic: int
    shifts: list[Shift]
    only_traffic: list[str]
    only_reference: list[str]
    unreadable: list[str]
    two_sample: TwoSample | None


class Loss(Value, frozen=True, kw_only=True):
    """What one part of the traffic lost at one stage, against the rest of it.

    Attributes:
        stage: `mirrored`, lost before they were sent; `paired`, between sending and the log (dead letters and
            missing numbers); `predicted`, the candidate's errors.
        by: `process`, `features.carrier`, `served.label`, `size`, `hour of week`, …
        value: null for requests that have none.
        n, lost: counted over the traffic seen; `rest_frac` the share that all else lost.
        excess: lost - n x rest_frac, in requests: what the ranking goes by.
        log_e: evidence against "kept or not does not depend on this part, within a block of time"; null where
            it was not computed, far from the largest.
        shown: with the false discovery rate of all parts held at 5 %.
    """

    stage: Literal["mirrored", "paired", "predicted"]
    by: str
    value: str | None
    n: int
    lost: int
    rest_frac: float
    excess: float
    log_e: float | None
    shown: bool


class Losses(Value, frozen=True, kw_only=True):
    """Is the log the traffic? Which parts of it were lost more often than the rest.

    Attributes:
        parts: how many were looked at.
        block: within which time lost and kept are compared.
        most: those shown, then the largest excesses, at most 30.
        unknown: what cannot be compared, and why.
    """

    parts: int
    block: Literal["hour", "day"]
    most: list[Loss]
    unknown: list[str]


class Filled(Value, frozen=True, kw_only=True):
    """Of one feature, how often there is no value, or one that usually stands for none.

    Attributes:
        nulls: missing or NaN.
        defaults: 0, -1, -99, -999, -9999; empty text, `unknown`, `none`, `null`, `nan`, `n/a`, `na`, `missing`,
            `default`, `-`, `?`. A true value may be among them: read it against other days.
        day_nulls, day_defaults, version_nulls, version_defaults: the same by day and served version.
    """

    column: str
    nulls: int
    defaults: int
    day_nulls: list[int]
    day_defaults: list[int]
    version_nulls: list[int]
    version_defaults: list[int]


class Presence(Value, frozen=True, kw_only=True):
    """Null and default rates of every feature: day against day, served version against version.

    Attributes:
        days, day_n: each 24 hours with traffic, and its requests.
        versions, version_n: of what served, at most twenty, the most frequent first; null where none was said.
    """

    n: int
    days: list[datetime.datetime]
    day_n: list[int]
    versions: list[str | None]
    version_n: list[int]
    columns: list[Filled]


class Quantile(Value, frozen=True, kw_only=True):
    """A latency quantile in microseconds with its 95 % interval; an end is null when the sample is too small.

    Attributes:
        ratio, ratio_low, ratio_high: the candidate's over the primary's, from the pairs; 95 % at any look.
    """

    p: float
    primary_us: float
    primary_low: float | None
    primary_high: float | None
    candidate_us: float
    candidate_low: float | None
    candidate_high: float | None
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None


class Latency(Value, frozen=True, kw_only=True):
    """Fair latency: the same requests, one at a time, both models warm, on one thread, in random order.

    Attributes:
        n: requests that were timed on both sides.
        pairs_us: (primary, candidate) of the first 20,000 timed requests by time: a set that only grows, so
            that a bound on it stays valid under polling.
        threads: of each host.
        ratio_p95, ratio_low, ratio_high: candidate's p95 over primary's, 95 % interval.
        served_p95_us: what users got; shown apart, never compared.
        served_us: the same at `p50`, `p90`, `p95`, `p99`.
    """

    n: int
    threads: int | None
    quantiles: list[Quantile]
    pairs_us: list[tuple[int, int]]
    ratio_p95: float | None
    ratio_low: float | None
    ratio_high: float | None
    reason: str | None
    served_n: int
    served_p95_us: float | None
    served_us: dict[str, float] = {}


class ErrorExample(Value, frozen=True, kw_only=True):
    """One request that failed, drawn at random."""

    request_id: str
    message: str | None


class ErrorKind(Value, frozen=True, kw_only=True):
    """Errors of one kind on one side, with one message as an example; critical ones are the candidate's alone.

    Attributes:
        examples: at most three requests.
    """

    side: Literal["served", "primary", "candidate"]
    kind: str
    n: int
    critical: int
    example: str | None
    examples: list[ErrorExample] = []


class Estimate(Value, frozen=True, kw_only=True):
    """A value over the labelled pairs, and what it says about other days.

    Attributes:
        value: null where it is not defined on these pairs.
        low, high: 95 % interval for traffic like that of these days; null where there is none.
        reason: why a value or an end is null; null when none is.
    """

    value: float | None
    low: float | None
    high: float | None
    reason: str | None


class Measure(Value, frozen=True, kw_only=True):
    """One measure of correctness, for both models on the same labelled pairs.

    Pairs count by their `weight`, so that it speaks of the traffic that was sampled. Intervals come from the whole
    days whose labels have had their time.

    Attributes:
        name: `precision`, `recall`, `f1`, `auc`, `log_loss`, `brier`, `cost`, `mae`, `mse`, `rmse`, `r2`, `macro_f1`.
        n: pairs; on all of them both models answered.
        better: which way is better.
        difference: candidate − primary, paired.
        days: the whole days that the intervals come from.
    """

    name: str
    n: int
    better: Literal["higher", "lower"]
    primary: Estimate
    candidate: Estimate
    difference: Estimate
    days: int


class Reliability(Value, frozen=True, kw_only=True):
    """One bin of one model's calibration curve: what its scores promise, and what came true.

    Attributes:
        low, high: of the scores; the bin holds its lower edge, the last one both.
        mean_score: null where `observed.n` is 0.
        observed: the share of the positive label among the bin's labelled pairs.
    """

    side: Literal["primary", "candidate"]
    low: float
    high: float
    mean_score: float | None
    observed: Rate


class LabelPart(Value, frozen=True, kw_only=True):
    """A part of the traffic that is labelled more, or less, often than the rest of the same days.

    Attributes:
        column: `served.label`, `served.score`, `candidate.score`, `features.carrier`, …
        value: in words; of scores the range.
        n, labelled: of the pairs tested, in this part.
        share, rest_share: how much of it, and of the rest, has a label.
        log_e: evidence that labelling depends on it, days held fixed (statistics note, 10).
    """

    column: str
    value: str
    n: int
    labelled: int
    share: float
    rest_share: float | None
    log_e: float


class LabelCoverage(Value, frozen=True, kw_only=True):
    """How much of the traffic has its label, how late labels come, and whether the labelled part looks like the rest.

    The pairs are labelled + waiting + overdue + never.

    Attributes:
        deadline_s: how long a label may take.
        waiting: no label yet, and younger than the deadline when labels were last loaded.
        overdue: no label, and older than that.
        never: no label, since the primary's answer ended the request.
        settled_days: whole days that ended longer than the deadline before labels were last loaded: those that
            intervals come from.
        settled_n, settled_labelled: pairs of these days, and those with a label.
        delay_n: labelled pairs whose file says when the label became known, not before the request.
        delay_s: quantiles of `labelled_at` − `ts` in seconds, keyed by `p10`, `p50`, `p90`, `p99`.
        after_deadline: of `delay_n`, later than the deadline.
        early: labels that became known before their request: a wrong clock, or a label that was known beforehand.
        tested_n: pairs past the deadline, at most 50,000 drawn by hash, on which labelled and unlabelled were
            compared; 0 where one of the two is empty.
        tested_parts: how many parts were compared.
        unlike: the parts that differ: evidence at 5 % over all parts, and at least a point apart.
    """

    n: int
    labelled: int
    waiting: int
    overdue: int
    never: int
    deadline_s: float
    settled_days: int
    settled_n: int
    settled_labelled: int
    delay_n: int
    delay_s: dict[str, float]
    after_deadline: int
    early: int
    tested_n: int
    tested_parts: int
    unlike: list[LabelPart]


class EstimatedAccuracy(Value, frozen=True, kw_only=True):
    """Accuracy without any label, from the scores alone, as NannyML's CBPE has it; it never enters the gate.

    It takes the scores for calibrated: of the requests that score .8, eight in ten come true. A model that is too
    sure of itself looks better than it is, and by its own scores each model looks best; so both accuracies are
    given by the primary's scores and by the candidate's.

    Attributes:
        n: pairs on which both models gave a label and a score.
        by_primary, by_candidate: (primary, candidate) accuracy, if that model's scores are calibrated.
        reason: why there is no interval.
    """

    n: int
    by_primary: tuple[float, float]
    by_candidate: tuple[float, float]
    reason: str


class Correctness(Value, frozen=True, kw_only=True):
    """Who is right, on requests whose label is known.

    Attributes:
        labelled: pairs with a label, of `n` pairs; not those on which both sides failed, or one has no answer.
        primary, candidate: accuracy of what users got, and of the candidate.
        difference: candidate − primary, paired, in points of accuracy.
        only_primary, only_candidate, both, neither: right on the same requests.
        log_loss_primary, log_loss_candidate, brier_primary, brier_candidate: on the `scored` requests.
        wins: of the disagreements with a label, how often the candidate is right.
        wins_primary: of the same, how many the primary has right; of more than two labels both may be wrong.
        measures: all other measures, in the order in which they are shown.
        reliability: bins of the calibration curves, the primary's first.
        cost: what a false positive and a false negative were declared to cost.
    """

    n: int
    labelled: int
    last_load: datetime.datetime | None
    primary: Rate
    candidate: Rate
    difference: Rate
    both: int
    only_primary: int
    only_candidate: int
    neither: int
    scored: int
    log_loss_primary: float | None
    log_loss_candidate: float | None
    brier_primary: float | None
    brier_candidate: float | None
    wins: Rate | None = None
    wins_primary: int = 0
    measures: list[Measure] = []
    reliability: list[Reliability] = []
    cost: tuple[float, float] | None = None
    coverage: LabelCoverage | None = None


class Coverage(Value, frozen=True, kw_only=True):
    """How much of the traffic is in the log.

    Attributes:
        frac: distinct numbered records in the pairs / (mirrored + dropped); null where nothing is numbered. Dead
            letters are not covered.
    """

    frac: float | None
    hours_of_week: list[list[int]]  # 7 × 24 pairs, Monday first, in the experiment's timezone


class Example(Value, frozen=True, kw_only=True):
    """One request on which the answers differ, drawn at random within its stratum.

    Attributes:
        stratum: the kind of flip, `late → on time`.
        place: the slice or segment that the stratum is besides, as SQL; null for all other requests.
    """

    request_id: str
    ts: datetime.datetime
    stratum: str
    served_label: str | None
    served_score: float | None
    candidate_label: str | None
    candidate_score: float | None
    label: str | None
    features: dict[str, Any]
    attributes: dict[str, str | None]
    served_output: str | None = None  # JSON text, cut short
    candidate_output: str | None = None
    place: str | None = None


class Query(Value, frozen=True, kw_only=True):
    """The SQL behind a figure, as it ran."""

    figure: str
    sql: str


class Against(Value, frozen=True, kw_only=True):
    """The window that another one is held against. Both figures of a pair have intervals of their own; their
    difference has none.

    Attributes:
        pairs, predicted: as in its accounts.
    """

    part: PartOf
    first_ts: datetime.datetime | None
    last_ts: datetime.datetime | None
    days: int
    pairs: int
    predicted: int
    disagreement: Disagreement
    correctness: Correctness | None


class Comparison(Value, frozen=True, kw_only=True):
    """Everything that a comparison says. Whoever shows or judges it needs nothing else.

    Attributes:
        part: null: all of the traffic.
        against: another window of the same candidate; `shifts` are then from that window to this one.
        slices: null where they were not searched for.
        examples_seed: with another one other examples are drawn.
    """

    subject: Subject
    accounts: Accounts
    coverage: Coverage
    disagreement: Disagreement
    flips: list[Flip]
    segments: list[Segment]
    days: list[Day]
    scores: ScoreMove | None
    cutoffs: list[Cutoff]
    shifts: list[Shift]
    latency: Latency | None
    errors: list[ErrorKind]
    correctness: Correctness | None
    examples: list[Example]
    queries: list[Query]
    gnomon_version: str
    generated_at: datetime.datetime
    estimated_accuracy: EstimatedAccuracy | None = None
    differences: Differences | None = None  # null in older documents
    part: PartOf | None = None
    against: Against | None = None
    losses: Losses | None = None
    presence: Presence | None = None
    paired_shifts: list[PairedShift] = []
    two_sample: TwoSample | None = None  # the earlier half of the days against the later, as in `shifts`
    reference: Reference | None = None
    slices: SliceSearch | None = None
    examples_seed: int = 0

    @property
    def declared(self) -> dict[str, Any]:
        """What `[disagreement]` sets."""
        return {} if self.differences is None else self.differences.declared

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from gnomon_diff.notebook import as_html

        return as_html(self)

    def _repr_markdown_(self) -> str:
        """The same in Markdown."""
        from gnomon_diff.notebook import as_markdown

        return as_markdown(self)


State = Literal["pass", "fail", "open", "invalid"]
Outcome = Literal["PROMOTE", "REJECT", "HOLD", "INVALID"]


class Criterion(Value, frozen=True, kw_only=True):
    """One criterion, judged.

    Attributes:
        name: as the policy has it, `disagreement`, `error_rate`, `latency_p95`, …
        segment: null for all traffic.
        state: pass, shown to be within its limit; fail, shown to be beyond; open, neither.
        estimate: in the limit's own form: points of excess, relative increase, a count.
        low, high: the bounds that decide (high at alpha; low at alpha over the family); null: none yet.
        limit: the most that is allowed; for two limits, the one that decided.
        unit: `points` (a difference of rates), `ratio` (relative), `ms`, `count`, `frac`.
        n: requests it rests on; `days`: whole days (0 where days play no part).
        why: one sentence.
    """

    name: str
    segment: SegmentKey | None
    state: State
    estimate: float | None
    low: float | None
    high: float | None
    limit: float
    unit: Literal["points", "ratio", "ms", "count", "frac"]
    n: int
    days: int
    why: str


class Verdict(Value, frozen=True, kw_only=True):
    """May the candidate go near users?

    Attributes:
        verdict: PROMOTE every criterion passes at one look; REJECT one is shown to be beyond its limit;
            HOLD neither; INVALID the data cannot carry a verdict.
        reason: one sentence, for people.
        criteria: fail, open, then pass.
        look: the number of whole days of the look that decided; null before the first.
        next_look: whole days of the next look for PROMOTE; null after the last.
        days: whole days there are.
        expired: the last look is over and did not promote.
        candidate_digest, primary_digest, policy_digest: what it was given for, and nothing else.
        valid_until: when a PROMOTE expires.
        not_judged: criteria of the defaults that this experiment cannot measure, and why.
        notes: what a reader must know (the policy changed after the first look, advisory, …).
    """

    verdict: Outcome
    reason: str
    criteria: list[Criterion]
    look: int | None
    next_look: int | None
    days: int
    expired: bool
    advisory: bool
    candidate_digest: str
    primary_digest: str | None
    policy_digest: str
    valid_until: datetime.datetime | None
    not_judged: dict[str, str]
    notes: list[str]


class Document(Value, frozen=True, kw_only=True):
    """`comparison.json`."""

    schema: int
    comparison: Comparison
    verdict: Verdict | None


def to_json(comparison: Comparison, verdict: Verdict | None) -> bytes:
    """`comparison.json`: indented, in the order of this file, ending in a newline."""
    document = Document(schema=SCHEMA, comparison=comparison, verdict=verdict)
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def from_json(data: bytes) -> Document:
    """The document in `data`.

    Raises:
        ValueError: no such document, or of a later schema.
    """
    schema = msgspec.json.decode(data, type=_SchemaOnly).schema
    if schema > SCHEMA:
        raise ValueError(f"comparison.json has schema {schema}, this gnomon reads up to {SCHEMA}: upgrade it")
    return msgspec.json.decode(data, type=Document)


class _SchemaOnly(msgspec.Struct):
    schema: int


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of `comparison.json`, made from these classes."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(Document)}
