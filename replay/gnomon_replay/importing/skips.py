"""What is left out of an import, and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

Why = Literal[
    "bad_row",
    "no_request",
    "no_response",
    "time",
    "features",
    "answer",
    "weight",
    "latency",
    "oversize",
    "refused",
]

EXAMPLES = 5


class SkipError(Exception):
    """This row, or this request, is left out.

    Attributes:
        why: one of the reasons.
        detail: what was wrong where, in words.
    """

    def __init__(self, why: Why, detail: str) -> None:
        super().__init__(f"{why}: {detail}")
        self.why = why
        self.detail = detail


@dataclass
class Skipped:
    """What was left out of one file, by reason.

    `refused` are requests that no model answered (a status from 400 to 499): the ledger has them as not
    selected. All others are dropped.

    Attributes:
        counts: how many, by reason.
        examples: the first few, by reason: line (or row) number and detail.
        all: every one; kept only when it is to be written out.
    """

    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    all: list[tuple[int, str, str]] | None = None

    def add(self, line: int, skip: SkipError) -> None:
        """Counts one."""
        self.counts[skip.why] = self.counts.get(skip.why, 0) + 1
        examples = self.examples.setdefault(skip.why, [])
        if len(examples) < EXAMPLES:
            examples.append((line, skip.detail))
        if self.all is not None:
            self.all.append((line, skip.why, skip.detail))

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def dropped(self) -> dict[str, int]:
        """As the ledger has it."""
        return {why: count for why, count in self.counts.items() if why != "refused"}

    @property
    def not_selected(self) -> int:
        """As the ledger has it."""
        return self.counts.get("refused", 0)

    def lines(self) -> Iterator[str]:
        """For people: each reason, how often, and the first few with their line."""
        for why, count in sorted(self.counts.items(), key=lambda item: -item[1]):
            yield f"{count:,} skipped, {why}:"
            for line, detail in self.examples[why]:
                yield f"  line {line}: {detail}"
            if count > len(self.examples[why]):
                yield f"  and {count - len(self.examples[why]):,} more"
