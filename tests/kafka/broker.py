"""A real Apache Kafka broker for tests and the demo: one KRaft node on free ports, gone without a trace.

with Broker() as broker:
    broker.create_topic("flights", partitions=2)
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap)

python tests/kafka/broker.py run -- gnomon demo --kafka    # CMD finds the broker in GNOMON_BOOTSTRAP
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import random
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import uuid
from pathlib import Path
from types import FrameType
from typing import NoReturn, Self

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

HERE = Path(__file__).resolve().parent
POM = HERE / "pom.xml"
JARS = HERE / "target" / "jars"
HOST = "127.0.0.1"
# Below the range that the system takes for outgoing connections, so that a stopped broker's port stays its own.
PORTS = range(20_000, 32_000)
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0

# Small, quick to start and to restart; otherwise as in production, so nothing creates a topic by accident.
PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
listeners=BROKER://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=BROKER://{host}:{port}
inter.broker.listener.name=BROKER
controller.listener.names=CONTROLLER
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={folder}/data
auto.create.topics.enable=false
# Records may carry times of years ago; by the default of one week they would be deleted as too old.
log.retention.ms=-1
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
# After a SIGKILL the broker is let in again once its former self's session has ended: 9 s by default.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
# By default 128 MB of heap, to compact logs that live for minutes.
log.cleaner.dedupe.buffer.size=4194304
"""
JVM = [
    "-Xms64m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
]
# Reads the process group to end from its standard input, a line for each start of the broker, an empty one when
# it has stopped. The input ends with the process that holds it, however that died; "end" says it in so many words,
# because a fork of that process may hold the input open.
WATCHDOG = """\
trap "" INT TERM HUP
while read -r group && [ "$group" != end ]; do last=$group; done
[ -z "$last" ] || { kill -s KILL -- "-$last"; sleep 0.5; }
rm -rf -- "$1"
"""


class BrokerError(RuntimeError):
    """The broker could not be resolved, started or reached; the message ends in what to do."""


class MissingProgramError(BrokerError):
    """Java or Maven is not installed."""


