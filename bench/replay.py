"""What a replay costs a pair, beside the bare consumption and the bare prediction of the same data.

python bench/replay.py [--records 200000]

CPU time of this process and of the models' processes, so that a busy machine changes little; wall time beside
it. A logistic pipeline on 12 features answers every request as the candidate, and a twentieth in the four runs
of the noise sample; the bare prediction is the same calls on the same data. Nothing is timed alone. A stage's
time is that of all threads while it lasts: what Kafka's client fetches ahead falls where it falls. The broker
is the tests' own.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import skops.io
from gnomon_capture.arrow import ArrowEncoder
from gnomon_capture.record import (
    CONTENT_TYPE_ARROW,
    CONTENT_TYPE_HEADER,
    Ledger,
    Origin,
    Request,
    Served,
    encode_lines,
)
from gnomon_replay.asking import Panel, in_noise_sample
from gnomon_replay.decode import Decoder
from gnomon_replay.log import PairLog
from gnomon_replay.model import MOST_ROWS, HostedModel
from gnomon_replay.settings import Experiment, Model, ReplaySettings, Traffic
from gnomon_replay.shape import Shape
from gnomon_replay.sources import open_source
from gnomon_replay.traffic import Onlooker, Source
from gnomon_replay.worker import Worker
from kafka import KafkaProducer
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "kafka"))
from broker import Broker

FRAME = 500
PARTITIONS = 4
WORDS = ["carrier", "origin", "dest"]
NUMBERS = [f"number_{index}" for index in range(9)]
EXPERIMENT = Experiment(name="bench", task="binary", positive="1")
SETTINGS = ReplaySettings(latency_per_s=0, latency_min=0)


class Stages:
    """The CPU time of the stages of one replay: of this process, and of its models' processes."""

    def __init__(self, source: Source) -> None:
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        self._hosts = [pid for pid in children if b"host.py" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        self.spent: dict[str, float] = {}
        self._methods = [
            (type(source), "read", "consume"),
            (Decoder, "decode", "decode"),
            (Panel, "ask", "hand over and predict"),
            (PairLog, "commit", "write"),
        ]

    def __enter__(self) -> Self:
        self._saved = [(owner, name, getattr(owner, name)) for owner, name, _ in self._methods]
        for owner, name, stage in self._methods:
            setattr(owner, name, self._timed(getattr(owner, name), stage))
        return self

    def __exit__(self, *_: object) -> None:
        for owner, name, method in self._saved:
            setattr(owner, name, method)

    def cpu_s(self) -> float:
        """Of this process and the hosts, so far."""
        ticks = 0
        for pid in self._hosts:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")

    def _timed(self, method: Callable[..., Any], stage: str) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            began = self.cpu_s()
            try:
                return method(*args, **kwargs)
            finally:
                self.spent[stage] = self.spent.get(stage, 0.0) + self.cpu_s() - began

        return timed


@contextlib.contextmanager
def measured(what: str, pairs: int, costs: dict[str, float]) -> Iterator[None]:
    """Prints and keeps the CPU µs a pair of this process."""
    began, cpu_s = time.perf_counter(), time.process_time()
    yield
    costs[what] = (time.process_time() - cpu_s) / pairs * 1e6
    wall_us = (time.perf_counter() - began) / pairs * 1e6
    print(f"  {what:<34} {costs[what]:7.2f} µs CPU   {wall_us:7.2f} µs wall a pair")


def flights(count: int) -> pd.DataFrame:
    rng = np.random.default_rng(7)
    words = {name: rng.choice([f"{name[0]}{number}" for number in range(30)], count) for name in WORDS}
    return pd.DataFrame(words | {name: rng.normal(size=count).round(3) for name in NUMBERS})


def model_of(frame: pd.DataFrame, folder: Path) -> Any:
    label = (frame["number_0"] + frame["number_1"] > 0).astype(int)
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), WORDS), (StandardScaler(), NUMBERS)
    )
    model = make_pipeline(columns, LogisticRegression()).fit(frame, label)
    skops.io.dump(model, folder / "model.skops")
    return model


def frames_of(frame: pd.DataFrame) -> list[bytes]:
    """The traffic, as a mirror sends it: NDJSON, FRAME records a message."""
    records = [
        Request(
            request_id=f"r{number}",
            ts="2026-11-24T08:00:00.123456Z",
            service="bench",
            key=f"k{number % 4000}",
            attributes={"origin": row["origin"]},
            features=row,
            served=Served(version="1", label="1", score=0.5, latency_us=900),
            origin=Origin(process="bench.1", seq=number),
        )
        for number, row in enumerate(frame.to_dict("records"))
    ]
    return [encode_lines(records[start : start + FRAME]) for start in range(0, len(records), FRAME)]


def consumed(traffic: Traffic, folder: Path) -> list[Any]:
    """Every frame of the traffic, read and nothing else."""
    with contextlib.closing(open_source(traffic, folder, "bench", group=None)) as source:
        ends = source.ends()
        source.start(Onlooker())
        source.rewind(dict.fromkeys(ends))
        frames: dict[tuple[str, int], Any] = {}
        at = dict.fromkeys(ends, 0)
        while any(at[part] < end for part, end in ends.items()):
            for frame in source.read(1.0):
                frames[frame.place, frame.offset] = frame
                at[frame.place] = max(at[frame.place], frame.next_position)
        return list(frames.values())


