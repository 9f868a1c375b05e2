"""What mirroring costs: the caller's thread, the sender, a whole web application, and memory.

python bench/capture.py                                  every part that needs no broker
python bench/capture.py calls gil --records 50000        some of them
python tests/kafka/broker.py run -- python bench/capture.py kafka

calls    µs a call, hot (in a loop) and cold (a thread just woken), with 1 and 8 threads, beside an empty call
gil      the longest spells of the sender's thread between two sleeps, at 20,000 and 100,000 records/s, and how late
         a serving thread wakes beside it
asgi     requests/s and p99 of a Starlette application under load, with and without a mirror, in turn
spool    the sender's CPU a record into a spool
kafka    the sender's CPU a record into a broker (GNOMON_BOOTSTRAP), with 12 and with 25 features
memory   the peak of a process whose broker is away while a million requests pass

CPU time where possible, so that a busy machine changes little; latencies are wall time, so compare them with the
control beside them, measured in turn.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any, Literal

from gnomon_capture import CaptureSettings, Mirror
from gnomon_capture import sender as sender_module

SERVED = {"version": "3.2", "label": "late", "score": 0.83, "latency_us": 1830}
KEYS = [f"N{number:05d}" for number in range(4000)]


def features(count: int) -> dict[str, Any]:
    return {f"feature_{at}": f"AA{at}" if at % 3 == 0 else at * 1.5 for at in range(count)}


FEATURES = features(12)


def nothing(
    features: Any = None,
    *,
    payload: Any = None,
    served: Any = None,
    key: Any = None,
    attributes: Any = None,
    request_id: Any = None,
    ts: Any = None,
) -> None:
    """The control: a call of the same form."""


def timed(call: Callable[..., None], calls: int, pause_s: float) -> list[int]:
    """Nanoseconds of each call."""
    clock, took = time.perf_counter_ns, []
    for number in range(calls):
        if pause_s:
            time.sleep(pause_s)
        key = KEYS[number % len(KEYS)]
        start = clock()
        call(FEATURES, served=SERVED, key=key)
        took.append(clock() - start)
    return took


def in_threads(call: Callable[..., None], threads: int, calls: int, pause_s: float) -> list[int]:
    took: list[int] = []
    running = [
        threading.Thread(target=lambda: took.extend(timed(call, calls // threads, pause_s)))
        for _ in range(threads)
    ]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return took


def quantiles_us(took: list[int]) -> list[float]:
    ordered = sorted(took)
    return [ordered[int(len(ordered) * frac)] / 1000 for frac in (0.5, 0.99, 0.999)]


def calls(records: int) -> None:
    print("calls: µs, median / p99 / p99.9")
    with tempfile.TemporaryDirectory() as folder, Mirror(f"spool:{folder}") as mirror:
        for threads in (1, 8):
            for name, pause_s, count in (("hot", 0.0, records), ("cold", 0.001, records // 40)):
                control: list[int] = []
                mirrored: list[int] = []
                for _ in range(10):
                    control += in_threads(nothing, threads, count // 10, pause_s)
                    mirrored += in_threads(mirror.record, threads, count // 10, pause_s)
                    while mirror.stats().waiting:
                        time.sleep(0.002)
                empty, full = quantiles_us(control), quantiles_us(mirrored)
                added = [f"{one - other:9.2f}" for one, other in zip(full, empty, strict=True)]
                shown = [" / ".join(f"{one:8.2f}" for one in row) for row in (empty, full)]
                print(f"  {threads} thread{'s' * (threads > 1):1} {name:4}  empty  {shown[0]}")
                print(
                    f"                  record {shown[1]}   added {' / '.join(added)}"
                    f"   median {full[0] / empty[0]:.1f} × empty"
                )
        dropped = mirror.stats().dropped
    print(f"  dropped meanwhile: {dropped or 'none'}")


class Spells:
    """Stands in for the module `time` in the sender: CPU of the sender's thread between two sleeps.

    A sleep lets go of Python's lock; what writes and compresses between two sleeps does too, so that a spell is
    an upper bound of how long the lock is held.
    """

    monotonic, time_ns = staticmethod(time.monotonic), staticmethod(time.time_ns)

    def __init__(self) -> None:
        self.spells: list[int] = []
        self._began: int | None = None

    def sleep(self, pause_s: float) -> None:
        if self._began is not None:
            self.spells.append(time.thread_time_ns() - self._began)
        time.sleep(pause_s)
        self._began = time.thread_time_ns()


def gil(records: int) -> None:
    print("gil: µs of CPU that the sender's thread spends between two sleeps, median / p99 / longest")
    for rate in (20_000, 100_000):
        watched = Spells()
        sender_module.time = watched  # type: ignore[attr-defined]
        late = []
        try:
            with tempfile.TemporaryDirectory() as folder, Mirror(f"spool:{folder}") as mirror:
                begun = time.perf_counter()
                for number in range(records):
                    while time.perf_counter() < begun + number / rate:
                        asleep = time.perf_counter_ns()
                        time.sleep(0.0002)
                        late.append(time.perf_counter_ns() - asleep - 200_000)
                    mirror.record(FEATURES, served=SERVED, key=KEYS[number % len(KEYS)])
                reached = records / (time.perf_counter() - begun)
                dropped = mirror.stats().dropped
        finally:
            sender_module.time = time  # type: ignore[attr-defined]
        spells = [
            " / ".join(f"{one:.0f}" for one in [*quantiles_us(took)[:2], max(took) / 1000])
            for took in (watched.spells, late)
        ]
        print(
            f"  {rate:,} records/s asked, {reached:,.0f} reached: {spells[0]}   ({len(watched.spells)} spells,"
            f" {records / len(watched.spells):.0f} records each; dropped: {dropped or 'none'})"
        )
        print(f"    a serving thread wakes later than it asked to: {spells[1]}")


APP = """
import json, os
from gnomon_capture import Mirror
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

