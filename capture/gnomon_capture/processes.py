"""Names of capturing processes in the accounts."""

from __future__ import annotations

import itertools
import os
import re
import socket
import time

_named = itertools.count()


def process_name() -> str:
    """Host, process id and start; from the second in one process on with a number behind it."""
    host = re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname())[:64] or "host"
    number = next(_named)
    return f"{host}.{os.getpid()}.{int(time.time())}" + (f".{number}" if number else "")


def child_name(given: str | None) -> str:
    """A forked child's: of the name that its parent was given, or its own."""
    return process_name() if given is None else f"{given[:96]}.{os.getpid()}.{time.time_ns() // 1_000_000}"
