"""What never leaves the process as it is: fields dropped, masked, shortened or hashed under a secret.

Where the form of a value leaves open whether it holds a field that is to be redacted, this raises, and the
request is dropped. Names are compared without regard to case, as the log's are.
"""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from gnomon_capture.encoder import as_text
from gnomon_capture.errors import UsageError
from gnomon_capture.handoff import Waiting
from gnomon_capture.keyed_hash import KeyedHash, builtins, read_secret
from gnomon_capture.paths import Path, flattened, parse_path
from gnomon_capture.record import RedactionError, Scalar, Served
from gnomon_capture.redact_settings import RedactSettings

_log = logging.getLogger("gnomon_capture")

MASK = "***"
_SHAPES = 1000
_TYPO_REQUESTS = 1000
_SECTIONS = ("features", "attributes", "payload", "served")

Action = Callable[[Any], Any]


def _folded(name: str) -> str:
    """A name without case, in the one form that Unicode has for what looks alike."""
    return name.lower() if name.isascii() else unicodedata.normalize("NFC", name).casefold()


class _Gone:
    """Stands for what is dropped."""


_GONE: Any = _Gone()


@dataclass(slots=True)
class _Node:
    """What is done at a place: an action on all of it; or `rest` to what no child is about, kept or dropped.

    Attributes:
        met: some request had it.
    """

    place: str
    rest: bool
    action: Action | None = None
    children: dict[str, _Node] = field(default_factory=dict)
    met: bool = False


class Redactor:
    """Settings, compiled once. For one thread.

    Raises:
        SettingsError: the secret is not there, or too short.
    """

    def __init__(self, settings: RedactSettings) -> None:
        actions = flattened(settings.fields)
        secret = read_secret(settings) if "hash" in actions.values() else None
        closed = settings.allow is not None
        self._roots = {
            root: _Node(root, rest=not closed) for root in (*_SECTIONS, "key", "request_id", "service")
        }
        for name in settings.allow or ():
            self._node(parse_path(name)).rest = True
        for name, action in actions.items():
            self._node(parse_path(name)).action = _action(action, secret)
        for root in self._roots.values():
            _inherit(root)
        self._requests = 0
        self._touched = {root: not _open(node) for root, node in self._roots.items()}
        self._flat = {
            root: _Flat(self._roots[root]) for root in ("features", "attributes") if self._touched[root]
        }

    def __call__(self, item: Waiting) -> Waiting:
        """The request as it may leave; its own dicts are changed in place, what they hold is not.

        Raises:
            Exception: it cannot be redacted, and must not leave; its text may hold anything.
        """
        self._requests += 1
        if self._requests == _TYPO_REQUESTS:
            self._name_unmet()
        ts, features, payload, served, key, attributes, request_id, weight = item
        touched = self._touched
        if touched["features"] and features is not None:
            features = self._flat["features"](features)
        if touched["attributes"] and attributes is not None:
            attributes = self._flat["attributes"](attributes)
        if touched["payload"] and payload is not None:
            payload = _kept(_walk(builtins(payload), self._roots["payload"]))
            if payload is None and features is None:
                features = {}  # so that what is left still is a request
        if touched["served"] and served is not None:
            served = self._served(served)
        if touched["key"] and key is not None:
            key = self._whole("key", key)
        if touched["request_id"] and request_id is not None:
            request_id = self._whole("request_id", request_id)
        return ts, features, payload, served, key, attributes, request_id, weight

    def _name_unmet(self) -> None:
        """A misspelled path would let out what it was meant to keep; one that is never met may be one."""
        unmet = [place for root in _SECTIONS for place in _unmet(self._roots[root])]
        if unmet:
            _log.warning(
                "none of the first %d requests had %s, which [capture.redact] names; is it spelled as they have it?",
                _TYPO_REQUESTS,
                ", ".join(unmet),
            )

    def key(self, key: Scalar) -> str | None:
        """What the record's `key` is for a request with this key."""
        text: str | None = self._whole("key", as_text(key)) if self._touched["key"] else as_text(key)
        return text

    def _node(self, path: Path) -> _Node:
        node = self._roots[path.root]
        for name in path.names:
            child = _Node(f"{node.place}.{name}", rest=False)
            node = node.children.setdefault(_folded(name), child)
        return node

    def _whole(self, root: str, value: Any) -> Any:
        action = self._roots[root].action
        return None if action is None else _kept(action(as_text(value)))

    def _served(self, served: Served | dict[str, Any]) -> dict[str, Any] | None:
        fields = msgspec.structs.asdict(served) if isinstance(served, Served) else served
        answer: dict[str, Any] | None = _kept(_walk(builtins(fields), self._roots["served"]))
        return answer


