"""Everything that labels say, and what is said before they come: the second reading, apart from divergence."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from gnomon_replay.settings import Experiment

from gnomon_diff.comparison import Correctness, Cutoff, Rate
from gnomon_diff.correctness import ask_correctness
from gnomon_diff.daysums import DaySums
from gnomon_diff.labelcoverage import ask_coverage
from gnomon_diff.labelledsums import SumsByDay, rate_of, settled_days
from gnomon_diff.measures import ask_measures
from gnomon_diff.questions import Questions
from gnomon_diff.quoting import literal
from gnomon_diff.reliability import ask_reliability
from gnomon_diff.scores import ask_cutoff_costs
from gnomon_diff.segmenting import Split
from gnomon_diff.settings import LabelSettings
from gnomon_diff.window import Window, epoch_us

_MORE = {
    "multiclass": ", served_scores AS ps, candidate_scores AS cs",
    "regression": ", pair.request_id, labels.value",
}
_NO_RIGHT_OR_WRONG = "a number is more or less off, not right or wrong"


def ask_truth(
    questions: Questions,
    experiment: Experiment,
    labels: LabelSettings,
    window: Window,
    sums: DaySums,
    splits: Sequence[Split],
    cutoffs: Sequence[Cutoff],
    *,
    weighted: bool,
) -> tuple[Correctness | None, list[Cutoff]]:
    """Who is right, None where no label was ever loaded; and the cut-offs with what each costs, where that is declared."""
    [loaded] = questions.ask("loaded").to_pylist()
    if not loaded["labels"]:
        return None, list(cutoffs)
    questions.keep("labelled", "labelled", more=_MORE.get(experiment.task, ""))
    which = settled_days(sums, window, labels, loaded["last_load"])
    settled = sums.days[which]
    coverage = ask_coverage(questions, labels, settled, splits, loaded["last_load"])
    measures = ask_measures(questions, experiment, settled, labels.cost, weighted=weighted)
    if experiment.task == "regression":
        none = Rate(n=0, rate=None, low=None, high=None, days=len(settled), reason=_NO_RIGHT_OR_WRONG)
        found = Correctness(
            n=coverage.n,
            labelled=coverage.labelled,
            last_load=loaded["last_load"],
            primary=none,
            candidate=none,
            difference=none,
            both=0,
            only_primary=0,
            only_candidate=0,
            neither=0,
            scored=0,
            log_loss_primary=None,
            log_loss_candidate=None,
            brier_primary=None,
            brier_candidate=None,
            measures=measures,
            coverage=coverage,
        )
        return found, list(cutoffs)
    wins = SumsByDay(questions.ask("wins"), settled)
    n, candidate = round(wins["n"].total), round(wins["candidate"].total)
    binary = experiment.task == "binary"
    found = msgspec.structs.replace(
        ask_correctness(questions, sums, which, experiment.positive_label),
        wins=rate_of(
            candidate, n, wins["candidate_weight"], wins["weight"], missing="no disagreement has a label"
        ),
        wins_primary=round(wins["primary"].total),
        measures=measures,
        reliability=ask_reliability(questions, experiment.positive_label, settled) if binary else [],
        cost=None if labels.cost is None else (labels.cost.false_positive, labels.cost.false_negative),
        coverage=coverage,
    )
    if binary and labels.cost is not None and cutoffs:
        return found, ask_cutoff_costs(questions, experiment.positive_label, labels.cost, cutoffs)
    return found, list(cutoffs)


def about_labels(questions: Questions, window: Window, labels: LabelSettings) -> None:
    """Sets what every question about labels needs: where days begin, and the answer that ends a request.

    The latest label of each request is found once, not by every question.
    """
    questions.keep_view("labels")
    questions.about(
        start_us=str(epoch_us(window.start)),
        never="NULL" if labels.never is None else literal(labels.never.canonical),
    )
