"""When two answers differ: one rule a log, by its task, written as SQL.

The same rule tells served from candidate, a model from itself (noise), and served from primary (skew). An answer
is a function from a field of `pairs.OUTPUT` to the SQL of it. Both answers have to be there: no error, and the
field that the task asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gnomon_replay.settings import Experiment, Task

from gnomon_diff.differing import Differing
from gnomon_diff.quoting import literal, number

Answer = Callable[[str], str]
LABEL_TASKS = ("binary", "multiclass", "text")
MAX_RELATIVE, TOP_K, MIN_OVERLAP = 0.01, 10, 1.0
NORMALISE = ("case", "space", "punctuation")

JSON_FUNCTION, DISTANCE_FUNCTION = "gnomon_json_differences", "gnomon_distance"


@dataclass(frozen=True)
class Measure:
    """A number that says how far apart two answers are; `column` is the view's, `name` is for people."""

    column: str
    name: str
    sql: Callable[[Answer, Answer], str]


@dataclass(frozen=True)
class Rule:
    """When two answers differ. May be shared between threads.

    Attributes:
        task: of the experiment.
        settings: `[disagreement]`.
        classes: declared labels, in canonical form.
        folder: where a `module:callable` is looked for first.
    """

    task: Task = "binary"
    settings: Differing = field(default_factory=Differing)
    classes: tuple[str, ...] = ()
    folder: Path | None = None

    @classmethod
    def of(
        cls, experiment: Experiment, settings: Differing | None = None, folder: Path | None = None
    ) -> Rule:
        """The rule of an experiment."""
        return cls(experiment.task, settings or Differing(), experiment.class_labels, folder)

    @property
    def answer_field(self) -> str:
        """The field without which an answer is none."""
        if self.task in LABEL_TASKS:
            return "label"
        return "score" if self.task == "regression" else "output"

    @property
    def by_path(self) -> bool:
        """Whether differences have paths."""
        return self.task == "json" and self.settings.distance is None

    @property
    def in_python(self) -> bool:
        """Whether DuckDB asks Python about each pair of answers that are not equal as they stand."""
        return self.by_path or self.settings.callable is not None

    @property
    def has_matrix(self) -> bool:
        """Whether answers are labels of which there are few."""
        return self.task in ("binary", "multiclass") and self.settings.distance is None

    def differ(self, a: Answer, b: Answer) -> str:
        """BOOLEAN: they differ; NULL where either is no answer."""
        if self.by_path:
            return f"len({self.differences(a, b)}) > 0"
        return self._where_answered(a, b, " OR ".join(condition for _, condition in self._kinds(a, b)))

    def kind(self, a: Answer, b: Answer) -> str:
        """VARCHAR: the kind of their first difference; NULL where there is none."""
        if self.by_path:
            return f"({self.differences(a, b)})[1].kind"
        cases = " ".join(f"WHEN {condition} THEN {literal(name)}" for name, condition in self._kinds(a, b))
        return self._where_answered(a, b, f"CASE {cases} END")

    def differences(self, a: Answer, b: Answer) -> str:
        """STRUCT(path VARCHAR, kind VARCHAR)[]: each path and kind once; of JSON by path alone."""
        one, other = a("output"), b("output")
        return f"CASE WHEN {one} = {other} THEN [] WHEN {one} <> {other} THEN {JSON_FUNCTION}({one}, {other}) END"

    def measures(self) -> list[Measure]:
        """What is measured beside differing or not."""
        if self.settings.distance == "cosine":
            return [
                Measure("distance", "cosine distance", lambda a, b: self._where_answered(a, b, _cosine(a, b)))
            ]
        if self.settings.callable is not None:
            return [Measure("distance", f"distance by {self.settings.callable}", self._called)]
        if self.task == "regression":
            return [
                Measure(
                    "distance", "absolute difference", lambda a, b: self._where_answered(a, b, _gap(a, b))
                ),
                Measure(
                    "relative_distance",
                    "difference relative to the larger value",
                    lambda a, b: self._where_answered(a, b, _relative_gap(a, b)),
                ),
            ]
        if self.task == "ranking":
            return [
                Measure(
                    "overlap",
                    f"overlap of the first {self._top_k}",
                    lambda a, b: self._where_answered(a, b, self._overlap(a, b)),
                ),
                Measure(
                    "rank_correlation",
                    f"Spearman's rank correlation of the ids that both have in their first {self._top_k}",
                    lambda a, b: self._where_answered(a, b, _spearman(self._top(a), self._top(b))),
                ),
            ]
        return []

    @property
    def stratum(self) -> str:
        """VARCHAR over the view: by what examples are drawn, an equal share of each."""
        if self.by_path:
            return "(differences)[1].kind || ' ' || (differences)[1].path"
        if self.has_matrix:
            return (
                "CASE difference WHEN 'score_range' THEN 'score out of range' "
                "ELSE served_label || ' → ' || candidate_label END"
            )
        return "difference"

    @property
    def words(self) -> str:
        """When two answers differ, as the rest of a sentence."""
        chosen = self.settings
        if chosen.distance is not None:
            return f"their {self.measures()[0].name} is over {chosen.max_distance:g}"
        if self.task == "regression":
            bounds = self._tolerances()
            parts = [f"{bounds['absolute']:g}"] if "absolute" in bounds else []
            if "relative" in bounds:
                parts.append(f"{100 * bounds['relative']:g} % of the larger one")
            return f"the values are further apart than {' and than '.join(parts)}"
        if self.task == "ranking":
            share = self._min_overlap
            if share == 1:
                return f"their first {self._top_k} are not the same ids"
            return f"they share less than {100 * share:g} % of their first {self._top_k} ids"
        if self.task == "text":
            alike = self._normalise
            return f"the texts are not the same{', ' + ' and '.join(alike) + ' aside' if alike else ''}"
        if self.task == "json":
            matched = len(chosen.paths)
            aside = (
                f", with {matched} {'matcher' if matched == 1 else 'matchers'} declared" if matched else ""
            )
            return f"anything does at any path of them{aside}"
        return "their labels do, or one score alone is out of its range"

    @property
    def declared(self) -> Mapping[str, Any]:
        """What `[disagreement]` sets, a callable by its source as well: part of what a verdict is for."""
        return self.settings.declared

    def _kinds(self, a: Answer, b: Answer) -> list[tuple[str, str]]:
        """The kinds of difference with the condition of each, which is not NULL where both answered."""
        limit = number(self.settings.max_distance or 0.0)
        if self.settings.callable is not None:
            return [("distance", f"{self._called(a, b)} > {limit}")]
        if self.settings.distance == "cosine":
            one, other = _vector(a), _vector(b)
            return [
                (
                    "type",
                    f"({one} IS NULL) <> ({other} IS NULL) OR ({one} IS NULL AND {a('output')} <> {b('output')})",
                ),
                ("length", f"coalesce(len({one}) <> len({other}), false)"),
                ("distance", f"coalesce({_cosine(a, b)} > {limit}, false)"),
            ]
        if self.task == "regression":
            return self._values_differ(a, b)
        if self.task == "ranking":
            return [("items", f"{self._overlap(a, b)} < {number(self._min_overlap - 1e-9)}")]
        if self.task == "text":
            return [("text", f"{self._normalised(a)} <> {self._normalised(b)}")]
        out = _any_out if self.task == "multiclass" else _out
        return [("label", f"{a('label')} <> {b('label')}"), ("score_range", f"{out(a)} <> {out(b)}")]

    def _values_differ(self, a: Answer, b: Answer) -> list[tuple[str, str]]:
        one, other = a("score"), b("score")
        gap, bounds = _gap(a, b), self._tolerances()
        within = []
        if "absolute" in bounds:
            within.append(f"{gap} <= {number(bounds['absolute'])}")
        if "relative" in bounds:
            within.append(f"{gap} <= {number(bounds['relative'])} * greatest(abs({one}), abs({other}))")
        return [
            ("not_finite", f"({gap} IS NULL AND {one} IS DISTINCT FROM {other})"),
            ("value", f"NOT coalesce({' OR '.join(within)}, true)"),
        ]

    def _tolerances(self) -> dict[str, float]:
        chosen = {"absolute": self.settings.max_absolute, "relative": self.settings.max_relative}
        given = {name: value for name, value in chosen.items() if value is not None}
        return given or {"relative": MAX_RELATIVE}

    @property
    def _top_k(self) -> int:
        return self.settings.top_k or TOP_K

    @property
    def _min_overlap(self) -> float:
        return MIN_OVERLAP if self.settings.min_overlap is None else self.settings.min_overlap

    @property
    def _normalise(self) -> tuple[str, ...]:
        return NORMALISE if self.settings.normalise is None else self.settings.normalise

    def _top(self, answer: Answer) -> str:
        return f"json_extract_string({answer('output')}, '$[*]')[:{self._top_k}]"

    def _overlap(self, a: Answer, b: Answer) -> str:
        one, other = self._top(a), self._top(b)
        most = f"greatest(len(list_distinct({one})), len(list_distinct({other})))"
        return f"CASE WHEN {most} = 0 THEN 1e0 ELSE len(list_intersect({one}, {other})) / {most}::DOUBLE END"

    def _normalised(self, answer: Answer) -> str:
        text = f"nfc_normalize({answer('label')})"
        if "case" in self._normalise:
            text = f"lower({text})"
        if "punctuation" in self._normalise:
            text = rf"regexp_replace({text}, '\p{{P}}+', '', 'g')"
        if "space" in self._normalise:
            text = rf"trim(regexp_replace({text}, '[\s\p{{Z}}]+', ' ', 'g'))"
        return text

    def _called(self, a: Answer, b: Answer) -> str:
        one, other = a(self.answer_field), b(self.answer_field)
        called = f"CASE WHEN {one} = {other} THEN 0e0 WHEN {one} <> {other} THEN {DISTANCE_FUNCTION}({one}, {other}) END"
        return self._where_answered(a, b, called)

    def _where_answered(self, a: Answer, b: Answer, sql: str) -> str:
        there = " AND ".join(f"{side(self.answer_field)} IS NOT NULL" for side in (a, b))
        return f"CASE WHEN {there} THEN {sql} END"


