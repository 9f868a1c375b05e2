"""Two models on 167,000 real flights, end to end: traffic, replay, report, verdict, SQL.

Trains two models that guess which departures will arrive late, mirrors half a year of flights through a real
Mirror, runs the candidate beside them, and judges it. Exits as `gnomon gate` does. Needs gnomon[demo].

example:
  gnomon demo
  gnomon demo --candidate broken        # one carrier's delay arrives in hours: is it found?
  gnomon demo --kafka --bootstrap localhost:9092
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gnomon.exits import OF_VERDICT

if TYPE_CHECKING:
    from gnomon.config import Config
    from gnomon.judging import Judged

PARTITIONS = 4
QUERIES = (
    "select carrier, count(*) n, avg(disagrees::int) differ from pairs group by 1 order by 3 desc limit 5",
    "select served_label, candidate_label, count(*) n from pairs group by 1, 2 order by 3 desc",
    "select carrier, origin, dest, dep_delay, served_label, candidate_label, score_delta, label from pairs "
    "join labels using (request_id) where disagrees order by abs(score_delta) desc limit 5",
)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--candidate", choices=("good", "broken"), default="good")
    parser.add_argument("--kafka", action="store_true", help="through a Kafka topic instead of a folder")
    parser.add_argument(
        "--bootstrap",
        metavar="HOST:PORT",
        default=os.environ.get("GNOMON_BOOTSTRAP"),
        help="the broker for --kafka (environment: GNOMON_BOOTSTRAP)",
    )
    parser.add_argument("--days", type=int, metavar="N", help="only the first N days of the half year")
    parser.add_argument(
        "--folder",
        type=Path,
        metavar="DIR",
        help="where it works (default: gnomon-demo/CANDIDATE); made anew",
    )


def run(arguments: argparse.Namespace) -> int:
    from gnomon_capture.errors import UsageError

    if arguments.kafka and not arguments.bootstrap:
        raise UsageError(
            "--kafka needs a broker: --bootstrap HOST:PORT, or `make demo-kafka`, which starts one"
        )
    if arguments.days is not None and arguments.days < 1:
        raise UsageError("--days takes 1 or more")
    try:
        import gnomon.demo.flights as flights
        from gnomon.demo import build_models, experiment
    except ImportError as exc:
        raise ImportError(f"the demo needs {exc.name}: pip install 'gnomon[demo]'", name=exc.name) from exc
    from gnomon.config import load
    from gnomon.judging import compare_and_judge, load_labels, record, verdict_text, write_report
    from gnomon.replaying import replay

    steps = _Steps(6)
    folder = arguments.folder or Path("gnomon-demo") / (
        arguments.candidate + ("-kafka" if arguments.kafka else "")
    )
    traffic = "spool:traffic"
    if arguments.kafka:
        topic = f"gnomon-demo-{arguments.candidate}-{time.time_ns() // 1_000_000}"
        traffic = f"kafka://{arguments.bootstrap}/{topic}"
    config_file = experiment.prepare(folder, arguments.candidate, traffic)

    steps.begin("train two models on January to June")
    models = build_models(folder, steps.tell)
    steps.tell(
        f"log loss on held-out months: primary {models.primary_log_loss:.3f}, "
        f"candidate {models.candidate_log_loss:.3f}"
    )

    steps.begin("serve July to December by the primary, and mirror each request")
    if arguments.kafka:
        _create_topic(arguments.bootstrap, topic)
    departures = experiment.first_days(flights.traffic(), arguments.days)
    to = traffic if arguments.kafka else f"spool:{folder / 'traffic'}"
    counts = experiment.serve(departures, experiment.load_primary(folder), to, steps.every(len(departures)))
    steps.tell(f"{counts.mirrored:,} requests mirrored, {sum(counts.dropped.values())} dropped")

    config = load(config_file)
    candidate = config.candidate(None)
    steps.begin(f"replay them through candidate {candidate.version}, out of band")
    replay(config, [candidate], follow=False)

    steps.begin("load what became of the flights, as labels")
    load_labels(config, experiment.write_labels(departures, folder))

    steps.begin("compare, and write the report")
    judged = compare_and_judge(config, candidate, examples=50, explain=True)
    record(config, judged)
    page = write_report(config, judged.comparison, judged.verdict, examples=True)

    steps.begin("judge")
    print(verdict_text(judged), end="")
    _what_next(page, config, judged)
    return OF_VERDICT[judged.verdict.verdict]


def _what_next(page: Path, config: Config, judged: Judged) -> None:
    print(f"\nThe report:  {page}\nThe verdict: {judged.verdict.reason}\n\nAsk it yourself:")
    program = (
        "gnomon" if shutil.which("gnomon") else sys.argv[0]
    )  # as `make demo` runs it, it is not on the path
    for query in QUERIES:
        print(f'  {program} sql --config {config.path} "{query}"')


def _create_topic(bootstrap: str, topic: str) -> None:
    from gnomon_replay.kafka_source import translated
    from kafka import KafkaAdminClient
    from kafka.admin import NewTopic

    with translated(f"kafka://{bootstrap}/{topic}"):
        admin = KafkaAdminClient(bootstrap_servers=bootstrap.split(","))
        try:
            admin.create_topics([NewTopic(topic, num_partitions=PARTITIONS, replication_factor=1)])
        finally:
            admin.close()


class _Steps:
    """Says which step runs, and how far it is, on stderr."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._number = 0
        self._said = 0.0

    def begin(self, what: str) -> None:
        self._number += 1
        print(f"\n[{self._number}/{self._count}] {what}", file=sys.stderr, flush=True)

    def tell(self, what: str) -> None:
        print(f"      {what}", file=sys.stderr, flush=True)

    def every(self, total: int) -> Any:
        """A callback that tells how many of `total` are done, at most every few seconds."""

        def told(done: int) -> None:
            if time.monotonic() - self._said >= 3:
                self._said = time.monotonic()
                self.tell(f"{done:,} of {total:,}")

        self._said = time.monotonic()
        return told
