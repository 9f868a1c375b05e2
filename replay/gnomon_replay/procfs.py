"""What the system knows about processes: Linux's /proc."""

from __future__ import annotations

import contextlib
import os
import re

_MEMORY = re.compile(rb"^Vm(HWM|RSS):\s*(\d+) kB", re.MULTILINE)


def memory(pid: int) -> tuple[int, int]:
    """The resident bytes of a process, now and at most so far; zeros if it is gone."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            found = {name: int(kb) << 10 for name, kb in _MEMORY.findall(file.read())}
    except OSError:
        return 0, 0
    return found.get(b"RSS", 0), found.get(b"HWM", 0)


def descendants(pid: int) -> list[int]:
    """The processes that a process started, and those that these did."""
    found: list[int] = []
    ahead = [pid]
    while ahead:
        parent = ahead.pop()
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{parent}/task"):
                with contextlib.suppress(OSError), open(f"/proc/{parent}/task/{thread}/children") as file:
                    children = list(map(int, file.read().split()))
                    found += children
                    ahead += children
    return found