def _out(answer: Answer) -> str:
    return f"coalesce(NOT {answer('score')} BETWEEN 0 AND 1, false)"


def _any_out(answer: Answer) -> str:
    scores = answer("scores")
    return f"coalesce(len(list_filter({scores}, lambda p: NOT p BETWEEN 0 AND 1)) > 0, false)"


def _gap(a: Answer, b: Answer) -> str:
    """|a - b|; NULL where one is not finite."""
    one, other = a("score"), b("score")
    return f"CASE WHEN isfinite({one}) AND isfinite({other}) THEN abs({one} - {other}) END"


def _relative_gap(a: Answer, b: Answer) -> str:
    larger = f"greatest(abs({a('score')}), abs({b('score')}))"
    return f"CASE WHEN {a('score')} = {b('score')} THEN 0e0 ELSE {_gap(a, b)} / {larger} END"


def _vector(answer: Answer) -> str:
    """A list of finite numbers; NULL where the output is something else."""
    read = f"try_cast({answer('output')}::JSON AS DOUBLE[])"
    return (
        f"CASE WHEN json_type({answer('output')}) = 'ARRAY'"
        f" AND len(list_filter({read}, lambda x: isfinite(x))) = json_array_length({answer('output')})"
        f" THEN {read} END"
    )


def _cosine(a: Answer, b: Answer) -> str:
    """1 - cosine of the angle; 0 between two zero vectors, 1 between a zero vector and another. NULL: no vectors
    of one length."""
    one, other = _vector(a), _vector(b)
    raw = f"list_cosine_distance({one}, {other})"
    same = f"CASE WHEN {one} = {other} THEN 0e0 WHEN isnan({raw}) THEN 1e0 ELSE {raw} END"
    return f"CASE WHEN len({one}) = len({other}) AND len({one}) > 0 THEN {same} WHEN len({one}) = len({other}) THEN 0e0 END"


def _spearman(a: str, b: str) -> str:
    """Spearman's rho of the positions of the ids that both lists have, an id where it stands first; NULL: fewer
    than two. Spearman 1904; without ties 1 - 6 sum d^2 / (n (n^2 - 1))."""
    one, other = (
        f"list_filter({mine}, lambda x, i: list_position({mine}, x) = i AND list_contains({theirs}, x))"
        for mine, theirs in ((a, b), (b, a))
    )
    squares = f"list_sum(list_transform({one}, lambda x, i: (i - list_position({other}, x)) * (i - list_position({other}, x))))"
    n = f"len({one})"
    return f"CASE WHEN {n} > 1 THEN 1 - 6 * {squares} / ({n} * ({n} * {n} - 1))::DOUBLE END"
