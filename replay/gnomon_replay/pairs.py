"""Contract 2: the pair log on disk.

`<log>/<experiment>/` holds Delta tables: `pairs/` (one row per request and candidate, partitioned by day),
`dead_letters/`, `ledger/`, `labels/` and `runs/`. Their schemas stand here, are versioned, and are never inferred
from a batch. Only two columns vary: `features` and `attributes` have the fields of the experiment, learnt
or declared; a struct that has no field yet is left out, since Parquet refuses empty structs. Delta's names ignore case:
the first spelling of a feature or attribute wins, and a record with another is a dead letter. A batch has
exactly the table's types before it is written: Delta's schema merge is no type guard.

A row whose `served` is null is a *stand-in*: users' answer was not seen, so `primary` was run and stands
for it. An answer without a label is no answer: it is in no figure about labels.

`pairs` is the truth about progress: its commits carry the positions up to which the traffic was read.
"""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

SCHEMA_VERSION = 1

TIMESTAMP = pa.timestamp("us", tz="UTC")

OUTPUT = pa.struct(
    [
        ("version", pa.string()),
        ("label", pa.string()),  # in canonical form
        ("score", pa.float64()),
        ("scores", pa.list_(pa.float64())),
        ("output", pa.string()),  # canonical JSON
        ("latency_us", pa.int64()),  # of out-of-band runs: only of a request run alone and timed
        ("error", pa.string()),  # one of ERROR_KINDS
        ("message", pa.string()),  # of the error; or UNFETCHED
    ]
)
"""What one model answered to one request."""

SOURCE = pa.struct(
    [
        ("name", pa.string()),  # the traffic's: `kafka:<cluster id>:<topic>` or `spool:<experiment>`
        ("topic", pa.string()),  # Kafka's topic; null for a spool
        ("partition", pa.string()),  # Kafka's partition; for a spool the capturing process
        ("offset", pa.int64()),  # of the message; for a spool the number of the line
        ("line", pa.int32()),  # within the message; for a spool 0
    ]
)
"""Where a line of the traffic stood. It names one line for ever: addresses change, names do not."""

ORIGIN = pa.struct([("process", pa.string()), ("seq", pa.int64())])

ANSWERS = ("served", "primary", "primary_again", "candidate", "candidate_again")
"""The output columns: what users got, then the out-of-band runs (`…_again` and, but for stand-ins and
timed requests, `primary` on the noise sample alone; `candidate` on every row)."""

ERROR_KINDS = (
    "exception",
    "timeout",
    "crash",
    "out_of_memory",
    "wrong_rows",
    "wrong_type",
    "nan_output",
)
CRITICAL_KINDS = ("timeout", "crash", "out_of_memory")
UNREPRODUCED = "unreproduced: "
"""A message begins with this when a crash or a hang did not come again with the request alone in a fresh
host. An error of a critical kind is critical unless its message begins so."""
UNFETCHED = "unfetched: "
"""The message of an answer without an error begins with this, and names the features, where the candidate's hook
could not fetch all of them."""

FEATURE_TYPES = {"bool": pa.bool_(), "string": pa.string(), "double": pa.float64(), "int64": pa.int64()}


def pairs_schema(features: pa.StructType, attributes: pa.StructType) -> pa.Schema:
    """The schema of `pairs` for these features and attributes.

    Args:
        features: fields of the types in `FEATURE_TYPES`.
        attributes: string fields.
    """
    fields = [
        pa.field("request_id", pa.string()),
        pa.field("ts", TIMESTAMP),
        pa.field("day", pa.date32()),  # the UTC date of ts; the table's partition column
        pa.field("service", pa.string()),
        pa.field("key", pa.string()),
        pa.field("attributes", attributes),
        pa.field("weight", pa.float64()),
        pa.field("features", features),
        pa.field("payload", pa.string()),  # JSON text
        *(pa.field(name, OUTPUT) for name in ANSWERS),
        pa.field("source", SOURCE),
        pa.field("origin", ORIGIN),
        pa.field("primary_digest", pa.string()),  # of the primary's model, run out of band
        pa.field("candidate_digest", pa.string()),
        pa.field("noise_frac", pa.float64()),  # the probability with which this row was drawn for noise
        pa.field("threads", pa.int32()),  # of each host
        pa.field("duplicate", pa.bool_()),  # its request_id stood earlier in the same partition
        pa.field("replayed_at", TIMESTAMP),
        pa.field("schema_version", pa.int32()),
    ]
    return pa.schema([field for field in fields if field.type not in (pa.struct([]),)])


