"""The examples in the docstrings, and what the package hands on."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from types import ModuleType

import pytest
from gnomon_diff import evidence

MODULES = [f"{evidence.__name__}.{module.name}" for module in pkgutil.iter_modules(evidence.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_hold(name: str) -> None:
    failed, attempted = doctest.testmod(importlib.import_module(name))
    assert attempted > 0
    assert failed == 0


def test_every_public_function_has_an_example() -> None:
    for name in evidence.__all__:
        value = getattr(evidence, name)
        if callable(value) and not isinstance(value, type):
            assert ">>>" in (value.__doc__ or ""), name


def test_the_package_shows_what_its_all_names() -> None:
    named = list(evidence.__all__)
    assert named == sorted(named, key=lambda name: (not name.isupper(), not name[:1].isupper(), name))
    visible = {name for name, value in vars(evidence).items() if not isinstance(value, ModuleType)}
    assert {name for name in visible if not name.startswith("_")} == set(named)
