"""What every test module can ask for: a real broker, topics on it, a real browser.

A machine without the programs skips those tests and says what to install; under CI=true that is a failure.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import uuid
from collections.abc import Callable, Iterator
from typing import NoReturn

import pytest
from broker import Broker, MissingProgramError, create_topic
from kafka import KafkaAdminClient

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def pytest_configure() -> None:
    """A shell's background jobs ignore Ctrl-C, and so would all that the tests start and interrupt."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what uses these fixtures, so that `-m "not kafka"` leaves out all that needs a broker."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if {"bootstrap", "own_broker"} & set(fixtures):
            item.add_marker("kafka")
        if "chromium" in fixtures:
            item.add_marker("browser")


@pytest.fixture(scope="session")
def bootstrap() -> Iterator[str]:
    """The address of a broker that all tests share: a fresh one, or the one in GNOMON_TEST_BOOTSTRAP."""
    address = os.environ.get("GNOMON_TEST_BOOTSTRAP")
    if address:
        yield address
        return
    with _fresh_broker() as broker:
        yield broker.bootstrap


@pytest.fixture
def own_broker() -> Iterator[Broker]:
    """A started broker of the test's own, to stop, kill and start again."""
    with _fresh_broker() as broker:
        yield broker


@pytest.fixture
def new_topic(bootstrap: str) -> Iterator[Callable[..., str]]:
    """Makes topics that nobody else uses: `new_topic(partitions=3)` returns the name of one."""
    names: list[str] = []

    def make(partitions: int = 1) -> str:
        name = f"gnomon-test-{uuid.uuid4().hex}"
        create_topic(bootstrap, name, partitions)
        names.append(name)
        return name

    yield make
    with contextlib.closing(KafkaAdminClient(bootstrap_servers=bootstrap)) as admin:
        admin.delete_topics(names)  # the broker may be somebody's own


@pytest.fixture
def topic(new_topic: Callable[..., str]) -> str:
    """A fresh topic of one partition."""
    return new_topic()


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of the system's Chromium or Chrome."""
    for name in BROWSERS:
        path = shutil.which(name)
        if path:
            return path
    _lacking("Chromium is needed and not installed; run: tests/system.sh chromium")


@contextlib.contextmanager
def _fresh_broker() -> Iterator[Broker]:
    with contextlib.ExitStack() as stack:
        try:
            broker = stack.enter_context(Broker())
        except MissingProgramError as exc:
            _lacking(str(exc))
        yield broker


def _lacking(message: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)
