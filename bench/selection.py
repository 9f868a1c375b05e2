"""What selection and redaction cost the sender per request, beside encoding it.

python bench/selection.py [--blocks 200]

CPU time of one thread, so that a busy machine changes little. Requests of 12 features, an answer and a key go
through the screen and the encoder in slices of 50, as the sender takes them; each configuration in turn, block
by block, so that all meet the same machine. The ratio is to the first line, which selects all and redacts
nothing. A slice is what the sender does without a pause: the longest of `screen` adds to the time for which it
may hold the interpreter's lock.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from typing import Any

from gnomon_capture import CaptureSettings
from gnomon_capture.encoder import Encoder
from gnomon_capture.handoff import Waiting
from gnomon_capture.screen import Screen
from gnomon_capture.settings import from_mapping

FEATURES = {f"feature_{number}": f"AA{number}" if number % 3 == 0 else number * 1.5 for number in range(12)}
SERVED = {"version": "3.2", "label": "late", "score": 0.83, "latency_us": 1830}
PAYLOAD = {"user": {"id": "u1", "mail": "a@example.org", "age": 31}, "items": [{"n": 1, "name": "x"}] * 3}
SLICE, SLICES = 50, 20
SECRET = "BENCH_SECRET"

RULES = [
    {"frac": 1.0, "where": {"features.feature_1": {"min": 1e9}}},
    {"frac": 0.0, "where": {"attributes.client": ["test", "probe"]}},
]
HASH = {"secret_env": SECRET, "fields": {"key": "hash"}}
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "all, nothing redacted": {},
    "10 %, by chance": {"select": {"frac": 0.1}},
    "10 %, by key": {"select": {"frac": 0.1, "by": "key"}},
    "10 %, by key, after two rules": {"select": {"frac": 0.1, "by": "key", "rules": RULES}},
    "all, after two rules and a rate": {"select": {"rules": RULES, "max_per_s": 1e9}},
    "all, key hashed": {"redact": HASH},
    "all, key hashed, 2 features masked": {
        "redact": {
            **HASH,
            "fields": {"key": "hash", "features.feature_0": "mask", "features.feature_3": "drop"},
        }
    },
    "all, 8 of 12 features allowed": {
        "redact": {"allow": ["served", "key", *(f"features.feature_{number}" for number in range(8))]}
    },
    "10 % by key, key hashed": {"select": {"frac": 0.1, "by": "key"}, "redact": HASH},
    "all, 2 values in a payload": {"redact": {"fields": {"payload.user.mail": "mask", "payload.items.name": "drop"}}},
}  # fmt: skip


def requests(number: int, *, payload: bool) -> list[Waiting]:
    """A slice, with dicts of its own as the mirror makes them."""
    return [
        (
            1_795_507_200_000_000_000,
            {**FEATURES},
            PAYLOAD if payload else None,
            {**SERVED},
            f"N{(number * SLICE + at) % 4000:05d}",
            None,
            None,
            1.0,
        )
        for at in range(SLICE)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--blocks", type=int, default=200, help="how many blocks of 1,000 requests are timed")
    args = parser.parse_args()
    os.environ[SECRET] = "a secret of at least sixteen bytes"
    made = {}
    for name, table in CONFIGURATIONS.items():
        settings = from_mapping(CaptureSettings, table, "capture")
        encoder = Encoder("bench", "bench", settings.max_record_bytes)
        made[name] = Screen(settings, "bench"), encoder
    screened: dict[str, list[float]] = {name: [] for name in made}
    encoded: dict[str, list[float]] = {name: [] for name in made}
    slices: dict[str, list[int]] = {name: [] for name in made}
    sent = dict.fromkeys(made, 0)
    out: list[list[Waiting]] = []
    for block in range(args.blocks):
        for name, (screen, encoder) in made.items():
            taken = [requests(block * SLICES + at, payload="payload" in name) for at in range(SLICES)]
            out.clear()  # the last ones' end is not this one's cost
            start = time.thread_time_ns()
            for part in taken:
                before = time.thread_time_ns()
                out.append(screen.let_out(part, encoder.complain))
                slices[name].append(time.thread_time_ns() - before)
            middle = time.thread_time_ns()
            for part in out:
                if part:
                    encoder.encode(part)
            end = time.thread_time_ns()
            screened[name].append((middle - start) / SLICE / SLICES / 1000)
            encoded[name].append((end - middle) / SLICE / SLICES / 1000)
            sent[name] += sum(map(len, out))
    first = next(iter(made))
    base = statistics.median(screened[first]) + statistics.median(encoded[first])
    print(f"µs of CPU a request seen, medians of {args.blocks} blocks; a slice is {SLICE} requests")
    print(f"{'':36}  sent   screen   encode     both    ratio   slice p50 / p99")
    for name in made:
        screen_us, encode_us = statistics.median(screened[name]), statistics.median(encoded[name])
        share = sent[name] / args.blocks / SLICE / SLICES
        p99 = statistics.quantiles(slices[name], n=100)[98] / 1000
        print(
            f"{name:36} {share:5.0%}   {screen_us:6.2f}   {encode_us:6.2f}   {screen_us + encode_us:6.2f}"
            f"   {(screen_us + encode_us) / base:6.2f}   {statistics.median(slices[name]) / 1000:5.0f} / {p99:.0f} µs"
        )


if __name__ == "__main__":
    main()
