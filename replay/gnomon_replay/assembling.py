"""Rows of the log, put together from requests, marks and answers."""

from __future__ import annotations

import datetime
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gnomon_replay.columns import complete
from gnomon_replay.pairs import SCHEMA_VERSION, TIMESTAMP, pairs_schema
from gnomon_replay.shape import Shape

Mask = npt.NDArray[np.bool_]


def rows_of(
    requests: pa.Table,
    duplicate: pa.BooleanArray,
    answers: Mapping[str, Mapping[str, pa.StructArray]],
    wanted: Mapping[str, Mask],
    *,
    shape: Shape,
    primary_digest: str | None,
    noise_frac: float,
    threads: int,
) -> pa.Table:
    """The rows of the log for these requests: one for each candidate and request that it wanted.

    Args:
        answers: the output columns, over all requests, by candidate digest.
        wanted: which requests each candidate was asked about.
    """
    constants = {
        "primary_digest": pa.scalar(primary_digest, pa.string()),
        "noise_frac": pa.scalar(noise_frac if primary_digest is not None else 0.0),
        "threads": pa.scalar(threads, pa.int32()),
        "replayed_at": pa.scalar(datetime.datetime.now(datetime.UTC), TIMESTAMP),
        "schema_version": pa.scalar(SCHEMA_VERSION, pa.int32()),
    }
    table = requests
    for name, value in constants.items():
        table = table.append_column(name, pa.repeat(value, table.num_rows))
    day = requests.column("ts").cast(pa.timestamp("us")).cast(pa.date32())  # of the UTC time
    table = table.append_column("day", day).append_column("duplicate", duplicate)
    schema = pairs_schema(shape.features, shape.attributes)
    parts = []
    for digest, columns in answers.items():
        part = table.append_column("candidate_digest", pa.repeat(pa.scalar(digest), table.num_rows))
        for name, column in columns.items():
            part = part.append_column(name, column)
        if not wanted[digest].all():
            part = part.filter(pa.array(wanted[digest]))
        parts.append(complete(part, schema))
    return pa.concat_tables(parts)
