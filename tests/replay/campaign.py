"""The exactly-once campaign: real workers, killed, stopped, doubled and starved; one pair for each request.

    python tests/replay/campaign.py                         # every kind for four minutes, four kinds at a time
    python tests/replay/campaign.py --kinds spool-killed-in-commit --faults 20 --seed 7

What is expected is counted here, by whoever writes the traffic, and never by gnomon; what is found is read from
the Delta table. A fault counts as tried only when it was seen to happen: a process that died of SIGKILL, that
stood still, that ended with the error it should. Exit status 0: nothing doubled, lost or unknown anywhere.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import multiprocessing.connection
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "kafka"))
from broker import Broker, BrokerError, create_topic
from deltalake import DeltaTable
from faulty import POINTS, Fault, die_with_parent, fork_worker
from kafka import KafkaProducer

FORK = multiprocessing.get_context("fork")
PARTITIONS = 3
TORN_EVERY, LEDGER_EVERY = 40, 60
LINES_A_MESSAGE = 5
COMMIT_ROWS = 60
END_S = 150.0
"""How long the last worker may take; it may have to wait for the sessions of dead ones."""

CONFIG = """
[experiment]
name = "campaign"
task = "binary"
positive = "1"
log = "{log}"
[traffic]
from = "{traffic}"
[primary]
version = "1"
[replay]
latency_per_s = 0
latency_min = 0
commit_rows = {commit_rows}
commit_s = 0.2
"""
CANDIDATE = """
[[candidate]]
version = "{version}"
model = "models:thirds"
"""
MODELS = """
def thirds(frame):
    return [{"label": int(x % 3 == 0), "score": float(x % 3 == 0)} for x in frame["x"]]
