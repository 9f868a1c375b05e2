"""Accuracy before there are labels, from the scores alone: an estimate, which no criterion judges.

If a score is a true chance, then the model that gave it is right with that chance: its expected accuracy is the mean
chance of the labels it gave. That is NannyML's CBPE, confidence-based performance estimation (arXiv 2401.08348), with the
scores taken for calibrated as they are. It stands and falls with that, so it is given by
either model's scores; where these two disagree about who is better, the scores do not know.
"""

from __future__ import annotations

from gnomon_replay.settings import Experiment

from gnomon_diff.comparison import EstimatedAccuracy
from gnomon_diff.questions import Questions
from gnomon_diff.quoting import literal

NO_INTERVAL = "its error is that of the scores' calibration, which cannot be known without labels"


def ask_estimated_accuracy(questions: Questions, experiment: Experiment) -> EstimatedAccuracy | None:
    """Expected accuracies of both models; None where the task has no chances, or no pair has them."""
    if experiment.task == "binary":
        positive = literal(experiment.positive_label)
        chance = f"CASE WHEN {{answer}}_label = {positive} THEN {{by}}_score ELSE 1 - {{by}}_score END"
    elif experiment.task == "multiclass":
        names = f"[{', '.join(map(literal, experiment.class_labels))}]"
        chance = f"{{by}}_scores[list_position({names}, {{answer}}_label)]"
    else:
        return None
    sides = {"primary": "served", "candidate": "candidate"}
    parts = {
        f"{of}_by_{by}": chance.replace("{answer}", sides[of]).replace("{by}", sides[by])
        for of in sides
        for by in sides
    }
    [row] = questions.ask("estimated_accuracy", **parts).to_pylist()
    if not row["n"]:
        return None
    by_primary, by_candidate = (
        (row[f"primary_by_{by}"] / row["weight"], row[f"candidate_by_{by}"] / row["weight"]) for by in sides
    )
    return EstimatedAccuracy(n=row["n"], by_primary=by_primary, by_candidate=by_candidate, reason=NO_INTERVAL)