class Broker:
    """A broker of one's own; a context manager, restartable on the same port and data, for one thread at a time.

    Whatever becomes of the process that made it, also by SIGKILL, a watchdog ends the broker and removes its data.

    Raises:
        MissingProgramError: there is no Java, or no Maven and the jars are not there yet.
        BrokerError: it did not come up; the message shows the end of its log.
    """

    def __init__(self) -> None:
        self._port, self._controller_port = _free_ports(2)
        self.bootstrap = f"{HOST}:{self._port}"
        self.folder = Path(tempfile.gettempdir(), f"gnomon-kafka-{uuid.uuid4().hex}")  # from start to close
        self._watchdog: subprocess.Popen[str] | None = None
        self._server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The broker's process, None while it is stopped."""
        return self._server and self._server.pid

    def start(self) -> None:
        """Starts the broker, or starts it again on the port and data it had, and waits until it answers."""
        if self._server is not None:
            raise BrokerError(f"the broker on {self.bootstrap} is running already; stop() or kill() it first")
        java = [_program("java", "Java 17 or newer"), *JVM, "-cp", f"{resolve()}/*"]
        if self._watchdog is None:
            self._set_up(java)
        self._server = self._spawn([*java, "kafka.Kafka", self._properties])
        self._wait_until_it_answers()

    def stop(self) -> None:
        """Stops the broker in an orderly way (SIGTERM); its data stay."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kills the broker (SIGKILL), as a power cut would; its data stay."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """Ends the broker and removes its data. May be called again."""
        self.kill()
        if self._watchdog is not None:
            self._tell_watchdog("end")
            self._watchdog.communicate()
            self._watchdog = None

    def create_topic(self, name: str, partitions: int = 1) -> None:
        """Creates a topic and waits until each of its partitions has a leader."""
        create_topic(self.bootstrap, name, partitions)

    @property
    def _log(self) -> Path:
        return self.folder / "broker.log"

    @property
    def _properties(self) -> Path:
        return self.folder / "server.properties"

    def _set_up(self, java: list[str]) -> None:
        self.folder.mkdir(mode=0o700)
        self._watchdog = subprocess.Popen(
            ["sh", "-c", WATCHDOG, "watchdog", self.folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            process_group=0,  # what ends our process group must not end it
        )
        ports = {"port": self._port, "controller_port": self._controller_port}
        self._properties.write_text(PROPERTIES.format(host=HOST, folder=self.folder, **ports))
        cluster_id = uuid.uuid4().hex[:22]  # as long as Kafka's own, and never with a leading "-"
        storage_tool = [*java, "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", self._properties]
        if self._spawn(storage_tool).wait():
            raise BrokerError(f"Kafka could not format its storage; the end of its log:\n{self._tail()}")

    def _spawn(self, command: list[str | Path]) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,  # Ctrl-C in a terminal is for the tests, who then stop the broker
            )
        self._tell_watchdog(str(process.pid))
        return process

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            status = self._server.poll()
            if status is None and time.monotonic() < deadline:
                time.sleep(0.1)
                continue
            what = "did not answer in time" if status is None else f"ended with status {status}"
            tail = self._tail()
            self.kill()
            raise BrokerError(f"Kafka on {self.bootstrap} {what}; the end of its log:\n{tail}")

    def _answers(self) -> bool:
        try:
            # kafka-python logs a warning for each refused attempt, so it is asked once somebody listens.
            socket.create_connection((HOST, self._port), timeout=1).close()
            with contextlib.closing(KafkaAdminClient(bootstrap_servers=self.bootstrap)) as admin:
                return bool(admin.describe_cluster()["brokers"])  # empty until the controller has let it in
        except (OSError, KafkaError):
            return False

    def _end(self, how: signal.Signals) -> None:
        if self._server is None:
            return
        self._server.send_signal(how)
        try:
            self._server.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
        self._server = None
        self._tell_watchdog("")

    def _tell_watchdog(self, line: str) -> None:
        self._watchdog.stdin.write(line + "\n")
        self._watchdog.stdin.flush()

    def _tail(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-25:])


def create_topic(bootstrap: str, name: str, partitions: int = 1) -> None:
    """Creates a topic on any broker and waits until each of its partitions has a leader."""
    with contextlib.closing(KafkaAdminClient(bootstrap_servers=bootstrap)) as admin:
        admin.create_topics({name: {"num_partitions": partitions}}, wait_for_metadata=True)


def resolve() -> Path:
    """Has Maven copy Kafka's jars into target/, once for each version of pom.xml, and returns their folder."""
    resolved_pom = JARS / "pom.xml"
    JARS.parent.mkdir(exist_ok=True)
    with (JARS.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several runs may find them missing at once
        if resolved_pom.exists() and resolved_pom.read_bytes() == POM.read_bytes():
            return JARS
        maven = _program("mvn", "Maven")
        print("broker: resolving Apache Kafka by Maven, once (about 50 MB)", file=sys.stderr, flush=True)
        shutil.rmtree(JARS, ignore_errors=True)
        done = subprocess.run(
            [maven, "-q", "-B", "-f", POM, "dependency:copy-dependencies", f"-DoutputDirectory={JARS}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise BrokerError(f"Maven could not resolve Kafka; is its repository reachable?\n{done.stdout}")
        shutil.copy(POM, resolved_pom)  # last, so that whatever was interrupted is done again
    return JARS


def _program(name: str, title: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise MissingProgramError(f"{title} is needed and not installed; run: tests/system.sh java maven")
    return path


def _free_ports(count: int) -> list[int]:
    ports: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            ports.append(port)
        if len(ports) == count:
            return ports
    raise BrokerError(f"no {count} free ports between {PORTS.start} and {PORTS.stop}; stop what holds them")


def run(command: list[str]) -> int:
    """Runs a command beside a fresh broker, its address in GNOMON_BOOTSTRAP; returns the command's exit status."""
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, _leave)
    broker = Broker()
    print(f"broker: starting Apache Kafka on {broker.bootstrap}", file=sys.stderr, flush=True)
    with broker:
        try:
            process = subprocess.Popen(command, env=os.environ | {"GNOMON_BOOTSTRAP": broker.bootstrap})
        except OSError as exc:
            print(f"broker: cannot run {shlex.join(command)}: {exc.strerror}", file=sys.stderr)
            return 127
        try:
            status = process.wait()
        finally:
            process.terminate()  # does nothing to one that has ended
            process.wait()
    return status if status >= 0 else 128 - status  # as a shell says that a signal ended it


def _leave(signum: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + signum)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="broker.py", description="A real Apache Kafka broker for a while.")
    commands = parser.add_subparsers(required=True, metavar="run")
    runner = commands.add_parser("run", help="run a command beside a fresh broker")
    runner.add_argument(
        "command", nargs=argparse.REMAINDER, metavar="-- CMD …", help="finds GNOMON_BOOTSTRAP"
    )
    command = parser.parse_args(argv).command
    if command[:1] == ["--"]:
        command = command[1:]
    if not command:
        runner.error("which command? broker.py run -- CMD …")
    try:
        return run(command)
    except BrokerError as exc:
        print(f"broker: {exc}", file=sys.stderr)
    except Exception:  # noqa: BLE001 - uncaught it would exit 1, and that is for the command to say
        traceback.print_exc()
    return 4


if __name__ == "__main__":
    sys.exit(main())