class _Flat:
    """Redacts flat fields in place, by a plan made once for each set of names."""

    def __init__(self, node: _Node) -> None:
        self._node = node
        self._plans: dict[tuple[str, ...], tuple[list[str], list[tuple[str, Action]]]] = {}

    def __call__(self, values: dict[str, Any]) -> dict[str, Any]:
        node = self._node
        if node.action is not None:  # on all of them there is but one: to drop
            return {}
        shape = tuple(values)
        plan = self._plans.get(shape)
        if plan is None:
            if any(name.__class__ is not str for name in shape):  # a number, an enum: named as JSON will
                return self({str(name): value for name, value in builtins(values).items()})
            plan = self._plan(shape)
        drops, changes = plan
        for name in drops:
            del values[name]
        for name, action in changes:
            values[name] = action(values[name])
        return values

    def _plan(self, shape: tuple[str, ...]) -> tuple[list[str], list[tuple[str, Action]]]:
        drops, changes = [], []
        for name in shape:
            child = self._node.children.get(_folded(name))
            if child is not None:
                child.met = True
            if child is None:
                if not self._node.rest:
                    drops.append(name)
            elif child.action is _drop or (child.action is None and not child.rest):
                drops.append(name)
            elif child.action is not None:
                changes.append((name, child.action))
        if len(self._plans) >= _SHAPES:
            self._plans.clear()
        self._plans[shape] = drops, changes
        return drops, changes


def redacted_key(settings: RedactSettings | None, key: Scalar) -> str:
    """The `key` under which the records of a user or device stand in the traffic and the log.

    Raises:
        UsageError: they cannot be found by it: keys are dropped, or shortened, so that several share one.
        SettingsError: the secret is not there.
    """
    text = as_text(key)
    if text is None:
        raise UsageError("no key was given")
    if settings is None:
        return text
    action = flattened(settings.fields).get("key")
    redacted = Redactor(settings).key(text)
    if redacted is None:
        raise UsageError("keys never leave the capturing process ([capture.redact]), so no row has one")
    if isinstance(action, Mapping):
        raise UsageError("keys are shortened ([capture.redact] fields.key), so one stands for several users")
    return redacted


def _inherit(node: _Node) -> None:
    for child in node.children.values():
        child.rest = child.rest or node.rest
        _inherit(child)


def _open(node: _Node) -> bool:
    """Whether everything there may leave as it is."""
    return node.rest and node.action is None and all(map(_open, node.children.values()))


def _unmet(node: _Node) -> Iterator[str]:
    for child in node.children.values():
        if child.action is not None and not child.met:
            yield child.place
        yield from _unmet(child)


def _walk(value: Any, node: _Node) -> Any:
    """A value of plain JSON as it may leave, or _GONE."""
    if node.action is not None:
        return value if value is None else node.action(value)
    if not node.rest and not node.children:
        return _GONE
    if isinstance(value, dict):
        kept = {}
        for name, inner in value.items():
            child = node.children.get(_folded(name))
            if child is not None:
                child.met = True
                inner = _walk(inner, child)
            elif not node.rest:
                continue
            if inner is not _GONE:
                kept[name] = inner
        return kept
    if isinstance(value, (list, tuple)):
        return [inner for one in value if (inner := _walk(one, node)) is not _GONE]
    if not node.rest:
        return _GONE
    if isinstance(value, str) and node.children:
        raise RedactionError(
            f"`{node.place}` is text; whether it holds what is to be redacted cannot be told"
        )
    return value


def _kept(value: Any) -> Any:
    return None if value is _GONE else value


def _action(action: Any, secret: bytes | None) -> Action:
    if isinstance(action, Mapping):
        count = action["truncate"]
        return lambda value: value[:count] if isinstance(value, str) else None
    if action == "hash":
        return KeyedHash(secret or b"")
    return _drop if action == "drop" else _mask


def _drop(value: Any) -> Any:
    return _GONE


def _mask(value: Any) -> str | None:
    return MASK if isinstance(value, str) else None