mirror = Mirror(os.environ["TRAFFIC"])

def answer(features):
    score = sum(value for value in features.values() if isinstance(value, float)) % 1
    return {"label": "late" if score > .5 else "ok", "score": score}

async def without(request):
    return JSONResponse(answer(await request.json()))

async def mirrored(request):
    features = await request.json()
    served = answer(features)
    mirror.record(features, served=served, key=features["feature_0"])
    return JSONResponse(served)

app = Starlette(routes=[Route("/without", without, methods=["POST"]), Route("/with", mirrored, methods=["POST"])])
"""


async def load(port: int, path: str, seconds: float) -> tuple[float, list[int]]:
    """Requests/s over 8 connections, and nanoseconds of each."""
    import json

    body = json.dumps(FEATURES).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: b\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    message = head.encode() + body
    took: list[int] = []
    end = time.perf_counter() + seconds

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() < end:
            start = time.perf_counter_ns()
            writer.write(message)
            answer = await reader.readuntil(b"\r\n\r\n")
            [length] = [line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length")]
            await reader.readexactly(int(length.split(b":")[1]))
            took.append(time.perf_counter_ns() - start)
        writer.close()

    await asyncio.gather(*(one() for _ in range(8)))
    return len(took) / seconds, took


def asgi(blocks: int) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/app.py", "w") as file:
            file.write(APP)
        command = [sys.executable, "-m", "uvicorn", "--log-level=error", f"--port={port}", "app:app"]
        server = subprocess.Popen(command, cwd=folder, env=os.environ | {"TRAFFIC": f"spool:{folder}/spool"})
        try:
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except OSError:
                    time.sleep(0.1)
            asyncio.run(load(port, "/with", 1.0))
            rates: dict[str, list[float]] = {"/without": [], "/with": []}
            took: dict[str, list[int]] = {"/without": [], "/with": []}
            for block in range(blocks):
                for path in ("/without", "/with") if block % 2 else ("/with", "/without"):
                    rate, times = asyncio.run(load(port, path, 1.0))
                    rates[path].append(rate)
                    took[path] += times
                    time.sleep(0.3)
        finally:
            server.terminate()
            server.wait()
    ratio = statistics.median(a / b for a, b in zip(rates["/with"], rates["/without"], strict=True))
    print(f"asgi: Starlette under uvicorn, 8 connections, {blocks} seconds each in turn")
    for path in rates:
        median, p99, _ = quantiles_us(took[path])
        print(
            f"  {path[1:]:8} {statistics.median(rates[path]):8,.0f} requests/s   median {median:7,.0f} µs   p99 {p99:8,.0f} µs"
        )
    p99s = [quantiles_us(took[path])[1] for path in ("/with", "/without")]
    print(f"  with / without: throughput {ratio:.3f} (median of blocks)   p99 {p99s[0] / p99s[1]:.3f}")


def sent(to: str, records: int, count: int, wire: Literal["ndjson", "arrow"] = "ndjson") -> None:
    """Prints the sender's CPU and rate, from the first record until the closing ledger is acknowledged."""
    settings = CaptureSettings(buffer_records=records + 1, buffer_bytes=1 << 32, wire=wire)
    passed = features(count)
    wall, cpu, caller = time.perf_counter(), time.process_time(), time.thread_time()
    with Mirror(to, service="bench", settings=settings) as mirror:
        for number in range(records):
            mirror.record(passed, served=SERVED, key=KEYS[number % len(KEYS)])
        handed_over = time.thread_time() - caller
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu - (time.thread_time() - caller)
    stats = mirror.stats()
    if stats.mirrored != records or stats.unacknowledged:
        raise SystemExit(f"{stats.mirrored} of {records} records were mirrored: {stats.dropped}")
    print(
        f"  {wire:6} {count} features: sender {cpu / records * 1e6:6.2f} µs CPU a record, {records / wall:9,.0f} records/s sustained;"
        f" caller {handed_over / records * 1e6:5.2f} µs; sender / caller {cpu / handed_over:.1f}"
    )