def replayed(traffic: Traffic, folder: Path, log: str, count: int) -> float:
    """The replay as the command line runs it, once the models run; prints and returns its CPU µs a pair."""
    model = Model(version="1", model="model.skops")
    with (
        contextlib.closing(HostedModel(model, EXPERIMENT, folder, 1)) as candidate,
        contextlib.closing(HostedModel(model, EXPERIMENT, folder, 1)) as primary,
        contextlib.closing(open_source(traffic, folder, "bench", group=f"bench-{log}")) as source,
        Stages(source) as stages,
    ):
        panel = Panel([candidate], primary, SETTINGS.noise_frac, random.Random(7))
        pairs = PairLog(folder / log)
        worker = Worker(source, pairs, panel, SETTINGS, Shape({}, ()))
        began, cpu_s = time.perf_counter(), stages.cpu_s()
        done = worker.run(until_caught_up=True).pairs
        whole, wall_s = stages.cpu_s() - cpu_s, time.perf_counter() - began
    if done != count:
        raise RuntimeError(f"{done} pairs of {count}")
    print(f"  {'replay':<34} {whole / count * 1e6:7.2f} µs CPU   {wall_s / count * 1e6:7.2f} µs wall a pair")
    for stage, spent in (stages.spent | {"the rest": whole - sum(stages.spent.values())}).items():
        print(f"    {stage:<32} {spent / count * 1e6:7.2f} µs CPU")
    return whole / count * 1e6


def through(name: str, traffic: Traffic, folder: Path, count: int, predict: Callable[[], Any]) -> None:
    print(f"\n{name}, {count} records, {FRAME} a frame")
    costs: dict[str, float] = {}
    with measured("consume alone", count, costs):
        frames = consumed(traffic, folder)
    decoder = Decoder(Shape({}, ()), max_record_bytes=1 << 20)
    step = -(-SETTINGS.commit_rows * len(frames) // count)
    with measured("decode alone", count, costs):
        for start in range(0, len(frames), step):
            decoder.decode(frames[start : start + step])
    del frames
    with measured("predict alone, the same calls", count, costs):
        predict()
    whole = replayed(traffic, folder, name, count)
    consume, predicted = costs["consume alone"], costs["predict alone, the same calls"]
    own = whole - consume - predicted
    print(
        f"  replay = {whole / consume:.1f} × consume alone = {whole / (consume + predicted):.1f} × both alone"
    )
    print(f"  own cost (replay − consume − predict) {own:.2f} µs a pair = {own / whole:.0%} of it")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--records", type=int, default=200_000)
    count = arguments.parse_args().records
    with tempfile.TemporaryDirectory() as name, Broker() as broker:
        folder = Path(name)
        frame = flights(count)
        model = model_of(frame, folder)
        frames = frames_of(frame)
        spool = folder / "traffic" / "bench.1"
        spool.mkdir(parents=True)
        ledger = Ledger(
            process="bench.1",
            ts="2026-11-24T08:00:01Z",
            upto_seq=count - 1,
            seen=count,
            mirrored=count,
            closed=True,
        )
        spool.joinpath(f"{0:020d}.ndjson").write_bytes(b"".join(frames))
        spool.joinpath(f"{count:020d}.ndjson").write_bytes(encode_lines([ledger]))
        producer = KafkaProducer(bootstrap_servers=broker.bootstrap, acks="all", compression_type="zstd")
        arrow = ArrowEncoder()
        headers = [(CONTENT_TYPE_HEADER, CONTENT_TYPE_ARROW.encode())]
        for topic in ("bench", "arrow"):
            broker.create_topic(topic, PARTITIONS)
            for number, data in enumerate(frames):
                if topic == "arrow":
                    data = arrow.encode(data)
                    assert data is not None
                producer.send(
                    topic,
                    data,
                    partition=number % PARTITIONS,
                    headers=headers if topic == "arrow" else [],
                )
        producer.close()

        noise = in_noise_sample([f"r{number}" for number in range(count)], SETTINGS.noise_frac)

        def predict() -> None:
            for start in range(0, count, SETTINGS.commit_rows):
                rows = frame.iloc[start : start + SETTINGS.commit_rows]
                drawn = noise[start : start + len(rows)]
                plain = rows[~drawn]
                for begin in range(0, len(plain), MOST_ROWS):
                    model.predict_proba(plain.iloc[begin : begin + MOST_ROWS])
                for _ in range(4):
                    model.predict_proba(rows[drawn])

        through("spool", Traffic(address="spool:traffic"), folder, count, predict)
        through("kafka", Traffic(address=f"kafka://{broker.bootstrap}/bench"), folder, count, predict)
        through("kafka, Arrow", Traffic(address=f"kafka://{broker.bootstrap}/arrow"), folder, count, predict)


if __name__ == "__main__":
    main()
