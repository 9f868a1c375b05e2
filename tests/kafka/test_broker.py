"""The broker that other tests stand on: real, restartable, and gone without a trace."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from broker import Broker, BrokerError, MissingProgramError
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition

HERE = Path(__file__).parent
RUN = [sys.executable, str(HERE / "broker.py"), "run", "--"]
VALUES = [b"%d" % number for number in range(1000)]


def produce(bootstrap: str, topic: str, values: list[bytes]) -> None:
    with contextlib.closing(KafkaProducer(bootstrap_servers=bootstrap)) as producer:
        for value in values:
            producer.send(topic, value)
        producer.flush(timeout=30)


def consume(bootstrap: str, topic: str, count: int) -> list[bytes]:
    with contextlib.closing(KafkaConsumer(bootstrap_servers=bootstrap)) as consumer:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        consumer.seek_to_beginning(partition)
        values: list[bytes] = []
        deadline = time.monotonic() + 30
        while len(values) < count and time.monotonic() < deadline:
            values += [record.value for record in consumer.poll(500).get(partition, [])]
        return values


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*RUN, *command], capture_output=True, text=True, check=False, timeout=120, stdin=subprocess.DEVNULL
    )


def eventually(claim: Callable[[], bool], within_s: float = 8.0) -> bool:
    deadline = time.monotonic() + within_s
    while not claim() and time.monotonic() < deadline:
        time.sleep(0.1)
    return claim()


def remains(folder: Path) -> list[str]:
    """What is left of a broker: its folder, and the processes that name it."""
    left = [str(folder)] if folder.exists() else []
    for cmdline in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if os.fsencode(folder) in cmdline.read_bytes():
                left.append(cmdline.parent.name)
    return left


def test_what_is_produced_is_consumed_in_order(bootstrap: str, topic: str) -> None:
    produce(bootstrap, topic, VALUES)
    assert consume(bootstrap, topic, len(VALUES)) == VALUES


def test_each_test_has_topics_of_its_own(bootstrap: str, topic: str, new_topic: Callable[..., str]) -> None:
    wide = new_topic(partitions=3)
    assert wide != topic
    with contextlib.closing(KafkaAdminClient(bootstrap_servers=bootstrap)) as admin:
        described = {each["name"]: len(each["partitions"]) for each in admin.describe_topics([topic, wide])}
    assert described == {topic: 1, wide: 3}


@pytest.mark.parametrize("end", [Broker.stop, Broker.kill])
def test_a_broker_started_again_keeps_address_and_records(own_broker: Broker, end: Callable) -> None:
    bootstrap = own_broker.bootstrap
    own_broker.create_topic("kept")
    produce(bootstrap, "kept", VALUES)
    end(own_broker)
    assert own_broker.pid is None
    own_broker.start()
    assert own_broker.bootstrap == bootstrap
    produce(bootstrap, "kept", [b"more"])
    assert consume(bootstrap, "kept", len(VALUES) + 1) == [*VALUES, b"more"]


def test_nothing_is_left_after_with(own_broker: Broker) -> None:
    assert len(remains(own_broker.folder)) == 3  # folder, broker, watchdog: so the next line would see them
    own_broker.close()
    assert remains(own_broker.folder) == []
    own_broker.close()  # may be called again


@pytest.mark.kafka
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_of_a_broker_whose_tests_were_killed(signum: signal.Signals) -> None:
    script = "import time; from broker import Broker; b = Broker(); b.start(); print(b.folder, flush=True); time.sleep(99)"
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=HERE, stdout=subprocess.PIPE, text=True
    ) as tests:
        folder = Path(tests.stdout.readline().strip())
        assert len(remains(folder)) == 3
        tests.send_signal(signum)
    assert tests.returncode == -signum
    assert eventually(lambda: remains(folder) == [])


@pytest.mark.kafka
def test_a_broker_that_does_not_come_up_shows_its_log_and_leaves_nothing() -> None:
    broker = Broker()
    said = r"ended with status 1; the end of its log:\n(.*\n)*.*already in use"
    taken = socket.create_server(("127.0.0.1", broker._controller_port))
    with taken, pytest.raises(BrokerError, match=said):
        broker.__enter__()
    assert remains(broker.folder) == []


def test_without_java_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    broker = Broker()
    with pytest.raises(
        MissingProgramError, match=r"Java 17 or newer is needed .* tests/system.sh java maven"
    ):
        broker.start()
    assert remains(broker.folder) == []


@pytest.mark.kafka
def test_run_gives_the_command_a_broker_and_passes_its_status_through() -> None:
    script = "import os, kafka; kafka.KafkaAdminClient(bootstrap_servers=os.environ['GNOMON_BOOTSTRAP']).close(); exit(3)"
    done = run(sys.executable, "-c", script)
    assert done.returncode == 3, done.stderr
    assert done.stdout == ""
    address = re.fullmatch(r"broker: starting Apache Kafka on 127\.0\.0\.1:(\d+)\n", done.stderr)
    assert address, done.stderr
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(address[1])))


@pytest.mark.kafka
def test_run_stopped_by_a_signal_ends_command_and_broker() -> None:
    script = "import os, time; print(os.getpid(), os.environ['GNOMON_BOOTSTRAP'], flush=True); time.sleep(99)"
    command = [*RUN, sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as runner:
        pid, bootstrap = runner.stdout.readline().split()
        runner.terminate()
    assert runner.returncode == 128 + signal.SIGTERM
    assert not Path("/proc", pid).exists()
    host, port = bootstrap.split(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)))


@pytest.mark.kafka
def test_run_says_that_there_is_no_such_command() -> None:
    done = run("no-such-command", "--now")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        127,
        "broker: cannot run no-such-command --now: No such file or directory",
    )


def test_run_without_a_command_is_a_usage_error() -> None:
    done = run()
    assert done.returncode == 2
    assert "which command? broker.py run -- CMD …" in done.stderr
