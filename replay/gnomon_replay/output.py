"""What a model's processes print: a file that is kept bounded."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from pathlib import Path
from typing import IO

OUTPUT_BYTES = 1 << 20
"""Beyond this the older half is dropped."""
_LAST_WORDS_BYTES = 500


class Output:
    """The standard output and error of all hosts of one model, appended to one file.

    Args:
        path: of the file, which is begun anew; None for one without a name, that goes with this object, as where
            the path cannot be written.
    """

    def __init__(self, path: Path | None) -> None:
        file: IO[bytes] | None = None
        if path is not None:
            with contextlib.suppress(OSError):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.unlink(missing_ok=True)  # another worker may still write to the old one
                file = path.open("a+b")
        self._file = file or tempfile.TemporaryFile("a+b")  # noqa: SIM115 - closed by close
        # `tempfile` does not set it; without, what is written after a cut leaves a hole of the old length.
        fcntl.fcntl(self.fileno(), fcntl.F_SETFL, os.O_APPEND)
        self._begin = 0  # of what the host at work printed, by and large

    def fileno(self) -> int:
        """The descriptor to print to."""
        return self._file.fileno()

    def keep_bounded(self) -> None:
        """Drops the older part of what is too long."""
        size = os.fstat(self.fileno()).st_size
        if size > OUTPUT_BYTES:
            kept = os.pread(self.fileno(), OUTPUT_BYTES // 2, size - OUTPUT_BYTES // 2)
            os.truncate(self.fileno(), 0)
            os.write(self.fileno(), b"[older output was dropped]\n" + kept)
            self._begin = max(0, self._begin - (size - OUTPUT_BYTES // 2))

    def turn_page(self) -> None:
        """What was printed so far is no later host's."""
        self._begin = os.fstat(self.fileno()).st_size

    def last_words(self) -> str:
        """The end of what was printed on this page."""
        begin = max(self._begin, os.fstat(self.fileno()).st_size - _LAST_WORDS_BYTES)
        words = os.pread(self.fileno(), _LAST_WORDS_BYTES, begin)
        return words.decode(errors="replace").strip()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
