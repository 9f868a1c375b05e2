"""Disagreement of each task, against Python, NumPy and SciPy: one rule for answers, noise and skew alike."""

from __future__ import annotations

import json
import math
import re
import tomllib
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from gnomon_capture.errors import SettingsError, UsageError
from gnomon_capture.settings import from_mapping
from gnomon_diff import compare, judge, query
from gnomon_diff.comparison import Comparison, from_json, to_json
from gnomon_diff.differing import Differing, Matcher
from gnomon_diff.evidence import DayCriterion, rule_bounds
from gnomon_diff.reading import open_log
from gnomon_diff.rules import Rule
from gnomon_diff.settings import LabelSettings, default_policy, policy_digest, policy_rules
from gnomon_replay.settings import Experiment
from scipy import stats
from scipy.spatial.distance import cosine

START = pd.Timestamp("2026-03-02T07:00:00", tz="UTC")
N = 600
SIDES = ("served", "primary", "primary_again", "candidate", "candidate_again")
FIELD = {"regression": "score", "ranking": "output", "json": "output", "text": "label"}
Answers = Mapping[str, list[Any]]
Run = Callable[..., tuple[Comparison, pd.DataFrame]]


@pytest.fixture
def run(tmp_path: Path, write_log: Callable[..., Path]) -> Run:
    """Compares what five sides answered (the noise sample is every second row); the rows of the view as well."""

    def compared(
        task: str,
        answers: Answers,
        settings: Mapping[str, Any] | None = None,
        field: str | None = None,
        more: Mapping[str, Any] = {},
        **experiment: Any,
    ) -> tuple[Comparison, pd.DataFrame]:
        n = len(answers["served"])
        frame = pd.DataFrame({"request_id": [f"r{index:04d}" for index in range(n)]})
        frame["ts"] = START + pd.to_timedelta(np.arange(n) * 7, unit="min")
        sampled = np.arange(n) % 2 == 0
        for side in SIDES:
            values = pd.Series(list(answers[side]), dtype=object)
            again = side not in ("served", "candidate")
            frame[f"{side}_{field or FIELD[task]}"] = values.where(sampled) if again else values
        frame["noise_frac"] = 0.5
        frame = frame.assign(**more)
        folder = write_log(tmp_path / "log", frame)
        named = Experiment(name="trial", task=task, **experiment)
        rule = Rule.of(named, from_mapping(Differing, dict(settings or {}), "disagreement"), tmp_path)
        log = open_log(folder, rule)
        found = compare(log, named, default_policy(has_primary_model=True))
        assert from_json(to_json(found, None)).comparison == found  # so every number of it is finite
        return found, query(log, "SELECT * FROM pairs ORDER BY request_id").to_pandas()

    return compared


def check(
    found: Comparison, rows: pd.DataFrame, answers: Answers, differ: Callable[[Any, Any], bool]
) -> None:
    """Counts, noise, skew and excess are those of one function of two answers."""

    def each(one: str, other: str) -> np.ndarray:
        pairs = zip(answers[one], answers[other], strict=True)
        return np.array([float(differ(a, b)) for a, b in pairs])

    flips = each("served", "candidate")
    assert rows["disagrees"].tolist() == (flips > 0).tolist()
    a, c, s = (
        each("primary", "primary_again"),
        each("candidate", "candidate_again"),
        each("served", "primary"),
    )
    sampled = np.arange(len(flips)) % 2 == 0
    noise, skew = ((a + c) / 2)[sampled].mean(), (s - a)[sampled].mean()
    figure = found.disagreement
    assert (figure.n, figure.flips, figure.noise_n) == (len(flips), flips.sum(), sampled.sum())
    assert figure.rate == pytest.approx(flips.mean())
    assert figure.noise == pytest.approx(noise)
    assert figure.skew == pytest.approx(skew)
    assert figure.excess == pytest.approx(flips.mean() - noise - skew)
    assert figure.noise and figure.skew and figure.excess  # or nothing was planted
    assert found.flips == []
    assert found.differences is not None
    if found.differences.kinds and found.differences.kinds[0].path is None:
        assert sum(kind.n for kind in found.differences.kinds) == figure.flips


