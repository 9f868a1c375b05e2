"""Blocks of lines through Arrow's JSON reader, or not at all.

With the experiment's schema it is the one fast reader that refuses what does not fit (others turn 1.5 into 1,
"7" into 7). It is not the definition of a record, though: `gnomon_capture.record.decode_line` is. So wherever
the two could disagree, or a field is met that nobody has learnt yet, the answer is None, and the lines are
for `decode_line`.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
from gnomon_capture.record import PROCESS_PATTERN

from gnomon_replay.blocks import Block, newlines
from gnomon_replay.columns import complete
from gnomon_replay.pairs import ORIGIN, TIMESTAMP
from gnomon_replay.shape import EXACT_DOUBLE, Shape

_MOST_BRACKETS = 8
"""A line, on average. Arrow's reader recurses: 20,000 brackets within each other overflow the stack."""
_YEARS_US = [
    pa.scalar(moment.replace(tzinfo=datetime.UTC), TIMESTAMP).value
    for moment in (datetime.datetime.min, datetime.datetime.max)
]
"""The years 1 to 9999, which a record's time may be in."""
_NULL_WEIGHT = re.compile(rb'"weight"\s*:\s*null')
_LONG_NUMBER = 309
"""So many digits are beyond a double; Python reads the integer, and refuses it from 4,300 digits on."""


def wire_schema(shape: Shape, label: pa.DataType) -> pa.Schema:
    """The fields of a record as they stand in a line, without `payload`.

    Args:
        label: the type of `served.label`: text, or double or boolean where the lines have those.
    """
    return pa.schema(
        [
            ("request_id", pa.string()),
            ("ts", TIMESTAMP),
            ("service", pa.string()),
            ("key", pa.string()),
            ("attributes", shape.attributes),
            ("features", shape.features),
            (
                "served",
                pa.struct(
                    [
                        ("version", pa.string()),
                        ("label", label),
                        ("score", pa.float64()),
                        ("scores", pa.list_(pa.float64())),
                        ("latency_us", pa.int64()),
                        ("error", pa.string()),
                    ]
                ),
            ),
            ("weight", pa.float64()),
            ("origin", ORIGIN),
        ]
    )


def read_fast(block: Block, shape: Shape, label: pa.DataType, max_bytes: int) -> pa.Table | None:
    """The block's requests, one row a line, with the columns of `wire_schema`; None where in doubt."""
    if shape.empty or not _one_object_a_line(block, max_bytes):
        return None
    wire = wire_schema(shape, label)
    # Most lines have no weight, and only a column that Arrow finds by itself says whether any has one.
    asked = wire.remove(wire.get_field_index("weight"))
    try:
        block.data.decode()
        table = pj.read_json(
            pa.BufferReader(block.data),
            read_options=pj.ReadOptions(use_threads=False, block_size=len(block.data) + 1),
            parse_options=pj.ParseOptions(explicit_schema=asked, unexpected_field_behavior="infer"),
        )
    except (pa.ArrowInvalid, UnicodeDecodeError):
        return None
    if table.num_rows != len(block):
        return None
    if not table.schema.equals(asked):
        if not _only_ignored(table.schema, wire) or not _numbers_agree(block.data):
            return None
        if "weight" in table.column_names and not _weights_valid(table.column("weight"), block.data):
            return None
    table = complete(table, wire)
    return table if _valid(table, block.data) else None


def _one_object_a_line(block: Block, max_bytes: int) -> bool:
    """Whether each line begins as an object and ends as one, is not too long and not too deep.

    With this and the number of rows no object can span lines unseen: where one did, a line would have to
    begin with `{` after a `}` without a comma.
    """
    characters = np.frombuffer(block.data, np.uint8)
    breaks = newlines(block.data)
    if len(breaks) != len(block) - 1 or not block.data.startswith(b"{") or not block.data.endswith(b"}"):
        return False
    whole = (characters[breaks - 1] == ord("}")).all() and (characters[breaks + 1] == ord("{")).all()
    longest = np.diff(breaks, prepend=-1, append=len(block.data)).max() - 1
    brackets = np.count_nonzero(characters == ord("{")) + np.count_nonzero(characters == ord("["))
    return bool(whole and longest <= max_bytes and brackets <= _MOST_BRACKETS * len(block))


def _only_ignored(found: pa.Schema, wire: pa.Schema) -> bool:
    """Whether all that lines have beyond the schema is null, or in a field that `decode_line` ignores."""
    extra = [field for field in found if field.name == "payload"]
    extra += [field for field in found.field("served").type if field.name == "output"]
    for column in ("attributes", "features"):
        known = {field.name for field in wire.field(column).type}
        extra += [field for field in found.field(column).type if field.name not in known]
    return all(field.type == pa.null() for field in extra)


def _numbers_agree(data: bytes) -> bool:
    """Whether Python reads every number that Arrow does, and as infinite what Arrow does: no `Inf`, which is no
    JSON of Python's, and no number so long that each 19th of its digits is one of 16 in a row."""
    sampled = np.frombuffer(data, np.uint8)[:: _LONG_NUMBER // 16]
    digits = ((sampled >= ord("0")) & (sampled <= ord("9"))).tobytes()
    return b"\1" * 16 not in digits and (b"Inf" not in data or data.count(b"Inf") == data.count(b"Infinity"))


def _weights_valid(column: pa.ChunkedArray, data: bytes) -> bool:
    if column.type not in (pa.float64(), pa.int64()):
        return False
    if column.null_count and _NULL_WEIGHT.search(data):
        return False
    weights = pc.fill_null(column, 1).to_numpy()
    return bool(((weights > 0) & (weights < EXACT_DOUBLE)).all())


def _valid(table: pa.Table, data: bytes) -> bool:
    """Whether each row is what `decode_line` takes, and says the same as Arrow does."""
    column = {name: table.column(name).combine_chunks() for name in table.column_names}
    served = column["served"]
    scores = served.field("scores").flatten()
    numbers = [served.field("score"), scores, served.field("label"), *column["features"].flatten()]
    sizes = [np.abs(each.to_numpy(zero_copy_only=False)) for each in numbers if each.type == pa.float64()]
    if any((each == np.inf).any() for each in sizes) and not _numbers_agree(data):
        return False
    return (
        valid_columns(column)
        # It may have been an integer that a double does not hold.
        and not any(((each >= EXACT_DOUBLE) & (each < np.inf)).any() for each in sizes)
    )


def valid_columns(column: Mapping[str, pa.Array]) -> bool:
    """Whether columns of `wire_schema` hold in each row what a record has to."""
    served = column["served"]
    return (
        not any(column[name].null_count for name in ("request_id", "ts", "features"))
        and not served.field("scores").flatten().null_count
        and _least(pc.binary_length(column["request_id"]), 1)
        and _years_valid(column["ts"])
        and _least(served.field("latency_us"), 0)
        and _origins_valid(column["origin"])
    )


def _least(column: pa.Array, bound: float) -> bool:
    """Whether no value is below a bound; nulls are not."""
    least = pc.min(column).as_py()
    return least is None or bool(least >= bound)


def _years_valid(column: pa.TimestampArray) -> bool:
    moments = column.view(pa.int64()).to_numpy()
    return bool(moments.min() >= _YEARS_US[0] and moments.max() <= _YEARS_US[1])


def _origins_valid(column: pa.StructArray) -> bool:
    process, seq = column.field("process"), column.field("seq")
    if not process.null_count == seq.null_count == column.null_count:
        return False  # half an origin
    names = pc.unique(process.drop_null()).to_pylist()
    return _least(seq, 0) and all(re.match(PROCESS_PATTERN, name) for name in names)
