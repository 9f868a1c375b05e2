"""The commands of `gnomon`, a module each.

A module's docstring is its help. `arguments(parser)` declares what it takes, `run(arguments)` does it and
returns the exit status. What is heavy is imported in `run`, so that help is quick and works without it.
"""

from __future__ import annotations

from gnomon.commands import (
    compact,
    dead_letters,
    demo,
    doctor,
    forget,
    gate,
    import_,
    init,
    labels,
    replay,
    report,
    sql,
)

__all__ = [
    "compact",
    "dead_letters",
    "demo",
    "doctor",
    "forget",
    "gate",
    "import_",
    "init",
    "labels",
    "replay",
    "report",
    "sql",
]
