"""The examples in diff's docstrings run as they stand there."""

from __future__ import annotations

import doctest
import importlib

import pytest


@pytest.mark.parametrize("module", ["columns", "jsondiff", "jsonpaths", "quoting", "window"])
def test_the_examples_of_a_module_hold(module: str) -> None:
    found = doctest.testmod(importlib.import_module(f"gnomon_diff.{module}"))
    assert found.failed == 0
    assert found.attempted > 0