"""


@dataclass
class Outcome:
    """What became of one kind of fault.

    Attributes:
        tried: faults that were seen to happen.
        points: of these, how many at each point of the commit.
        expected, found: pairs; `doubled` rows are beyond the first, `lost` have none, `wrong` a false answer.
        letters_lost: lines that are no records, and are no dead letters either.
        odd: what else was not as it should be, in words.
    """

    kind: str
    tried: int = 0
    expected: int = 0
    found: int = 0
    doubled: int = 0
    lost: int = 0
    wrong: int = 0
    letters_lost: int = 0
    workers: int = 0
    seconds: float = 0.0
    points: dict[str, int] = field(default_factory=dict)
    odd: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (self.doubled or self.lost or self.wrong or self.letters_lost or self.odd)


def apart(function: Callable[..., Any], *given: Any) -> Any:
    """Runs it in a process of its own, so that this one starts no threads and may go on forking."""
    ours, theirs = FORK.Pipe(duplex=False)

    def run() -> None:
        theirs.send(function(*given))

    process = FORK.Process(target=run)
    process.start()
    theirs.close()
    try:
        return ours.recv()
    except EOFError:
        raise RuntimeError(f"{function.__name__} failed") from None
    finally:
        process.join()


class Running:
    """A worker that was started."""

    def __init__(self, pid: int, output: Path, fault: Fault | None) -> None:
        self.pid, self.output, self.fault = pid, output, fault
        self.status: int | None = None  # as Popen has it: negative for a signal

    def ended(self) -> bool:
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is not None

    def stands_still(self) -> bool:
        with contextlib.suppress(OSError):
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
        return False

    def signal(self, number: int) -> None:
        if not self.ended():
            os.kill(self.pid, number)

    def end(self, seconds: float) -> int | None:
        """Waits for its end; None if it takes longer."""
        return self.status if until(self.ended, seconds) else None

    def words(self) -> str:
        return self.output.read_text(errors="replace")[-1500:]


class Lane:
    """One kind's traffic, log and workers."""

    def __init__(
        self, kind: str, folder: Path, seed: int, bootstrap: str | None, faults: int, budget_s: float
    ) -> None:
        self.outcome = Outcome(kind)
        self.chance = random.Random(f"{seed} {kind}")
        self.folder = folder
        self.bootstrap = bootstrap
        self.faults = faults
        self.began = time.monotonic()
        self.deadline = self.began + budget_s
        self.candidates = ["2"]
        self.log = "shadow"
        self.numbers = 0
        self.torn = 0
        self._lines = [0] * PARTITIONS  # of each spool
        self.workers: list[Running] = []
        folder.mkdir(parents=True)
        (folder / "models.py").write_text(MODELS)
        if bootstrap:
            self.topic = f"campaign-{kind}-{seed}-{os.getpid()}"
            apart(create_topic, bootstrap, self.topic, PARTITIONS)
        self.configure()

    # ---- what it writes ----

    def configure(self, commit_rows: int = COMMIT_ROWS) -> None:
        traffic = f"kafka://{self.bootstrap}/{self.topic}" if self.bootstrap else "spool:traffic"
        text = CONFIG.format(log=self.log, traffic=traffic, commit_rows=commit_rows)
        text += "".join(CANDIDATE.format(version=version) for version in self.candidates)
        (self.folder / "gnomon.toml").write_text(text)

    def traffic(self, count: int, pad: int = 0) -> None:
        """So many more requests, and now and then a line that is no record, or a ledger."""
        messages = [
            self._message(range(at, min(at + LINES_A_MESSAGE, self.numbers + count)), pad)
            for at in range(self.numbers, self.numbers + count, LINES_A_MESSAGE)
        ]
        self.numbers += count
        if self.bootstrap:
            apart(produce, self.bootstrap, self.topic, messages)
            return
        for part in range(PARTITIONS):
            data = b"".join(messages[part::PARTITIONS])
            place = self.folder / "traffic" / f"p{part}"
            place.mkdir(parents=True, exist_ok=True)
            name = place / f"{self._lines[part]:020d}.ndjson"
            self._lines[part] += data.count(b"\n")
            name.with_suffix(".part").write_bytes(data)
            name.with_suffix(".part").rename(name)

    def _message(self, numbers: range, pad: int) -> bytes:
        lines = []
        for x in numbers:
            record = {
                "request_id": f"r{x}",
                "ts": f"2026-11-{1 + x % 20:02d}T08:00:00Z",
                "features": {"x": x, "pad": self.chance.randbytes(pad).hex()} if pad else {"x": x},
                "served": {"label": x % 2, "score": float(x % 2)},
            }
            lines.append(json.dumps(record))
            if x % TORN_EVERY == 7:
                lines.append('{"request_id": "torn')
                self.torn += 1
            if x % LEDGER_EVERY == 11:
                ledger = {"ledger": 1, "process": "p", "ts": "2026-11-01T08:00:00Z", "upto_seq": -1}
                counts = {"seen": 0, "mirrored": 0, "not_selected": 0, "dropped": {}, "closed": False}
                lines.append(json.dumps(ledger | counts))
        return "".join(f"{line}\n" for line in lines).encode()

    # ---- what it starts ----

    def start(
        self, *how: str, fault: Fault | None = None, candidate: str = "2", small_commits: bool = True
    ) -> Running:
        config = str(self.folder / "gnomon.toml")
        arguments = ["replay", "--config", config, "--candidate", candidate, *how]
        output = self.folder / f"worker-{self.outcome.workers}.txt"
        self.outcome.workers += 1
        worker = Running(fork_worker(arguments, output, fault, small_commits=small_commits), output, fault)
        self.workers.append(worker)
        return worker

    def random_fault(self, how: str, most: int) -> Fault:
        at = self.chance.choice(POINTS)
        nth = 1 if at == "opened" else self.chance.randint(1, most)  # later ones seldom open anew
        return Fault(at, nth, how, self.chance.uniform(0, 0.02))

    def catch_up(self, candidate: str = "2") -> None:
        """One more worker, which nobody disturbs, reads to the end."""
        self.configure(commit_rows=5_000)
        worker = self.start("--until-caught-up", candidate=candidate, small_commits=False)
        if worker.end(END_S) != 0:
            worker.signal(signal.SIGKILL)
            self.odd("the last worker did not end well", worker)

    def tried(self, fault: Fault | None = None) -> None:
        self.outcome.tried += 1
        point = "any" if fault is None else fault.at
        self.outcome.points[point] = self.outcome.points.get(point, 0) + 1

    def odd(self, what: str, worker: Running) -> None:
        self.outcome.odd.append(f"{what} (status {worker.status}): {worker.words()}")

    def rounds(self) -> Iterator[int]:
        """Numbers rounds until there were faults enough, or the time is up."""
        number = 0
        while self.outcome.tried < self.faults and time.monotonic() < self.deadline:
            yield number
            number += 1

    # ---- what it finds ----

    def close(self) -> Outcome:
        for worker in self.workers:
            if not worker.ended():
                worker.signal(signal.SIGKILL)
                os.kill(worker.pid, signal.SIGCONT)
                worker.end(10)
        for candidate in self.candidates:
            self.catch_up(candidate)
        outcome = self.outcome
        log = self.folder / self.log / "campaign"
        rows, found, wrong, letters = apart(found_in, log, self.numbers)
        outcome.expected = self.numbers * len(self.candidates)
        outcome.found, outcome.wrong = rows, wrong
        outcome.doubled, outcome.lost = rows - found, outcome.expected - found
        outcome.letters_lost = self.torn - letters
        outcome.seconds = time.monotonic() - self.began
        return outcome