DEAD_LETTERS = pa.schema(
    [
        pa.field("source", SOURCE),
        pa.field("origin", ORIGIN),
        pa.field("request_id", pa.string()),
        pa.field("key", pa.string()),
        pa.field("reason", pa.string()),  # gnomon_capture.record.Reason
        pa.field("detail", pa.string()),
        pa.field("bytes", pa.binary()),  # the line, at most its first 64 KiB
        pa.field("day", pa.date32()),  # of reading: the line may have no readable time
        pa.field("read_at", TIMESTAMP),
        pa.field("schema_version", pa.int32()),
    ]
)

LEDGER = pa.schema(
    [
        pa.field("source", SOURCE),
        pa.field("process", pa.string()),
        pa.field("ts", TIMESTAMP),
        pa.field("upto_seq", pa.int64()),
        pa.field("seen", pa.int64()),
        pa.field("mirrored", pa.int64()),
        pa.field("not_selected", pa.int64()),
        pa.field("dropped", pa.map_(pa.string(), pa.int64())),  # by reason
        pa.field("closed", pa.bool_()),
        # Rows that `forget` and retention write instead: the inclusive range of seq that they took.
        pa.field("removed", pa.struct([("from_seq", pa.int64()), ("to_seq", pa.int64())])),
        pa.field("schema_version", pa.int32()),
    ]
)

LABELS = pa.schema(
    [
        pa.field("request_id", pa.string()),
        pa.field("label", pa.string()),  # in canonical form
        pa.field("value", pa.float64()),  # regression
        pa.field("labelled_at", TIMESTAMP),
        pa.field("loaded_at", TIMESTAMP),  # of the file, one time for all of it
        pa.field("row", pa.int64()),  # in the file; the latest (loaded_at, row) of a request counts
        pa.field("schema_version", pa.int32()),
    ]
)

RUNS = pa.schema(
    [
        pa.field("run_id", pa.string()),  # of one run of a worker; its rows add up
        pa.field("began_at", TIMESTAMP),  # of what the row counts
        pa.field("ended_at", TIMESTAMP),
        pa.field("source", pa.string()),
        pa.field("role", pa.string()),  # candidate or primary
        pa.field("version", pa.string()),
        pa.field("digest", pa.string()),
        pa.field("threads", pa.int32()),
        pa.field("answers", pa.int64()),  # requests answered; those of the noise sample twice
        pa.field("cpu_s", pa.float64()),  # of the model's calls alone
        pa.field("peak_bytes", pa.int64()),  # resident, of one host, since the run began; the greatest counts
        pa.field("timed", pa.int64()),
        pa.field("warm_up", pa.int64()),  # run alone on a fresh host, logged without a latency
        pa.field("restarts", pa.int64()),  # hosts that had to be replaced
        pa.field("network_attempts", pa.int64()),  # of Python code, refused; native code's are not counted
        pa.field("first_attempt", pa.string()),
        pa.field("network_isolated", pa.bool_()),  # in a network namespace of its own
        pa.field("schema_version", pa.int32()),
    ]
)
"""What the models of a run took. No part of exactly once: a worker that is killed leaves out its last hour."""

PARTITION_BY = {"pairs": ["day"], "dead_letters": ["day"]}


def struct_of(fields: Iterable[tuple[str, pa.DataType]]) -> pa.StructType:
    """A struct type of these fields, in this order."""
    return pa.struct([pa.field(name, kind) for name, kind in fields])
