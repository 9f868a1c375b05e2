"""Log lines of a run: one event a line, with its facts; as JSON for machines, or as text."""

from __future__ import annotations

import datetime
import json
import logging
import sys
from collections.abc import Mapping
from typing import Any, Literal

Format = Literal["json", "text"]

LOGGER = logging.getLogger("gnomon")
_OURS = ("gnomon", "gnomon_capture", "gnomon_replay", "gnomon_diff", "gnomon_reports")
_BOUND: dict[str, Any] = {}
_RESERVED = ("ts", "level", "event")


def configure(form: Format, *, verbose: bool = False, quiet: bool = False) -> None:
    """Sends log lines to stderr, those of the libraries included.

    Args:
        verbose: also what the libraries say by the way.
        quiet: warnings and errors alone.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if form == "json" else _Text())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO if verbose else logging.WARNING)
    for name in _OURS:
        logging.getLogger(name).setLevel(
            logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO
        )


def configured() -> bool:
    """Whether lines of a log are what stderr is for: then nothing else may be written there."""
    return any(isinstance(handler.formatter, (_Json, _Text)) for handler in logging.getLogger().handlers)


def bind(**facts: Any) -> None:
    """Has every later line carry these facts."""
    _BOUND.update(facts)


def event(name: str, /, level: int = logging.INFO, **facts: Any) -> None:
    """Logs an event, named by a word or two, with its facts."""
    LOGGER.log(level, name, extra={"facts": facts})


def _facts(record: logging.LogRecord) -> Mapping[str, Any]:
    given: Mapping[str, Any] = getattr(record, "facts", {})
    facts = {**_BOUND, **given}
    if not record.name.startswith(LOGGER.name):
        facts["logger"] = record.name
    if record.exc_info and record.exc_info[1] is not None:
        facts["error"] = f"{type(record.exc_info[1]).__name__}: {record.exc_info[1]}"
    return {name: value for name, value in facts.items() if name not in _RESERVED}


def _ts(record: logging.LogRecord) -> str:
    moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _Json(logging.Formatter):
    """One JSON object a line: ts, level, event, and the facts."""

    def format(self, record: logging.LogRecord) -> str:
        head = {"ts": _ts(record), "level": record.levelname.lower(), "event": record.getMessage()}
        return json.dumps({**head, **_facts(record)}, default=str)


class _Text(logging.Formatter):
    """Time, level, event, and the facts as name=value."""

    def format(self, record: logging.LogRecord) -> str:
        facts = "".join(f" {name}={_word(value)}" for name, value in _facts(record).items())
        return f"{_ts(record)} {record.levelname.lower()} {record.getMessage()}{facts}"


def _word(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str, separators=(",", ":"))
    return json.dumps(text) if not text or set(text) & set(' ="\n') else text