def spool(records: int) -> None:
    print("spool: NDJSON")
    for count in (12, 25):
        with tempfile.TemporaryDirectory() as folder:
            sent(f"spool:{folder}", records, count)


def kafka(records: int) -> None:
    bootstrap = os.environ.get("GNOMON_BOOTSTRAP")
    if bootstrap is None:
        raise SystemExit(
            "kafka: no broker; run: python tests/kafka/broker.py run -- python bench/capture.py kafka"
        )
    from kafka import KafkaAdminClient

    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    print("kafka: three partitions")
    wires: tuple[Literal["ndjson", "arrow"], ...] = ("ndjson", "arrow")
    for wire in wires:
        for count in (12, 25):
            topic = f"bench-{count}-{time.time_ns()}"
            admin.create_topics({topic: {"num_partitions": 3}}, wait_for_metadata=True)
            sent(f"kafka://{bootstrap}/{topic}", records, count, wire)
    admin.close()


def memory(requests: int) -> None:
    """In a process of its own, whose peak is the mirror's."""
    for overflow in (False, True):
        command = [sys.executable, __file__, "--memory-of", str(requests), *(["--overflow"] * overflow)]
        subprocess.run(command, check=True)


def peak(requests: int, overflow: bool) -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and listens not
        settings = CaptureSettings(overflow=folder if overflow else None)
        mirror = Mirror(f"kafka://127.0.0.1:{nobody.getsockname()[1]}/t", settings=settings)
        time.sleep(1)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        begun = time.perf_counter()
        for number in range(requests):
            # As values come: none is shared with another request.
            passed = {f"feature_{at}": number + at * 1.5 for at in range(12)}
            mirror.record(passed, served={"label": "late", "score": number / requests}, key=f"N{number}")
            if number % 50 == 0:
                time.sleep(0.001)
        rate = requests / (time.perf_counter() - begun)
        stats = mirror.stats()
        added = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before
        bound = settings.buffer_bytes / (1 << 20)
        mirror.close(0.1)
    print(
        f"memory: broker away, {requests:,} requests at {rate:,.0f}/s, overflow {'on' if overflow else 'off'}:"
        f" peak +{added:.0f} MiB, bound {bound:.0f} MiB, ratio {added / bound:.2f};"
        f" waiting {stats.waiting:,}, numbered {stats.mirrored:,}, dropped {stats.dropped}"
    )


PARTS: dict[str, Callable[[argparse.Namespace], None]] = {
    "calls": lambda args: calls(args.records),
    "gil": lambda args: gil(args.records),
    "asgi": lambda args: asgi(args.blocks),
    "spool": lambda args: spool(args.records),
    "kafka": lambda args: kafka(args.records),
    "memory": lambda args: memory(args.requests),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--records", type=int, default=200_000, help="of calls, gil, spool and kafka")
    parser.add_argument("--blocks", type=int, default=10, help="seconds of asgi, each way")
    parser.add_argument("--requests", type=int, default=1_000_000, help="of memory")
    parser.add_argument("--memory-of", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--overflow", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.memory_of:
        peak(args.memory_of, args.overflow)
        return
    for part in args.parts or [name for name in PARTS if name != "kafka" or "GNOMON_BOOTSTRAP" in os.environ]:
        if part not in PARTS:
            parser.error(f"there is no part {part!r}; choose of {', '.join(PARTS)}")
        PARTS[part](args)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
