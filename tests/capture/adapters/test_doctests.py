"""The examples in the adapters' docstrings."""

from __future__ import annotations

import doctest
import importlib

import pytest


@pytest.mark.parametrize("module", ["answers", "paths"])
def test_the_docstrings_examples_hold(module):
    found = doctest.testmod(importlib.import_module(f"gnomon_capture.adapters.{module}"))
    assert (found.failed, found.attempted > 0) == (0, True)
