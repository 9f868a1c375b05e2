"""The bodies of answers, as what each row was served.

`predictions` (V1, MLflow, Databricks, SageMaker's own algorithms), `outputs` (V2), a list, or one value. A bare
value is what `prediction` says; an integer, a boolean or text is a label if it says nothing, and another
number has to be named, since 0.83 may be a probability or the answer of a regression.
"""

from __future__ import annotations

from typing import Any

from gnomon_capture.errors import UsageError
from gnomon_capture.record import Served

from gnomon_replay.importing.bodies import is_scalar, is_tensors, tensor_rows
from gnomon_replay.importing.settings import ImportSettings
from gnomon_replay.importing.skips import SkipError

_LABELS = ("label", "predicted_label")  # the second is that of SageMaker's Linear Learner


class Answers:
    """Reads the answers of one log."""

    def __init__(self, settings: ImportSettings) -> None:
        self._settings = settings
        self._label_keys = (settings.label,) if settings.label else _LABELS
        self._score_key = settings.score or "score"
        self._version = constant(settings.version)

    def of_body(self, body: Any, count: int) -> list[dict[str, Any]]:
        """The fields of `Served` for each of `count` rows.

        Raises:
            SkipError: there are not as many answers as rows, or one is none.
            UsageError: what a bare number is has to be said first.
        """
        common = {}
        if isinstance(body, dict):
            if isinstance(body.get("model_version"), str):
                common["version"] = body["model_version"]
            body = _answers(body)
        rows = body if isinstance(body, list) and (count > 1 or len(body) == 1) else [body]
        if len(rows) != count:
            raise SkipError("answer", f"{len(rows)} answers for {count} rows")
        return [{**common, **self.of_value(row)} for row in rows]

    def of_value(self, value: Any) -> dict[str, Any]:
        """The fields of `Served` for one answer."""
        fields: dict[str, Any] = {} if self._version is None else {"version": self._version}
        if isinstance(value, dict):
            label = next((value[key] for key in self._label_keys if key in value), None)
            score = value.get(self._score_key)
            if label is None and score is None:
                fields["output"] = value
            else:
                fields |= self.label_and_score(label, score)
        elif value is None:
            raise SkipError("answer", "an answer that is null")
        else:
            fields |= self._bare(value)
        return fields

    def label_and_score(self, label: Any, score: Any) -> dict[str, Any]:
        """As served; the label by the cutoff, where only a score was logged."""
        fields: dict[str, Any] = {}
        if score is not None:
            fields["score"] = _number(score)
        if label is not None:
            if not is_scalar(label):
                raise SkipError("answer", f"{label!r:.60} is no label")
            fields["label"] = label
        elif score is not None and self._settings.cutoff is not None:
            fields["label"] = self._settings.classes[fields["score"] > self._settings.cutoff]
        return fields

    def _bare(self, value: Any) -> dict[str, Any]:
        kind = self._settings.prediction
        if isinstance(value, list) and len(value) == 1 and kind in (None, "label", "score"):
            return self._bare(value[0])
        if kind is None:
            if isinstance(value, float) and not value.is_integer():
                raise UsageError(
                    f"an answer is {value!r}: say what it is by --prediction score (with --cutoff and --classes, if "
                    "users were given a label), or --prediction label"
                )
            if isinstance(value, list):
                raise UsageError(
                    f"an answer is {value!r:.60}: say what it is by --prediction scores (with --classes), "
                    "or --prediction output"
                )
            kind = "label"
        if kind == "output":
            return {"output": value}
        if kind == "scores":
            return self._scores(value)
        if not is_scalar(value):
            raise SkipError("answer", f"{value!r:.60} is no {kind}")
        return self.label_and_score(value, None) if kind == "label" else self.label_and_score(None, value)

    def _scores(self, value: Any) -> dict[str, Any]:
        classes = self._settings.classes
        if not isinstance(value, list) or len(value) != len(classes):
            raise SkipError(
                "answer", f"{value!r:.60} are not the scores of {len(classes)} classes (--classes)"
            )
        scores = [_number(score) for score in value]
        label = classes[scores.index(max(scores))]
        return (
            {"label": label, "score": scores[1]} if len(scores) == 2 else {"label": label, "scores": scores}
        )


def constant(column: str | None) -> str | None:
    """What `=text` stands for; None if a column is meant."""
    return column[1:] if column is not None and column.startswith("=") else None


def served(fields: dict[str, Any], *, latency_us: int | None, error: str | None) -> Served:
    """What users got."""
    return Served(**fields, latency_us=latency_us, error=error)


def _answers(body: dict[str, Any]) -> Any:
    """What stands for the rows in an answer's object."""
    if is_tensors(body.get("outputs")):
        tensors = {str(tensor["name"]): tensor_rows(tensor) for tensor in body["outputs"]}
        if len(tensors) == 1:
            [values] = tensors.values()
            return values
        if len({len(values) for values in tensors.values()}) != 1:
            raise SkipError("answer", "outputs of different lengths")
        return [dict(zip(tensors, row, strict=True)) for row in zip(*tensors.values(), strict=True)]
    for key in ("predictions", "outputs"):
        if key in body:
            answers = body[key]
            if isinstance(answers, dict) and answers and all(isinstance(v, list) for v in answers.values()):
                return [dict(zip(answers, row, strict=False)) for row in zip(*answers.values(), strict=False)]
            return answers
    return body


def _number(value: Any) -> float:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    try:
        if isinstance(value, (int, float, str)) and not isinstance(value, bool):
            return float(value)
    except ValueError:
        pass
    raise SkipError("answer", f"{value!r:.60} is no score")
