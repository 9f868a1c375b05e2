"""The examples in the docstrings of importing."""

from __future__ import annotations

import doctest

from gnomon_replay.importing import files


def test_the_docstrings_examples_hold():
    found = doctest.testmod(files)
    assert (found.failed, found.attempted > 0) == (0, True)
