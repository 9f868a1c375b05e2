"""How did the scores move? Joint density, differences, cut-offs."""

from __future__ import annotations

from gnomon_diff.comparison import Cutoff, ScoreMove

from gnomon_reports.charts.cutoffs import cutoffs_chart
from gnomon_reports.charts.delta import bins, delta_chart, signed
from gnomon_reports.charts.joint import coarse, joint_chart
from gnomon_reports.figure import Figure, Section, grid, num
from gnomon_reports.markup import Content, a, group, plain, say, strong
from gnomon_reports.numerals import MINUS, PLAIN, about, count, many, quote, share
from gnomon_reports.run import Run
from gnomon_reports.sections.differences import distances_answer, distances_figure
from gnomon_reports.sections.traffic import paired_figure
from gnomon_reports.sentences import data_state

_SEVERAL = "Probabilities of several classes are not compared one by one; [disagreement] can name a distance."
_EMPTY = "No scores: this task has none, or the models gave none."


def scores_section(run: Run) -> Section:
    scores = run.comparison.scores
    if run.comparison.subject.task != "binary":
        return _distances(run)
    if scores is None or scores.n == 0:
        labels = paired_figure(run)
        return Section(
            "scores",
            "Scores",
            "How did the scores move?",
            [_EMPTY],
            () if labels is None else (labels,),
            data_state(run) or _EMPTY,
        )
    figures = [
        figure
        for figure in (_joint(run, scores), _delta(run, scores), _cutoffs(run, scores), paired_figure(run))
        if figure is not None
    ]
    return Section("scores", "Scores", "How did the scores move?", _answer(run, scores), figures)


def _distances(run: Run) -> Section:
    """Of any task but binary: the answers themselves are as far apart as this."""
    question, figure = "How far apart are they?", distances_figure(run)
    found = run.comparison.differences
    if figure is None or found is None:
        several = run.comparison.subject.task == "multiclass"
        nothing = _SEVERAL if several else "This task has no distance; [disagreement] can name one."
        return Section("scores", "Distance", question, ["Not measured."], (), data_state(run) or nothing)
    answer = [distances_answer(one) for one in found.distances]
    return Section("scores", "Distance", question, answer, [figure])


def score(number: float | None, *, sign: bool = False) -> str:
    """Scores have three decimals at most; a difference has its sign."""
    if number is None:
        return "n/a"
    text = f"{number:+.3f}" if sign else f"{number:.3f}"
    text = text.rstrip("0").rstrip(".")
    return "0" if text in ("+0", "-0", "0") else text.replace("-", MINUS)


def psi(scores: ScoreMove) -> Content:
    found = quote(PLAIN, scores.psi, scores.psi_low, scores.psi_high)
    return group(a("PSI", href="#def-psi"), f" {found.number}{found.bracket or ', no interval'}")


def _answer(run: Run, scores: ScoreMove) -> list[Content]:
    low, high = scores.quantiles.get("p25"), scores.quantiles.get("p75")
    answer: list[Content] = [
        say(
            "{half} On average by {mean}, over {n}, counted; {psi}.",
            half=strong(f"Half of the scores moved by {score(low, sign=True)} to {score(high, sign=True)}."),
            mean=score(scores.mean_abs),
            n=many(scores.n, "pair"),
            psi=psi(scores),
        )
    ]
    if scores.out_of_range:
        answer.append(
            say("{n} of {name} lie outside 0 to 1.", n=many(scores.out_of_range, "score"), name=run.candidate)
        )
    cutoffs, used = run.comparison.cutoffs, run.cutoff_in_use
    if cutoffs and used is not None:
        near = [row for row in cutoffs if abs(row.cutoff - used) <= 0.2001]
        here = min(near, key=lambda row: abs(row.cutoff - used))
        best = min(near, key=lambda row: row.flips)
        answer.append(
            f"At the cut-off in use, {used:.2f}, {share(here.flips, scores.n)} flip; "
            f"at another one for both, within 0.2 of it, at the least {share(best.flips, scores.n)} ({best.cutoff:.2f})."
        )
        if here.equal_cutoff is not None and here.equal_flips is not None:
            answer.append(
                say(
                    "Acting as often as {primary}, {candidate} is cut at {cutoff}; {flips} flip even so.",
                    primary=run.primary,
                    candidate=run.candidate,
                    cutoff=f"{here.equal_cutoff:.2f}",
                    flips=share(here.equal_flips, scores.n),
                )
            )
    return answer