def produce(bootstrap: str, topic: str, messages: list[bytes]) -> None:
    """Sends messages, one after the other to each partition, acknowledged."""
    with contextlib.closing(KafkaProducer(bootstrap_servers=bootstrap, acks="all")) as producer:
        for at, message in enumerate(messages):
            producer.send(topic, message, partition=at % PARTITIONS)
        producer.flush()


def found_in(log: Path, numbers: int) -> tuple[int, int, int, int]:
    """Rows, distinct pairs of a request and a candidate, false ones, and distinct places of dead letters."""
    columns = ["request_id", "candidate_digest", "candidate"]
    rows = DeltaTable(str(log / "pairs")).to_pyarrow_table(columns=columns).to_pylist()
    known = {f"r{x}": str(int(x % 3 == 0)) for x in range(numbers)}
    wrong = sum(known.get(row["request_id"]) != row["candidate"]["label"] for row in rows)
    letters = DeltaTable(str(log / "dead_letters")).to_pyarrow_table(columns=["source"]).to_pylist()
    return (
        len(rows),
        len({(row["request_id"], row["candidate_digest"]) for row in rows if row["request_id"] in known}),
        wrong,
        len({json.dumps(letter["source"]) for letter in letters}),
    )


def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Waits for it; was it met?"""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


# ---- the kinds: spools, whose workers know nothing of each other ----


def spool_killed(lane: Lane) -> None:
    """SIGKILL at random moments, from outside."""
    for _ in lane.rounds():
        lane.traffic(600)
        worker = lane.start("--until-caught-up")
        until(worker.ended, lane.chance.uniform(0.3, 3.0))
        worker.signal(signal.SIGKILL)
        if worker.end(10) == -signal.SIGKILL:
            lane.tried()


def spool_killed_in_commit(lane: Lane) -> None:
    """SIGKILL between and within the steps of a commit."""
    for _ in lane.rounds():
        lane.traffic(480)
        worker = lane.start("--until-caught-up", fault=lane.random_fault("kill", 3))
        status = worker.end(60)
        if status == -signal.SIGKILL:
            lane.tried(worker.fault)
        elif status != 0:
            lane.odd("a worker that should die or end did neither", worker)


def spool_slept_in_commit(lane: Lane) -> None:
    """A zombie: it stops in its commit, an heir who knows nothing of it does the work, it wakes and goes on."""
    for _ in lane.rounds():
        lane.traffic(480)
        zombie = lane.start("--until-caught-up", fault=lane.random_fault("stop", 3))
        until(lambda zombie=zombie: zombie.ended() or zombie.stands_still(), 60)
        if zombie.ended():
            continue
        lane.traffic(lane.chance.choice([0, 120]))
        heir = lane.start("--until-caught-up")
        if lane.chance.random() < 0.5:  # or it wakes while the heir is at work
            heir.end(60)
        else:
            until(heir.ended, lane.chance.uniform(0, 2))
        os.kill(zombie.pid, signal.SIGCONT)
        lane.tried(zombie.fault)
        for worker in (zombie, heir):
            # Fenced three times in a row is a way to end, too: two workers on one spool are one too many.
            if worker.end(90) not in (0, 4):
                lane.odd("neither done nor fenced", worker)


def commit_half_done(lane: Lane) -> None:
    """The disk is full from a point of the commit on: dead letters may be written and the pairs not."""
    for _ in lane.rounds():
        lane.traffic(360)
        fault = Fault(lane.chance.choice(POINTS[:5]), lane.chance.randint(1, 4), "full")
        worker = lane.start("--until-caught-up", fault=fault)
        status = worker.end(60)
        if status == 4 and "the disk is full" in worker.words():
            lane.tried(fault)
        elif status != 0:
            lane.odd("no clear error of a full disk", worker)


def disk_full(lane: Lane) -> None:
    """A real one: a file system of 16 MB, filled but for a little by chance. Needs root."""
    lane.log = "small"
    lane.configure()
    small = lane.folder / "small"
    small.mkdir()
    ballast = small / "ballast"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", small], check=True)
    try:
        for _ in lane.rounds():
            lane.traffic(200, pad=100)
            free = shutil.disk_usage(small).free
            room = lane.chance.randrange(0, 60_000, 4096)
            if free < 4_000_000:
                break  # what is logged takes the room; that is enough of it
            ballast.write_bytes(bytes(max(0, free - room)))
            worker = lane.start("--until-caught-up")
            status = worker.end(60)
            if status == 4 and "the disk is full" in worker.words():
                lane.tried()
            elif status != 0:
                lane.odd("no clear error of a full disk", worker)
            ballast.unlink()
        lane.catch_up()
        lane.configure()
        shutil.copytree(small, lane.folder / "kept")
    finally:
        subprocess.run(["umount", "-l", small], check=False)
    lane.log = "kept"
    lane.configure()


def candidate_added(lane: Lane) -> None:
    """A second candidate, then a third, while the others are ahead; a worker for each, all of them killed."""
    lane.traffic(1200)
    lane.catch_up()
    lane.configure()
    for number in lane.rounds():
        if number < 2:
            lane.candidates.append(str(3 + number))
            lane.configure()
        lane.traffic(240)
        workers = [
            lane.start("--until-caught-up", fault=lane.random_fault("kill", 3), candidate=version)
            for version in lane.candidates
        ]
        for worker in workers:
            status = worker.end(90)
            if status == -signal.SIGKILL:
                lane.tried(worker.fault)
            elif status != 0:
                lane.odd("a worker that should die or end did neither", worker)


# ---- the kinds: Kafka, where a group shares the partitions out ----


def kafka_killed(lane: Lane) -> None:
    """Three workers in a group, killed within their commits or at any moment, and replaced."""
    slots: list[Running | None] = [None, None, None]
    next_kill = time.monotonic() + 5
    for _ in lane.rounds():
        for at, worker in enumerate(slots):
            if worker is not None and worker.ended():
                if worker.status == -signal.SIGKILL:
                    lane.tried(worker.fault)
                elif worker.status != 4:
                    lane.odd("a follower ended", worker)
                worker = None
            if worker is None:
                fault = lane.random_fault("kill", 8) if lane.chance.random() < 0.7 else None
                slots[at] = lane.start("--follow", fault=fault)
        if time.monotonic() > next_kill:
            victim = lane.chance.choice([each for each in slots if each is not None])
            victim.fault = None  # not that one, then
            victim.signal(signal.SIGKILL)
            next_kill = time.monotonic() + lane.chance.uniform(2, 8)
        lane.traffic(60)
        time.sleep(lane.chance.uniform(0, 0.5))
    leave(lane, slots)


def kafka_rebalanced(lane: Lane) -> None:
    """Workers that join and leave in the middle of batches."""
    slots: list[Running | None] = [lane.start("--follow")]
    for _ in lane.rounds():
        if len(slots) < 3 and (len(slots) == 1 or lane.chance.random() < 0.5):
            slots.append(lane.start("--follow"))
        else:
            leave(lane, [slots.pop(lane.chance.randrange(len(slots)))])
        lane.tried()
        until_s = time.monotonic() + lane.chance.uniform(1.0, 4.0)
        while time.monotonic() < until_s:
            lane.traffic(60)
            time.sleep(lane.chance.uniform(0, 0.3))
    leave(lane, slots)


def kafka_slept(lane: Lane) -> None:
    """Workers that stop, in their commit or anywhere, past their session's end, and wake when others have gone on."""
    slots: list[Running | None] = [lane.start("--follow"), lane.start("--follow")]
    for number in lane.rounds():
        at = number % 2
        if lane.chance.random() < 0.5:
            leave(lane, [slots[at]])
            slots[at] = lane.start("--follow", fault=lane.random_fault("stop", 4))
        zombie = slots[at]
        assert zombie is not None
        asleep_by = time.monotonic() + 15
        while not zombie.stands_still() and not zombie.ended():
            lane.traffic(60)
            if zombie.fault is None or time.monotonic() > asleep_by:
                zombie.fault = None
                time.sleep(lane.chance.uniform(0, 0.5))
                zombie.signal(signal.SIGSTOP)
            time.sleep(0.2)
        asleep = time.monotonic()
        while time.monotonic() < asleep + lane.chance.uniform(6.5, 9.0):
            lane.traffic(60)
            time.sleep(0.4)
        if zombie.ended():
            lane.odd("a sleeper ended", zombie)
        else:
            os.kill(zombie.pid, signal.SIGCONT)
            lane.tried(zombie.fault)
            zombie.fault = None
        for _ in range(5):
            lane.traffic(60)
            time.sleep(0.3)
        for at, worker in enumerate(slots):
            if worker is None or worker.ended():
                if worker is not None and worker.status != 4:
                    lane.odd("a follower ended", worker)
                slots[at] = lane.start("--follow")
    leave(lane, slots)


