"""A wrapper that mirrors the predictions of a scikit-learn estimator. Needs neither scikit-learn nor NumPy itself."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from gnomon_capture.adapters.answers import error_text
from gnomon_capture.errors import UsageError
from gnomon_capture.handoff import Dropped
from gnomon_capture.mirror import Mirror

METHODS = ("predict", "predict_proba")
PerRow = str | Callable[[Any], Sequence[Any]]
"""A column of the input, or a function of the input that gives one value a row."""


class MirroredEstimator:
    """Answers as the estimator does, and mirrors every row of what it was asked.

    `predict` records labels (of a regressor, scores); `predict_proba` records labels and, with two classes, the
    probability of `positive`, with more, all of them. Whatever else the estimator has is its own, reached through
    this. The result is the estimator's, untouched; what it raises is recorded as `served.error` and raised on.
    A batch of n rows is n records; `latency_us` is recorded where it is one row, since a batch's time is no row's.

    It is for serving: pickled, copied or cloned it is the estimator alone, so a saved model never needs gnomon.

    >>> model = gnomon.MirroredEstimator(skops.io.load("primary.skops"), mirror, version="3.2")  # doctest: +SKIP
    >>> model.predict_proba(frame)  # doctest: +SKIP

    Args:
        estimator: fitted, or to be fitted later.
        mirror: where the records go; closing it stays its owner's.
        version: of this model.
        methods: which are mirrored. Name one if the serving code asks both for each request.
        positive: the class whose probability is the score, of two; by default the second of `classes_`.
        features: the columns' names, for arrays; by default the estimator's `feature_names_in_`. A row without
            names is a payload: a list of its values.
        key, request_id: one value a row: a column's name, or a function of the input.
        attributes: likewise, by attribute.

    Raises:
        UsageError: a method is not one of `predict` and `predict_proba`, or the estimator has none of them.
    """

    _OWN = frozenset({"_estimator", "_mirror", "_options"})

    def __init__(
        self,
        estimator: Any,
        mirror: Mirror,
        *,
        version: str | None = None,
        methods: Iterable[str] = METHODS,
        positive: Any = None,
        features: Sequence[str] | None = None,
        key: PerRow | None = None,
        request_id: PerRow | None = None,
        attributes: dict[str, PerRow] | None = None,
    ) -> None:
        methods = frozenset([methods] if isinstance(methods, str) else methods)
        if not methods or not methods <= set(METHODS):
            raise UsageError(
                f"methods are {' and '.join(METHODS)}, not {', '.join(sorted(methods)) or 'none'}"
            )
        if not hasattr(estimator, "predict"):
            raise UsageError(f"{type(estimator).__name__} has no predict: it is no estimator that answers")
        own = {
            "version": version,
            "methods": methods,
            "positive": positive,
            "features": None if features is None else [str(name) for name in features],
            "key": key,
            "request_id": request_id,
            "attributes": attributes or {},
        }
        object.__setattr__(self, "_estimator", estimator)
        object.__setattr__(self, "_mirror", mirror)
        object.__setattr__(self, "_options", own)

    def predict(self, X: Any, *arguments: Any, **named: Any) -> Any:  # noqa: N803 - the estimator's own signature
        """The estimator's `predict`."""
        return self._call("predict", X, arguments, named)

    @property
    def predict_proba(self) -> Any:
        """The estimator's `predict_proba`, if it has one: some have it only with some parameters."""
        _ = self._estimator.predict_proba  # raises what the estimator raises

        def predict_proba(X: Any, *arguments: Any, **named: Any) -> Any:  # noqa: N803
            return self._call("predict_proba", X, arguments, named)

        return predict_proba

    def __getattr__(self, name: str) -> Any:
        if name in MirroredEstimator._OWN:  # asked while it is not made yet
            raise AttributeError(name)
        return getattr(self._estimator, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._estimator, name, value)

    def __dir__(self) -> list[str]:
        return sorted({*object.__dir__(self), *dir(self._estimator)})

    def __repr__(self) -> str:
        return f"MirroredEstimator({self._estimator!r})"

    def __len__(self) -> int:
        return len(self._estimator)

    def __getitem__(self, item: Any) -> Any:
        return self._estimator[item]

    def __bool__(self) -> bool:
        return True

    def __sklearn_is_fitted__(self) -> bool:
        from sklearn.exceptions import NotFittedError
        from sklearn.utils.validation import check_is_fitted

        try:
            check_is_fitted(self._estimator)
        except NotFittedError:
            return False
        return True

    def __sklearn_clone__(self) -> Any:
        from sklearn.base import clone

        return clone(self._estimator)

    def __copy__(self) -> Any:
        return copy.copy(self._estimator)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return copy.deepcopy(self._estimator, memo)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return copy.copy, (self._estimator,)  # of the standard library, so that loading needs nothing of ours

    def _call(self, method: str, X: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:  # noqa: N803
        ask = getattr(self._estimator, method)
        if method not in self._options["methods"]:
            return ask(X, *arguments, **named)
        began, start = time.time_ns(), time.perf_counter_ns()
        try:
            answer = ask(X, *arguments, **named)
        except Exception as exc:
            failed = {"error": error_text(exc)}
            self._record(X, began, start, lambda count: [failed] * count)
            raise
        served = self._labels if method == "predict" else self._probabilities
        self._record(X, began, start, lambda _: served(answer))
        return answer

    def _record(
        self, asked: Any, began: int, start: int, served: Callable[[int], Sequence[dict[str, Any]]]
    ) -> None:
        latency_us = (time.perf_counter_ns() - start) // 1000
        options, mirror = self._options, self._mirror
        count, done = 1, 0
        try:
            names, rows = _rows(asked)
            names = options["features"] or names or _names(self._estimator)
            count = len(rows)
            answers = served(count)
            key, request_id = (_per_row(asked, options[name], count) for name in ("key", "request_id"))
            attributes = {name: _per_row(asked, pick, count) for name, pick in options["attributes"].items()}
            common: dict[str, Any] = {"version": options["version"]}
            if count == 1:
                common["latency_us"] = latency_us
            for at, (row, answer) in enumerate(zip(rows, answers, strict=True)):
                mirror.record(
                    None if names is None else dict(zip(names, row, strict=True)),
                    payload=row if names is None else None,
                    served={**common, **answer},
                    key=key and key[at],
                    attributes={name: values[at] for name, values in attributes.items() if values}
                    if attributes
                    else None,
                    request_id=request_id and request_id[at],
                    ts=began,
                )
                done += 1
        except Exception as exc:  # noqa: BLE001 - the answer is made; what cannot be read of it is not the caller's concern
            for _ in range(count - done):
                mirror.miss(Dropped.PICK_FAILED, exc)

    def _labels(self, answer: Any) -> list[dict[str, Any]]:
        field = "label" if hasattr(self._estimator, "classes_") else "score"
        return [{field: value} for value in _plain(answer)]

    def _probabilities(self, answer: Any) -> list[dict[str, Any]]:
        classes = _plain(self._estimator.classes_)
        rows = _plain(answer)
        if len(classes) != 2:
            return [{"label": classes[row.index(max(row))], "scores": row} for row in rows]
        positive = self._options["positive"]
        second = 1 if positive is None else classes.index(positive)
        return [{"label": classes[row.index(max(row))], "score": row[second]} for row in rows]


def _rows(asked: Any) -> tuple[list[str] | None, list[list[Any]]]:
    """The columns' names, if it has any, and the rows as lists of Python values."""
    columns = getattr(asked, "columns", None)
    if columns is not None:
        if hasattr(asked, "to_numpy"):
            # By way of objects, so that an integer beside a float stays one.
            return [str(name) for name in columns], asked.to_numpy(dtype=object).tolist()
        return [str(name) for name in columns], [list(row) for row in asked.rows()]  # polars
    if hasattr(asked, "toarray"):  # a sparse matrix
        asked = asked.toarray()
    rows = _plain(asked)
    return None, [row if isinstance(row, list) else [row] for row in rows]


def _names(estimator: Any) -> list[str] | None:
    names = getattr(estimator, "feature_names_in_", None)
    return None if names is None else [str(name) for name in names]


def _per_row(asked: Any, pick: PerRow | None, count: int) -> list[Any] | None:
    if pick is None:
        return None
    values = _plain(pick(asked) if callable(pick) else asked[pick])
    if len(values) != count:
        raise ValueError(f"{len(values)} values for {count} rows")
    return values


def _plain(values: Any) -> list[Any]:
    return list(values.tolist() if hasattr(values, "tolist") else values)