def numbers(rng: np.random.Generator) -> dict[str, list[Any]]:
    value = rng.choice([0.0, -3.0, 20.0, 500.0], N) + rng.normal(0, 1, N).round(2)
    spread = {
        "served": 0,
        "primary": 0.002,
        "primary_again": 0.004,
        "candidate": 0.01,
        "candidate_again": 0.01,
    }
    answers = {
        side: (value * (1 + scale * rng.normal(0, 1, N)) + scale * rng.normal(0, 1, N)).tolist()
        for side, scale in spread.items()
    }
    for index, strange in ((3, math.inf), (7, math.inf), (11, -math.inf)):
        answers["served"][index] = strange
    return answers


@pytest.mark.parametrize(
    ("settings", "within"),
    [
        ({}, lambda a, b: math.isclose(a, b, rel_tol=0.01, abs_tol=0)),
        ({"max_absolute": 0.5}, lambda a, b: math.isclose(a, b, rel_tol=0, abs_tol=0.5)),
        ({"max_relative": 0.002}, lambda a, b: math.isclose(a, b, rel_tol=0.002, abs_tol=0)),
        (
            {"max_relative": 0.002, "max_absolute": 0.1},
            lambda a, b: math.isclose(a, b, rel_tol=0.002, abs_tol=0.1),
        ),
    ],
)
def test_values_differ_beyond_a_tolerance(
    run: Run, settings: dict[str, float], within: Callable[[float, float], bool]
) -> None:
    answers = numbers(np.random.default_rng(1))
    found, rows = run("regression", answers, settings)
    check(found, rows, answers, lambda a, b: not within(a, b))
    assert found.differences is not None
    kinds = {kind.kind: kind.n for kind in found.differences.kinds}
    assert kinds["not_finite"] == 3
    finite = np.isfinite(answers["served"])
    gap = np.abs(np.array(answers["served"]) - np.array(answers["candidate"]))[finite]
    distance = found.differences.distances[0]
    assert distance.n == len(gap) == N - 3
    assert distance.mean == pytest.approx(gap.mean())
    assert list(distance.quantiles.values()) == pytest.approx(
        np.quantile(gap, [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99], method="inverted_cdf")
    )
    again = np.concatenate(
        [
            np.abs(np.array(answers[side]) - np.array(answers[f"{side}_again"]))[::2]
            for side in ("primary", "candidate")
        ]
    )
    assert (distance.noise_n, distance.noise_mean) == (N // 2, pytest.approx(again.mean()))
    assert distance.noise_quantiles["p95"] == pytest.approx(np.quantile(again, 0.95, method="inverted_cdf"))
    assert found.scores is None and found.cutoffs == []


def rankings(rng: np.random.Generator) -> dict[str, list[Any]]:
    answers: dict[str, list[Any]] = {side: [] for side in SIDES}
    for _ in range(N):
        ids = [f"id {index}" for index in rng.permutation(rng.integers(0, 14))]
        for side in SIDES:
            order = list(ids)
            swaps = {"served": 0, "primary": 1, "primary_again": 1}.get(side, 4)
            for _ in range(rng.integers(0, swaps + 1)):
                if len(order) > 1:
                    one, other = rng.choice(len(order), 2, replace=False)
                    order[one], order[other] = order[other], order[one]
            answers[side].append(order)
    answers["candidate"][0] = [*answers["served"][0], "twice", "twice"]
    return answers


def overlap(a: list[str], b: list[str], k: int) -> float:
    one, other = set(a[:k]), set(b[:k])
    return len(one & other) / max(len(one), len(other)) if one or other else 1.0


@pytest.mark.parametrize(
    ("settings", "k", "least"),
    [({}, 10, 1.0), ({"top_k": 3}, 3, 1.0), ({"top_k": 4, "min_overlap": 0.75}, 4, 0.75)],
)
def test_rankings_differ_where_their_first_ids_do(
    run: Run, settings: dict[str, Any], k: int, least: float
) -> None:
    answers = rankings(np.random.default_rng(2))
    texts = {side: [json.dumps(order) for order in orders] for side, orders in answers.items()}
    found, rows = run("ranking", texts, settings)
    check(found, rows, answers, lambda a, b: overlap(a, b, k) < least)
    assert rows["overlap"].tolist() == pytest.approx(
        [overlap(a, b, k) for a, b in zip(answers["served"], answers["candidate"], strict=True)]
    )
    for a, b, rho in zip(answers["served"], answers["candidate"], rows["rank_correlation"], strict=True):
        both = [name for name in dict.fromkeys(a[:k]) if name in b[:k]]
        if len(both) < 2:
            assert math.isnan(rho)
        else:
            expected = stats.spearmanr(range(len(both)), [b.index(name) for name in both]).statistic
            assert rho == pytest.approx(expected)
    assert found.differences is not None
    correlation = found.differences.distances[1]
    assert correlation.n == rows["rank_correlation"].notna().sum() < N


def normalised(text: str, parts: tuple[str, ...]) -> str:
    text = unicodedata.normalize("NFC", text)
    if "case" in parts:
        text = text.lower()
    if "punctuation" in parts:
        text = "".join(char for char in text if not unicodedata.category(char).startswith("P"))
    return re.sub(r"\s+", " ", text).strip() if "space" in parts else text


@pytest.mark.parametrize(
    "parts", [("case", "space", "punctuation"), ("case",), ("space",), ("punctuation",), ()]
)
def test_texts_differ_where_what_matters_of_them_does(run: Run, parts: tuple[str, ...]) -> None:
    rng = np.random.default_rng(3)
    forms = [
        "Yes, it is.",
        "yes it is",
        "YES  IT\tIS!",
        " yes\u00a0it is ",
        "no",
        "caf\u00e9",
        "cafe\u0301",
        "«no»",
        "Café",
    ]
    answers: dict[str, list[Any]] = {"served": rng.choice(forms, N).tolist()}
    for side in SIDES[1:]:
        again = rng.random(N) < (0.9 if side.startswith("primary") else 0.5)
        answers[side] = np.where(again, answers["served"], rng.choice(forms, N)).tolist()
    found, rows = run("text", answers, {} if len(parts) == 3 else {"normalise": list(parts)})
    check(found, rows, answers, lambda a, b: normalised(a, parts) != normalised(b, parts))


def documents(rng: np.random.Generator) -> dict[str, list[Any]]:
    answers: dict[str, list[Any]] = {side: [] for side in SIDES}
    for index in range(N):
        for side in SIDES:
            value: dict[str, Any] = {
                "id": f"id-{rng.integers(1e6)}",
                "total": index + round(float(rng.normal(0, 0.001)), 6),
                "tags": ["a", "b"],
                "items": [{"price": 1}],
            }
            change = rng.random()
            if side.startswith("candidate"):
                value |= {"new": 1} if change < 0.1 else {}
                value |= {"tags": ["b", "a"]} if 0.1 < change < 0.3 else {}
            value |= {"items": [{"price": "1"}]} if change > 0.97 else {}
            answers[side].append(value)
    return answers


PATHS = {"$.id": {"pattern": "id-[0-9]+"}, "$.total": {"max_absolute": 0.1}}


def test_json_differs_by_path_and_kind(run: Run) -> None:
    answers = documents(np.random.default_rng(4))
    texts = {
        side: [json.dumps(one, sort_keys=True, separators=(",", ":")) for one in values]
        for side, values in answers.items()
    }

    def ways(a: dict[str, Any], b: dict[str, Any]) -> set[tuple[str, str]]:
        known = {
            ("$.new", "extra"): "new" in b and "new" not in a,
            ("$.new", "missing"): "new" in a and "new" not in b,
            ("$.tags", "order"): a["tags"] != b["tags"],
            ("$.items[*].price", "type"): a["items"] != b["items"],
        }
        return {way for way, there in known.items() if there}

    found, rows = run("json", texts, {"paths": PATHS})
    check(found, rows, answers, lambda a, b: bool(ways(a, b)))
    counted = Counter(
        way for a, b in zip(answers["served"], answers["candidate"], strict=True) for way in ways(a, b)
    )
    assert found.differences is not None
    assert {(kind.path, kind.kind): kind.n for kind in found.differences.kinds} == dict(counted)
    itself = Counter(
        way
        for side in ("primary", "candidate")
        for index in range(0, N, 2)
        for way in ways(answers[side][index], answers[f"{side}_again"][index])
    )
    for kind in found.differences.kinds:
        assert kind.share == pytest.approx(kind.n / N)
        assert kind.noise == pytest.approx(itself[(str(kind.path), kind.kind)] / 2 / (N // 2))
        assert 1 <= len(kind.cases) <= 3
        for case in kind.cases:
            index = int(case.request_id[1:])
            assert (kind.path, kind.kind) in ways(answers["served"][index], answers["candidate"][index])
    order = next(kind for kind in found.differences.kinds if kind.kind == "order")
    assert {(case.served, case.candidate) for case in order.cases} <= {('["a", "b"]', '["b", "a"]')}
    extra = next(kind for kind in found.differences.kinds if kind.kind == "extra")
    assert {(case.served, case.candidate) for case in extra.cases} == {(None, "1")}
    assert found.examples and all(example.served_output for example in found.examples)


def test_a_path_that_no_answer_has_is_refused_with_the_nearest(run: Run) -> None:
    texts = {side: ['{"items":[{"price":1}],"total":2}', "{}"] for side in SIDES}
    for wrong, near in (("$.totl", "$.total"), ("$.items[*].pice", "$.items[*].price")):
        with pytest.raises(UsageError) as caught:
            run("json", texts, {"paths": {wrong: {"ignore": True}}})
        assert f"disagreement.paths names {wrong}, which no answer has; did you mean {near}?" in str(
            caught.value
        )


def test_lists_of_numbers_differ_by_their_angle(run: Run) -> None:
    rng = np.random.default_rng(5)
    answers: dict[str, list[Any]] = {"served": rng.normal(0, 1, (N, 5)).round(3).tolist()}
    for side, spread in (
        ("primary", 0.2),
        ("primary_again", 0.2),
        ("candidate", 0.5),
        ("candidate_again", 0.5),
    ):
        answers[side] = (np.array(answers["served"]) + rng.normal(0, spread, (N, 5))).round(3).tolist()
    odd: list[Any] = [[1, 2], ["x"] * 5, {"a": 1}, [0.0] * 5, []]
    answers["candidate"][: len(odd)] = odd
    answers["served"][3] = [0.0] * 5
    texts = {side: [json.dumps(one) for one in values] for side, values in answers.items()}

    def is_vector(value: Any) -> bool:
        return isinstance(value, list) and not any(isinstance(each, str) for each in value)

    def differ(a: Any, b: Any) -> bool:
        if json.dumps(a) == json.dumps(b):
            return False
        if not is_vector(a) or not is_vector(b) or len(a) != len(b):
            return True
        return not any(a) or not any(b) or bool(cosine(a, b) > 0.05)

    found, rows = run("json", texts, {"distance": "cosine", "max_distance": 0.05})
    check(found, rows, answers, differ)
    assert rows["difference"].fillna("").tolist()[:5] == ["length", "type", "type", "", "length"]
    plain = slice(len(odd), None)
    assert rows["distance"].tolist()[plain] == pytest.approx(
        [cosine(a, b) for a, b in zip(answers["served"][plain], answers["candidate"][plain], strict=True)]
    )


DISTANCES = """
def words(a, b):
    return [abs(len(one.split()) - len(other.split())) for one, other in zip(a, b)]

def short(a, b): return [0.0]
def nan(a, b): return [float("nan")] * len(a)
def broken(a, b): raise KeyError("no such thing")
"""


@pytest.fixture
def distances(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "distances_of_a_test.py").write_text(DISTANCES)
    monkeypatch.syspath_prepend(str(tmp_path))


def texts(rng: np.random.Generator) -> dict[str, list[Any]]:
    return {side: [" ".join("x" * rng.integers(1, 5)) for _ in range(N)] for side in SIDES}


@pytest.mark.usefixtures("distances")
def test_any_task_differs_by_a_function_of_the_users_own(run: Run) -> None:
    answers = texts(np.random.default_rng(6))
    settings = {"distance": "distances_of_a_test:words", "max_distance": 1}
    found, rows = run("text", answers, settings)

    def distance(a: str, b: str) -> int:
        return abs(len(a.split()) - len(b.split()))

    check(found, rows, answers, lambda a, b: distance(a, b) > 1)
    pairs = zip(answers["served"], answers["candidate"], strict=True)
    assert rows["distance"].tolist() == [distance(a, b) for a, b in pairs]
    assert found.differences is not None
    assert re.fullmatch("[0-9a-f]{64}", found.differences.declared["sha256"])


@pytest.mark.usefixtures("distances")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("short", "gave 1 distances for"),
        ("nan", "gave NaN for"),
        ("broken", "no such thing"),
        ("absent", "cannot be loaded: AttributeError"),
    ],
)
def test_a_function_that_fails_is_named(run: Run, name: str, message: str) -> None:
    answers = texts(np.random.default_rng(6))
    with pytest.raises(UsageError, match=f"distances_of_a_test:{name}") as caught:
        run("text", answers, {"distance": f"distances_of_a_test:{name}", "max_distance": 1})
    assert message in str(caught.value)


def test_a_label_never_seen_and_a_score_out_of_range_are_kinds_of_their_own(run: Run) -> None:
    labels = {side: ["a", "b", "a", "a", "a", "c"] for side in SIDES}
    labels["candidate"] = ["b", "b", "strange", "a", "a", "a"]
    inside, outside = [0.5, 0.3, 0.2], [1.5, -0.3, -0.2]
    more = {
        f"{side}_scores": pd.Series([inside] * 6, dtype=object)
        for side in ("served", "primary", "primary_again")
    }
    more["candidate_scores"] = pd.Series([inside] * 3 + [outside] * 3, dtype=object)
    more["candidate_again_scores"] = more["candidate_scores"]
    found, rows = run("multiclass", labels, field="label", more=more, classes=("a", "b", "c"))
    assert rows["difference"].fillna("").tolist() == [
        "label",
        "",
        "label",
        "score_range",
        "score_range",
        "label",
    ]
    assert found.differences is not None
    assert [(kind.kind, kind.n) for kind in found.differences.kinds] == [
        ("label", 2),
        ("score_range", 2),
        ("unseen_label", 1),
    ]
    assert found.disagreement.flips == 5
    assert [(flip.primary, flip.candidate) for flip in found.flips if flip.primary != flip.candidate] == [
        ("a", "b"),
        ("a", "strange"),
        ("c", "a"),
    ]
    # Both of the candidate's runs are out of range: it does not differ from itself.
    assert rows["noise"].tolist()[4] == 0


def test_every_figure_is_weighted_where_the_log_was_sampled(run: Run) -> None:
    answers = numbers(np.random.default_rng(8))
    weight = np.random.default_rng(9).choice([1.0, 4.0, 20.0], N)
    found, rows = run("regression", answers, {"max_absolute": 0.5}, more={"weight": weight})
    flips = rows["disagrees"].to_numpy(float)
    assert found.disagreement.rate == pytest.approx(np.average(flips, weights=weight))
    noise = rows["noise"].notna().to_numpy()
    drawn = weight / 0.5
    assert found.disagreement.noise == pytest.approx(np.average(rows["noise"][noise], weights=drawn[noise]))
    assert found.differences is not None
    for kind in found.differences.kinds:
        assert kind.share == pytest.approx(np.average(rows["difference"] == kind.kind, weights=weight))
    distance = found.differences.distances[0]
    gap = np.abs(np.array(answers["served"]) - np.array(answers["candidate"]))
    finite = np.isfinite(gap)
    assert distance.mean == pytest.approx(np.average(gap[finite], weights=weight[finite]))
    assert list(distance.quantiles.values()) == pytest.approx(
        np.quantile(
            gap[finite],
            [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99],
            weights=weight[finite],
            method="inverted_cdf",
        )
    )


def test_the_excess_has_its_interval_and_its_verdict_for_any_task(run: Run) -> None:
    rng = np.random.default_rng(10)
    n = 30_000
    value = rng.normal(100, 10, n)
    noisy = {side: value * (1 + 0.004 * rng.normal(0, 1, n)) for side in SIDES}
    worse = rng.random(n) < 0.2
    for side in ("candidate", "candidate_again"):
        noisy[side] = noisy[side] + 10 * worse
    more = {"ts": START + pd.to_timedelta(np.linspace(0, 20 * 86_400, n), unit="s")}
    found, rows = run("regression", {side: list(values) for side, values in noisy.items()}, more=more)
    figure = found.disagreement
    assert figure.noise is not None and 0.05 < figure.noise < 0.1
    assert figure.days == 20
    sums = rows.assign(
        day=(rows["ts"] - START) // pd.Timedelta(days=1),
        f=(rows["noise"].fillna(0) + rows["skew"].fillna(0)) / 0.5,
    )
    days = sums.groupby("day").agg(flags=("disagrees", "sum"), rows=("disagrees", "count"), f=("f", "sum"))
    days = days.iloc[: figure.days]  # the last row begins another day
    [bounds] = rule_bounds(DayCriterion.excess(0.05), days["flags"] - days["f"], days["rows"])
    assert (figure.excess_low, figure.excess_high) == (pytest.approx(bounds.low), pytest.approx(bounds.high))
    assert figure.excess_low is not None and 0.1 < figure.excess_low < 0.25
    verdict = judge(found, default_policy(has_primary_model=True))
    assert verdict.verdict == "REJECT"
    assert verdict.criteria[0].name == "disagreement"


DOCS = Path(__file__).parents[2] / "docs" / "disagreement.md"


def test_the_settings_in_the_docs_are_taken() -> None:
    blocks = re.findall(r"```toml\n(.*?)```", DOCS.read_text(), re.S)
    tables = [tomllib.loads(block)["disagreement"] for block in blocks]
    settings = [from_mapping(Differing, table, "disagreement") for table in tables]
    assert {name for one in settings for name in one.declared} == set(Differing.__struct_fields__)
    assert {
        name for one in settings for matcher in one.declared.get("paths", {}).values() for name in matcher
    } == set(Matcher.__struct_fields__)


def test_a_verdict_is_for_these_rules_alone() -> None:
    policy, labels = default_policy(has_primary_model=True), LabelSettings()
    declared = from_mapping(Differing, {"max_absolute": 1}, "disagreement").declared
    assert declared == {"max_absolute": 1.0}
    assert policy_digest(policy, labels, declared) != policy_digest(policy, labels)
    assert policy_digest(policy, labels, {}) == policy_digest(policy, labels)
    assert policy_rules(policy, labels, declared)["disagreement"] == declared
    assert from_mapping(Differing, {}, "disagreement").declared == {}


@pytest.mark.parametrize(
    ("task", "table", "message"),
    [
        ("binary", {"max_absolute": 1}, "it is of a regression task, and this is a binary one"),
        ("regression", {"top_k": 3}, "which takes max_absolute, max_relative, distance"),
        ("json", {"normalise": ["case"]}, "it is of a text task"),
        ("regression", {"distance": "cosine", "max_distance": 1}, "cosine is of lists of numbers"),
        (
            "json",
            {"distance": "cosine", "max_distance": 1, "paths": {"$": {"ignore": True}}},
            "decides alone",
        ),
        ("text", {"distance": "words"}, "a function as module:callable"),
        ("text", {"distance": "a:b"}, "name `max_distance` too"),
        ("text", {"max_distance": 1}, "it is of a `distance`"),
        ("text", {"normalize": []}, "did you mean `normalise`?"),
    ],
)
def test_what_does_not_fit_the_task_is_refused(task: Any, table: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        from_mapping(Differing, table, "disagreement").check_task(task, "disagreement")
    assert message in str(caught.value)
