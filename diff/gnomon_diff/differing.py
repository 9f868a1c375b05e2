"""Settings of disagreement (`[disagreement]`): when two answers count as different, beyond what the task says."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from gnomon_capture.errors import SettingsError
from gnomon_capture.settings import Frac, PositiveInt, Settings
from gnomon_replay.settings import Task

from gnomon_diff.jsonpaths import is_path

NonNegative = Annotated[float, msgspec.Meta(ge=0, le=1e300)]
Part = Literal["case", "space", "punctuation"]


class Matcher(Settings, frozen=True, kw_only=True):
    """What makes two JSON values at one path alike; exactly one of these.

    Attributes:
        max_absolute, max_relative: numbers, no further apart; either is enough. Relative to the larger one.
        pattern: texts that both match this regular expression, wholly.
        present: both sides have it, whatever it is.
        any_order: lists with the same elements in any order.
        ignore: whatever it is, and whether it is there.
    """

    max_absolute: NonNegative | None = None
    max_relative: NonNegative | None = None
    pattern: str | None = None
    present: Literal[True] | None = None
    any_order: Literal[True] | None = None
    ignore: Literal[True] | None = None

    def check(self, path: str) -> None:
        chosen = {
            "a tolerance": self.max_absolute is not None or self.max_relative is not None,
            "pattern": self.pattern is not None,
            "present": self.present is not None,
            "any_order": self.any_order is not None,
            "ignore": self.ignore is not None,
        }
        if sum(chosen.values()) != 1:
            raise SettingsError(
                path, f"a path has exactly one matcher of {', '.join(chosen)}, such as {{ ignore = true }}"
            )
        if self.pattern is not None:
            try:
                re.compile(self.pattern)
            except re.error as exc:
                raise SettingsError(f"{path}.pattern", f"{self.pattern!r} is no pattern: {exc}") from exc


class Differing(Settings, frozen=True, kw_only=True):
    """`[disagreement]`. Labels differ where they are not the same; what other tasks take for different is here.

    Attributes:
        max_absolute, max_relative: of a regression: values no further apart are alike; either is enough. Relative
            to the larger of the two. Default: `max_relative = 0.01` alone.
        top_k: of a ranking: how many of its first ids are compared (default 10).
        min_overlap: of a ranking: the least share of these that both have (default 1.0: the same ids).
        normalise: of a text: what makes no difference (default: all three).
        distance: `cosine`, of JSON that is a list of numbers; or `module:callable`, of any task: it is given two
            lists of answers and returns as many distances.
        max_distance: with `distance`: answers no further apart are alike.
        paths: of JSON: a matcher for each path, such as `$.total` or `$.items[*].price`.
    """

    max_absolute: NonNegative | None = None
    max_relative: NonNegative | None = None
    top_k: PositiveInt | None = None
    min_overlap: Frac | None = None
    normalise: tuple[Part, ...] | None = None
    distance: str | None = None
    max_distance: NonNegative | None = None
    paths: dict[str, Matcher] = msgspec.field(default_factory=dict)

    OF_TASK: ClassVar[dict[str, tuple[str, ...]]] = {
        "max_absolute": ("regression",),
        "max_relative": ("regression",),
        "top_k": ("ranking",),
        "min_overlap": ("ranking",),
        "normalise": ("text",),
        "paths": ("json",),
    }

    @property
    def callable(self) -> str | None:
        """`distance` where it is `module:callable`."""
        return None if self.distance in (None, "cosine") else self.distance

    @property
    def declared(self) -> dict[str, Any]:
        """What is set, as plain values; empty for the defaults."""
        plain = msgspec.json.decode(msgspec.json.encode(self))
        plain["paths"] = {path: _chosen(matcher) for path, matcher in sorted(plain["paths"].items())}
        return _chosen(plain)

    def check(self, path: str) -> None:
        if self.distance is not None:
            if self.callable is not None and not re.fullmatch(r"[\w.]+:\w+", self.callable):
                raise SettingsError(f"{path}.distance", "write `cosine`, or a function as module:callable")
            if self.max_distance is None:
                raise SettingsError(
                    f"{path}.distance", "name `max_distance` too: answers further apart than it differ"
                )
        elif self.max_distance is not None:
            raise SettingsError(f"{path}.max_distance", "it is of a `distance`; name one")
        for where, matcher in self.paths.items():
            if not is_path(where):
                raise SettingsError(
                    f"{path}.paths",
                    f'{where!r} is no path; write $.name, $.list[*].name or $."odd name"',
                )
            matcher.check(f"{path}.paths.{where}")

    def check_task(self, task: Task, path: str) -> None:
        """Refuses what a task has no use for.

        Raises:
            SettingsError: a key is of another task.
        """
        for key, tasks in self.OF_TASK.items():
            if getattr(self, key) not in (None, {}) and task not in tasks:
                fitting = [name for name, others in self.OF_TASK.items() if task in others] + ["distance"]
                raise SettingsError(
                    f"{path}.{key}",
                    f"it is of a {' or '.join(tasks)} task, and this is a {task} one, which takes "
                    f"{', '.join(fitting)}",
                )
            if getattr(self, key) not in (None, {}) and self.distance is not None:
                raise SettingsError(f"{path}.{key}", "`distance` decides alone; leave one of them out")
        if self.distance == "cosine" and task != "json":
            raise SettingsError(
                f"{path}.distance",
                f"cosine is of lists of numbers, the output of a json task; this is {task}",
            )


def _chosen(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, {})}
