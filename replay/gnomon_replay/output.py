"""What a model's processes print: a file that is kept bounded."""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path

OUTPUT_BYTES = 1 << 20
"""Beyond this the older half is dropped."""
_LAST_WORDS_BYTES = 500


class Output:
    """The standard output and error of all hosts of one model, appended to one file.

    Args:
        path: of the file, which is begun anew; None for one without a name, that goes with this object.
    """

    def __init__(self, path: Path | None) -> None:
        if path is None:
            self._file = tempfile.TemporaryFile("a+b")  # noqa: SIM115 - closed by close
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            self._file = path.open("a+b")
        # `tempfile` does not set it; without, what is written after a cut leaves a hole of the old length.
        fcntl.fcntl(self.fileno(), fcntl.F_SETFL, os.O_APPEND)

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

    def last_words(self) -> str:
        """The end of it."""
        size = os.fstat(self.fileno()).st_size
        words = os.pread(self.fileno(), _LAST_WORDS_BYTES, max(0, size - _LAST_WORDS_BYTES))
        return words.decode(errors="replace").strip()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
