"""What a model answered, as the log has it: the one place where an experiment's task gives an answer its meaning.

Every kind of model ends here, whether a host or an endpoint asked it: labels and ids take their canonical form,
probabilities the order of the experiment's classes, and what is missing or not finite becomes an error.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from gnomon_capture.record import canonical_label

from gnomon_replay.columns import canonical_labels, canonical_output
from gnomon_replay.errors import ModelError
from gnomon_replay.hostprocess import HostError
from gnomon_replay.pairs import OUTPUT, UNFETCHED
from gnomon_replay.settings import Experiment, Model

Mask = npt.NDArray[np.bool_]
Matrix = npt.NDArray[np.float64]
_WHAT = {"regression": "value", "ranking": "output", "json": "output", "text": "label"}


class OutputReader:
    """Turns a model's columns (see `host.columns_of`) into rows of `pairs.OUTPUT`. Thread-safe."""

    def __init__(self, model: Model, experiment: Experiment) -> None:
        self._version = model.version
        self._task = experiment.task
        self._positive = experiment.positive_label
        self._classes = experiment.class_labels
        self._declared = tuple(canonical_label(each) or "" for each in model.classes)

    def refuse(self, classes: Sequence[Any]) -> None:
        """Makes sure that a model's own classes are the experiment's.

        Raises:
            ModelError: they are not.
        """
        mismatch = self._mismatch([canonical_label(each) for each in classes])
        if mismatch:
            raise ModelError(self._version, mismatch)

    def read(
        self, answers: pa.Table, classes: Sequence[Any] | None, latency_us: int | None = None
    ) -> pa.StructArray:
        """The answers as rows of the log.

        Args:
            answers: one row a request.
            classes: in the order of the column `probabilities`, as the model names them; None where it does not.

        Raises:
            HostError: an answer lacks what the task needs, or has it in another form.
        """
        count = answers.num_rows
        columns = {name: answers.column(name).combine_chunks() for name in answers.column_names}
        nothing = pa.nulls(count, pa.string())
        failed = columns.pop("failed", nothing)
        unfetched = columns.pop("unfetched", nothing)
        skipped = np.asarray(pc.is_valid(failed))
        meant = dict[str, pa.Array]()
        bad = np.zeros(count, bool)
        if not skipped.all():
            meant, bad = self._meant(columns, classes, skipped)
        wrong = skipped | bad
        told = _told(
            f"its {_WHAT.get(self._task, 'label or score')} is missing, NaN or infinite", bad, failed
        )
        children = {
            "version": pa.repeat(self._version, count),
            **meant,
            "latency_us": pa.nulls(count, pa.int64()) if latency_us is None else pa.repeat(latency_us, count),
            "error": pc.if_else(
                pa.array(skipped), "exception", pc.if_else(pa.array(bad), "nan_output", nothing)
            ),
            "message": pc.if_else(
                pa.array(wrong), told, pc.binary_join_element_wise(UNFETCHED, unfetched, "")
            ),
        }
        arrays = []
        for field in OUTPUT:
            column = children.get(field.name)
            column = pa.nulls(count, field.type) if column is None else column.cast(field.type)
            if field.name in ("label", "score", "scores", "output") and wrong.any():
                column = pc.if_else(pa.array(wrong), pa.scalar(None, field.type), column)
            arrays.append(column)
        return pa.StructArray.from_arrays(arrays, fields=list(OUTPUT))

    def _meant(
        self, columns: dict[str, pa.Array], classes: Sequence[Any] | None, skipped: Mask
    ) -> tuple[dict[str, pa.Array], Mask]:
        """The fields of OUTPUT that the task has, and which rows lack them."""
        if self._task == "regression":
            score = self._needed(columns, "score")
            return {"score": score}, _not_finite(score)
        if self._task in ("ranking", "json"):
            return self._outputs(self._needed(columns, "output"))
        if "probabilities" in columns:
            return self._classified(columns, classes, skipped)
        if self._task == "multiclass" and "scores" in columns:
            return self._scored(columns)
        label = canonical_labels(self._needed(columns, "label"))
        bad = np.asarray(pc.is_null(label))
        if self._task != "binary" or "score" not in columns:
            return {"label": label}, bad
        return {"label": label, "score": columns["score"]}, bad | _not_finite(columns["score"])

    def _needed(self, columns: dict[str, pa.Array], name: str) -> pa.Array:
        if name not in columns:
            raise HostError("wrong_type", f"an answer of a {self._task} model needs a `{name}`")
        return columns[name]

    def _outputs(self, texts: pa.Array) -> tuple[dict[str, pa.Array], Mask]:
        found: list[str | None] = []
        for text in texts.to_pylist():
            try:
                value = None if text is None else json.loads(text)
                found.append(None if value is None else canonical_output(self._task, value, finite=True))
            except (TypeError, RecursionError) as exc:
                raise HostError("wrong_type", str(exc)) from exc
            except ValueError:
                found.append(None)
        return {"output": pa.array(found, pa.string())}, np.array([each is None for each in found], bool)

    def _scored(self, columns: dict[str, pa.Array]) -> tuple[dict[str, pa.Array], Mask]:
        """Probabilities that stand in the order of the experiment's classes."""
        scores = columns["scores"]
        lengths = pc.fill_null(pc.list_value_length(scores), len(self._classes))
        if not pc.all(pc.equal(lengths, len(self._classes))).as_py():
            raise HostError(
                "wrong_type",
                f"`scores` needs {len(self._classes)} numbers, in the order of [experiment] classes",
            )
        rows = [[float("nan")] * len(self._classes) if row is None else row for row in scores.to_pylist()]
        matrix = np.array(rows, np.float64).reshape(len(scores), len(self._classes))
        label = _most_probable(matrix, self._classes)
        bad = _any_not_finite(matrix)
        if "label" in columns:
            label = canonical_labels(columns["label"])
            bad |= np.asarray(pc.is_null(label))
        return {"label": label, "scores": _lists(matrix)}, bad

    def _classified(
        self, columns: dict[str, pa.Array], classes: Sequence[Any] | None, skipped: Mask
    ) -> tuple[dict[str, pa.Array], Mask]:
        column = columns["probabilities"]
        count, width = len(column), column.type.list_size
        flat = pc.fill_null(column, [float("nan")] * width) if column.null_count else column
        matrix = np.asarray(flat.flatten(), np.float64).reshape(count, width)
        order = self._order(classes, width)
        if width == 1:  # P of the second of two classes
            matrix = np.concatenate([1 - matrix, matrix], axis=1)
        bad = _any_not_finite(matrix)
        if "label" in columns:
            label = canonical_labels(columns["label"])
            bad |= np.asarray(pc.is_null(label))
            if classes is None and not self._declared:
                self._refuse_contradiction(label, matrix, order, bad | skipped)
        elif "" in order:
            raise HostError(
                "wrong_type", "it names no labels; name them by `classes`, in the order of its probabilities"
            )
        else:
            label = _most_probable(matrix, order)
        if self._task == "binary":
            return {"label": label, "score": pa.array(matrix[:, order.index(self._positive)])}, bad
        scores = np.zeros((count, len(self._classes)))
        scores[:, [self._classes.index(each) for each in order]] = matrix
        return {"label": label, "scores": _lists(scores)}, bad

    def _order(self, classes: Sequence[Any] | None, width: int) -> tuple[str, ...]:
        """The labels of a model's probabilities; the negative one of a binary model may be "", unknown."""
        if self._declared:
            order = self._declared
        elif classes is not None:
            order = tuple(canonical_label(each) or "" for each in classes)
        else:
            order = ("", self._positive) if self._task == "binary" else self._classes
        mismatch = self._mismatch(order)
        if not mismatch and len(order) != width and (len(order), width) != (2, 1):
            mismatch = (
                f"it gives {width} probabilities of the classes {', '.join(order)}; correct its `classes`"
            )
        if mismatch:
            raise HostError("wrong_type", mismatch)
        return order

    def _mismatch(self, labels: Sequence[str | None]) -> str | None:
        if self._task == "binary" and self._positive not in labels:
            return (
                f"its classes are {list(labels)}; none is the positive {self._positive!r}; "
                "correct [experiment] positive"
            )
        strange = [label for label in labels if label not in self._classes]
        if self._task == "multiclass" and strange:
            return (
                f"its class {strange[0]!r} is none of {list(self._classes)}; add it to [experiment] classes"
            )
        return None

    def _refuse_contradiction(
        self,
        label: pa.Array,
        matrix: Matrix,
        order: tuple[str, ...],
        unknown: Mask,
    ) -> None:
        """An order that nobody stated is only assumed: the labels have to bear it out."""
        if matrix.shape[1] < 2:
            return
        top = np.sort(matrix, axis=1)
        clear = (top[:, -1] > top[:, -2]) & ~unknown
        best = np.array(order, object)[matrix.argmax(axis=1)]
        given = np.array(label.to_pylist(), object)
        if "" in order:
            given = np.where(given == self._positive, self._positive, "")
        wrong = np.flatnonzero(clear & (best != given))
        if len(wrong):
            raise HostError(
                "wrong_type",
                f"it answers {label[int(wrong[0])].as_py()!r} where the probability of another class is highest, "
                "if they stand in the usual order; name its labels by `classes`, in the order of its probabilities",
            )


def _told(bad: str, rows: Mask, failed: pa.Array) -> pa.Array:
    return pc.if_else(pa.array(rows), pc.fill_null(failed, bad), failed)


def _not_finite(score: pa.Array) -> Mask:
    return ~np.asarray(pc.fill_null(pc.is_finite(score), False))


def _any_not_finite(matrix: Matrix) -> Mask:
    bad: Mask = np.logical_or.reduce(~np.isfinite(matrix), axis=1)
    return bad


def _most_probable(matrix: Matrix, order: Sequence[str]) -> pa.Array:
    return pa.array(list(order), pa.string()).take(pa.array(matrix.argmax(axis=1)))


def _lists(matrix: Matrix) -> pa.Array:
    fixed = pa.FixedSizeListArray.from_arrays(pa.array(matrix.ravel()), matrix.shape[1])
    return fixed.cast(pa.list_(pa.float64()))