def _joint(run: Run, scores: ScoreMove) -> Figure | None:
    if not any(map(any, scores.joint)):
        return None
    small = coarse(scores.joint, 10)
    step = 1 / len(small)
    heads = [num(f"{index * step:.1f} to {(index + 1) * step:.1f}") for index in range(len(small))]
    rows: list[list[Content]] = [
        [f"{index * step:.1f} to {(index + 1) * step:.1f}", *(count(n) if n else "" for n in row)]
        for index, row in enumerate(small)
    ]
    cutoff = f"; lines: cut-off in use, {run.cutoff_in_use:.2f}" if run.cutoff_in_use is not None else ""
    title = "Score against score"
    return Figure(
        "scores-joint",
        title,
        f"pairs by score, a shade darker by equal factors{cutoff}",
        joint_chart(
            "scores-joint",
            plain(group(title, ": ", run.primary, " across, ", run.candidate, f" up, n {about(scores.n)}")),
            run,
            scores.joint,
        ),
        foot=[f"n {count(scores.n)}", "counted, so no interval"],
        data=grid(
            "Pairs by score: the primary's in rows, the candidate's in columns",
            [say("{name}, from", name=run.primary), *heads],
            rows,
        ),
        width=6,
        wide=4,
    )


def _delta(run: Run, scores: ScoreMove) -> Figure | None:
    if not any(scores.delta.counts):
        return None
    key = [
        f"{name.replace('p0', 'p')} {signed(scores.quantiles[name])}"
        for name in ("p01", "p50", "p99")
        if name in scores.quantiles
    ]
    rows: list[list[Content]] = [
        [f"{score(low, sign=True)} to {score(above, sign=True)}", count(n)]
        for low, above, n in bins(scores.delta)
    ]
    title = say("Score of {candidate} minus score of {primary}", candidate=run.candidate, primary=run.primary)
    return Figure(
        "scores-delta",
        title,
        "pairs by difference, logarithmic",
        delta_chart(
            "scores-delta", plain(group(title, f": {', '.join(key)}, n {about(scores.n)}")), run, scores.delta
        ),
        foot=[f"n {count(scores.n)}", *key],
        data=grid("Pairs by score difference", ["difference", num("pairs")], rows),
        wide=4,
        stacked=True,
    )


def _cutoffs(run: Run, scores: ScoreMove) -> Figure | None:
    rows = sorted(run.comparison.cutoffs, key=lambda row: row.cutoff)
    if len(rows) < 2:
        return None
    title = "What another cut-off would do"
    return Figure(
        "scores-cutoffs",
        title,
        "share of requests that each would act on, and answers that flip, if both were cut there",
        cutoffs_chart("scores-cutoffs", plain(group(title, f", n {about(scores.n)}")), run, rows, scores.n),
        foot=[f"n {count(scores.n)}", "counted, so no interval"],
        data=_cutoff_table(run, rows, scores.n),
        wide=4,
        stacked=True,
    )


def _cutoff_table(run: Run, rows: list[Cutoff], n: int) -> Content:
    """At every tenth, and the one in use."""
    used = run.cutoff_in_use
    kept = [row for row in rows if abs(row.cutoff * 10 - round(row.cutoff * 10)) < 1e-6 or row.cutoff == used]
    return grid(
        "Actions and flips by cut-off",
        [
            "cut-off",
            num(run.primary),
            num(run.candidate),
            num("flips"),
            num(group(run.candidate, ", cut at")),
            num("for an equal action rate"),
            num("flips then"),
        ],
        [
            [
                f"{row.cutoff:.2f}" + (" in use" if row.cutoff == used else ""),
                share(row.primary_actions, n),
                share(row.candidate_actions, n),
                share(row.flips, n),
                *_equal(row, n),
            ]
            for row in kept or rows[:: max(1, len(rows) // 10)]
        ],
    )


def _equal(row: Cutoff, n: int) -> list[Content]:
    """Where the candidate acts as often as the primary does at this cut-off, and what differs even so."""
    if row.equal_cutoff is None or row.equal_actions is None or row.equal_flips is None:
        return ["n/a", "n/a", "n/a"]
    return [f"{row.equal_cutoff:.2f}", share(row.equal_actions, n), share(row.equal_flips, n)]
