"""Forks: who holds threads and open files, and has to let go of them in a child."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Forked(Protocol):
    """What has to know."""

    def after_fork_in_child(self) -> None:
        """Called in the child before anything else runs there; its one thread is this one."""


_known: weakref.WeakSet[Forked] = weakref.WeakSet()


def tell(one: Forked) -> None:
    """Has it called in every child that is forked while it is alive; it costs nothing until then."""
    _known.add(one)


_kept: list[object] = []


def keep(one: object) -> None:
    """Keeps what is the parent's for good: collected, it might close what the parent uses."""
    _kept.append(one)


def _tell_all() -> None:
    for one in list(_known):
        one.after_fork_in_child()


os.register_at_fork(after_in_child=_tell_all)
