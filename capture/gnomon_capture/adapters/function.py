"""A decorator that mirrors the calls of any function, plain or async."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from gnomon_capture.adapters.answers import SERVED_FIELDS, error_text, served_of
from gnomon_capture.errors import UsageError
from gnomon_capture.handoff import Dropped
from gnomon_capture.mirror import Mirror
from gnomon_capture.record import Served

F = TypeVar("F", bound=Callable[..., Any])
_NAMED = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def mirrored(
    mirror: Mirror,
    *,
    features: Callable[..., Mapping[str, Any]] | None = None,
    payload: Callable[..., Any] | None = None,
    served: Callable[[Any], Served | Mapping[str, Any] | None] | None = None,
    key: Callable[..., Any] | None = None,
    request_id: Callable[..., Any] | None = None,
    attributes: Callable[..., Mapping[str, Any]] | None = None,
    version: str | None = None,
) -> Callable[[F], F]:
    """Mirrors every call of the function below it: its arguments, its answer, and how long it took.

    The answer is returned untouched, and what the function raises is recorded as `served.error` and raised on.
    Nothing else reaches the caller: a pick that raises is counted as `pick_failed`.

    >>> @gnomon.mirrored(mirror, key=lambda order: order["customer"])  # doctest: +SKIP
    ... def predict(order): ...

    Args:
        features: of the call's arguments; without this and `payload`: a single mapping is the features, else the
            arguments are, by their names (`self` left out).
        payload: of the call's arguments, instead of features.
        served: of the answer; by default `served_of`.
        key, request_id, attributes: of the call's arguments.
        version: of the model that serves.

    Raises:
        UsageError: both features and payload are given, or what is decorated is a generator or no function.
    """
    if features is not None and payload is not None:
        raise UsageError("a call has features or a payload; leave one out")

    def decorate(function: F) -> F:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise UsageError(f"{function!r} gives its answer in parts; decorate a function that returns one")
        if not callable(function):
            raise UsageError(f"{function!r} is no function")
        named = _argument_picker(function) if features is None and payload is None else features

        def record(
            arguments: tuple[Any, ...], named_arguments: dict[str, Any], answer: dict[str, Any], began: int
        ) -> None:
            try:
                mirror.record(
                    None if named is None else named(*arguments, **named_arguments),
                    payload=None if payload is None else payload(*arguments, **named_arguments),
                    served={"version": version, **answer},
                    key=None if key is None else key(*arguments, **named_arguments),
                    attributes=None if attributes is None else attributes(*arguments, **named_arguments),
                    request_id=None if request_id is None else request_id(*arguments, **named_arguments),
                    ts=began,
                )
            except Exception as exc:  # noqa: BLE001 - whatever a pick raises is not the caller's concern
                mirror.miss(Dropped.PICK_FAILED, exc)

        def answered(
            arguments: tuple[Any, ...],
            named_arguments: dict[str, Any],
            answer: Any,
            began: int,
            latency_us: int,
        ) -> None:
            try:
                fields = _fields((served or served_of)(answer))
            except Exception as exc:  # noqa: BLE001 - as above
                mirror.miss(Dropped.PICK_FAILED, exc)
            else:
                record(arguments, named_arguments, {"latency_us": latency_us, **fields}, began)

        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def call_async(*arguments: Any, **named_arguments: Any) -> Any:
                began, start = time.time_ns(), time.perf_counter_ns()
                try:
                    answer = await function(*arguments, **named_arguments)
                except Exception as exc:
                    record(arguments, named_arguments, _failed(exc, start), began)
                    raise
                answered(arguments, named_arguments, answer, began, _since_us(start))
                return answer

            return cast(F, call_async)

        @functools.wraps(function)
        def call(*arguments: Any, **named_arguments: Any) -> Any:
            began, start = time.time_ns(), time.perf_counter_ns()
            try:
                answer = function(*arguments, **named_arguments)
            except Exception as exc:
                record(arguments, named_arguments, _failed(exc, start), began)
                raise
            answered(arguments, named_arguments, answer, began, _since_us(start))
            return answer

        return cast(F, call)

    return decorate


def _argument_picker(function: Callable[..., Any]) -> Callable[..., Mapping[str, Any]]:
    """The call's arguments as features, by a signature that is read once."""
    parameters = list(inspect.signature(function).parameters.values())
    names = [each.name for each in parameters if each.kind in _NAMED]
    skip = 1 if names[:1] in (["self"], ["cls"]) else 0
    names = names[skip:]
    defaults = {
        each.name: each.default for each in parameters[skip:] if each.default is not inspect.Parameter.empty
    }

    def pick(*arguments: Any, **named_arguments: Any) -> Mapping[str, Any]:
        given = arguments[skip:]
        if len(given) == 1 and not named_arguments and isinstance(given[0], Mapping):
            return given[0]
        return {**defaults, **dict(zip(names, given, strict=False)), **named_arguments}

    return pick


def _fields(served: Served | Mapping[str, Any] | None) -> Mapping[str, Any]:
    if isinstance(served, Served):
        return {name: value for name in SERVED_FIELDS if (value := getattr(served, name)) is not None}
    return served or {}


def _failed(exc: Exception, start: int) -> dict[str, Any]:
    return {"error": error_text(exc), "latency_us": _since_us(start)}


def _since_us(start: int) -> int:
    return (time.perf_counter_ns() - start) // 1000