def broker_restarted(lane: Lane, broker: BrokerServant) -> None:
    """A broker that is stopped or killed and started again; workers that end over it are started again, too."""
    slots: list[Running | None] = [lane.start("--follow"), lane.start("--follow")]
    for _ in lane.rounds():
        until_s = time.monotonic() + lane.chance.uniform(2.0, 5.0)
        while time.monotonic() < until_s:
            lane.traffic(60)
            time.sleep(0.2)
        broker.bid(lane.chance.choice(["stop", "kill"]))
        time.sleep(lane.chance.uniform(0, 3))
        broker.bid("start")
        lane.tried()
        for at, worker in enumerate(slots):
            if worker is None or worker.ended():
                if worker is not None and worker.status != 4:
                    lane.odd("a follower ended", worker)
                slots[at] = lane.start("--follow")
    leave(lane, slots)


def leave(lane: Lane, workers: list[Running | None]) -> None:
    """Has workers end by SIGTERM, as a service's manager would."""
    for worker in workers:
        if worker is not None:
            worker.signal(signal.SIGTERM)
    for worker in workers:
        if worker is None:
            continue
        for _ in range(60):
            if worker.end(1) is not None:
                break
            if worker.stands_still():
                worker.signal(signal.SIGCONT)  # its fault came as it left
        if worker.status not in (0, 4, -signal.SIGKILL, -signal.SIGTERM):
            lane.odd("did not end well by SIGTERM", worker)


