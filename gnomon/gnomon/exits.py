"""What an exit status means, and which error ends in which: the one place that decides.

A release pipeline acts on these without a person, so that 1 means REJECT and nothing else: whatever is
unexpected ends in 4.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Callable

from gnomon_capture.errors import GnomonError, UsageError

from gnomon import logs

DONE = PROMOTE = 0
REJECT = 1
USAGE = 2
HOLD = 3
UNABLE = INVALID = 4

OF_VERDICT = {"PROMOTE": PROMOTE, "REJECT": REJECT, "HOLD": HOLD, "INVALID": INVALID}


def guarded(command: Callable[[], int]) -> int:
    """Runs a command; every error becomes one clear line on stderr and the status that it means."""
    try:
        return command()
    except UsageError as exc:
        return _say(str(exc), USAGE)
    except GnomonError as exc:
        return _say(str(exc), UNABLE)
    except ImportError as exc:
        if "pip install" in str(exc):
            return _say(str(exc), UNABLE)
        if exc.name in _SERVICE:
            return _say(f"this command needs {exc.name}: pip install 'gnomon[service]'", UNABLE)
        return _unexpected(exc)
    except KeyboardInterrupt:
        return _say("interrupted; what was committed stays, and the next run goes on from there", UNABLE)
    except BrokenPipeError:
        # The reader of our output went away; keep Python from complaining as it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNABLE
    except Exception as exc:  # noqa: BLE001 - a bug anywhere ends in 4, never in 1
        return _unexpected(exc)


_SERVICE = {"deltalake", "duckdb", "numpy", "pandas", "plotly", "pyarrow", "rich", "scipy", "sklearn"}


def _say(message: str, status: int) -> int:
    if logs.configured():
        logs.event("failed", logging.ERROR, message=message, status=status)
    else:
        print(f"gnomon: {message}", file=sys.stderr)
    return status


def _unexpected(exc: Exception) -> int:
    if os.environ.get("GNOMON_DEBUG"):
        traceback.print_exc()
    summary = "".join(traceback.format_exception_only(exc)).strip().splitlines()[-1]
    return _say(
        f"a bug in gnomon: {summary}; set GNOMON_DEBUG=1 for the traceback, and please report it", UNABLE
    )