class BrokerServant:
    """A broker, held by a process of its own, so that this one may go on forking."""

    def __init__(self) -> None:
        self._pipe, theirs = FORK.Pipe()
        self._process = FORK.Process(target=_hold_broker, args=(theirs,))
        self._process.start()
        self.bootstrap = str(self._pipe.recv())

    def bid(self, what: str) -> None:
        """`start`, `stop` or `kill` it, and wait until that is done."""
        self._pipe.send(what)
        self._pipe.recv()

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._pipe.send("close")
        self._process.join()


def _hold_broker(pipe: Any) -> None:
    with Broker() as broker:
        pipe.send(broker.bootstrap)
        while (what := pipe.recv()) != "close":
            for attempt in range(3):
                try:
                    getattr(broker, what)()
                    break
                except BrokerError:  # a machine that is busy with all this may be too slow
                    if attempt == 2:
                        raise
            pipe.send("done")


SPOOL = (
    spool_killed,
    spool_killed_in_commit,
    spool_slept_in_commit,
    commit_half_done,
    disk_full,
    candidate_added,
)
KAFKA = (kafka_killed, kafka_rebalanced, kafka_slept)
KINDS = {kind.__name__.replace("_", "-"): kind for kind in (*KAFKA, broker_restarted, *SPOOL)}


def run_lane(name: str, folder: Path, options: argparse.Namespace, pipe: Any) -> None:
    """One kind from beginning to end; what was found goes into the pipe."""
    die_with_parent()
    kind: Any = KINDS[name]
    with contextlib.ExitStack() as stack:
        bootstrap, more = None, []
        if kind is broker_restarted:
            broker = stack.enter_context(contextlib.closing(BrokerServant()))
            bootstrap, more = broker.bootstrap, [broker]
        elif kind in KAFKA:
            bootstrap = options.bootstrap
        lane = Lane(name, folder / name, options.seed, bootstrap, options.faults, options.budget_s)
        try:
            kind(lane, *more)
        finally:
            outcome = lane.close()
        pipe.send(outcome)


def campaign(names: list[str], folder: Path, options: argparse.Namespace) -> Iterator[Outcome]:
    """Runs the kinds, so many at a time, and gives what became of each as it ends."""
    waiting = list(names)
    running: dict[Any, tuple[str, Any]] = {}
    while waiting or running:
        while waiting and len(running) < options.jobs:
            name = waiting.pop(0)
            ours, theirs = FORK.Pipe(duplex=False)
            process = FORK.Process(target=run_lane, args=(name, folder, options, theirs))
            process.start()
            theirs.close()
            running[ours] = (name, process)
        for pipe in multiprocessing.connection.wait(list(running)):
            name, process = running.pop(pipe)
            try:
                yield pipe.recv()
            except EOFError:
                yield Outcome(name, odd=["the campaign itself failed; its error stands above"])
            process.join()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=15)
    parser.add_argument("--kinds", default="", help=f"of {', '.join(KINDS)}; default: all")
    parser.add_argument("--faults", type=int, default=1000, help="of each kind, at most")
    parser.add_argument("--budget-s", type=float, default=240.0, help="of each kind, at most")
    parser.add_argument("--jobs", type=int, default=4, help="kinds at a time")
    parser.add_argument("--bootstrap", help="a broker that is there already")
    parser.add_argument("--json", action="store_true", help="print outcomes as JSON, a line each")
    options = parser.parse_args()
    names = [name for name in options.kinds.split(",") if name] or list(KINDS)
    if unknown := sorted(set(names) - set(KINDS)):
        parser.error(f"no such kind: {', '.join(unknown)}; there are {', '.join(KINDS)}")
    if "disk-full" in names and os.geteuid():
        print("disk-full is left out: mounting a small file system needs root", file=sys.stderr)
        names.remove("disk-full")
    folder = Path(tempfile.mkdtemp(prefix="gnomon-campaign-"))
    clean = True
    head = (
        f"{'kind':<24}{'tried':>7}{'expected':>10}{'found':>9}{'doubled':>9}{'lost':>6}{'workers':>9}{'s':>6}"
    )
    if not options.json:
        print(f"seed {options.seed}; traffic, logs and outputs in {folder}\n{head}", flush=True)
    with contextlib.ExitStack() as stack:
        if options.bootstrap is None and {KINDS[name] for name in names} & set(KAFKA):
            options.bootstrap = stack.enter_context(contextlib.closing(BrokerServant())).bootstrap
        for outcome in campaign(names, folder, options):
            clean &= outcome.clean
            if options.json:
                print(json.dumps(asdict(outcome)), flush=True)
                continue
            o = outcome
            print(
                f"{o.kind:<24}{o.tried:>7}{o.expected:>10,}{o.found:>9,}{o.doubled:>9}{o.lost:>6}{o.workers:>9}{o.seconds:>6.0f}"
                f"  {' '.join(f'{point} {count}' for point, count in sorted(o.points.items()))}"
            )
            if o.wrong or o.letters_lost:
                print(f"    {o.wrong} wrong, {o.letters_lost} dead letters lost")
            for line in o.odd:
                print(f"    {line}")
            sys.stdout.flush()
    if clean:
        shutil.rmtree(folder)
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())
