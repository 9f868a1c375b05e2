"""The traffic against a reference: the data a model was trained on, or the traffic's own first day."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from gnomon_capture.errors import UsageError

from gnomon_diff.columns import Column
from gnomon_diff.comparison import Reference, Shift
from gnomon_diff.drawing import Drawn, draw, with_distances
from gnomon_diff.questions import Questions
from gnomon_diff.quoting import identifier, literal, path
from gnomon_diff.shifts import features_of, shifts_between, subjects_of
from gnomon_diff.sides import NOW_TS, THEN_TS, Sides, joined, split_at
from gnomon_diff.twosample import two_sample
from gnomon_diff.window import Window, epoch_us

FIRST_DAY = "first day"
"""In place of a file: the first whole day of the traffic against the others."""


def reference_files(address: str, folder: Path) -> list[str]:
    """The Parquet files of a reference, none for the first day.

    Args:
        address: a file, a folder's files as a pattern (`train/*.parquet`), or `first day`.
        folder: what a relative path is relative to.

    Raises:
        UsageError: there is no such file, or one is no Parquet.
    """
    if address == FIRST_DAY:
        return []
    full = str(folder / address)
    files = [full] if Path(full).is_file() else sorted(glob.glob(full))
    files = [file for file in files if Path(file).is_file()]
    if not files:
        raise UsageError(
            f"there is no reference at {full}: name a Parquet file whose columns are called as the features are, "
            f'a pattern such as "train/*.parquet", or "{FIRST_DAY}"'
        )
    for file in files:
        try:
            pq.read_schema(file)
        except (pa.ArrowInvalid, OSError) as exc:
            raise UsageError(
                f"the reference {file} is not a Parquet file: {str(exc).splitlines()[0]}"
            ) from exc
    return files


def ask_reference(
    questions: Questions,
    name: str,
    files: Sequence[str],
    columns: Sequence[Column],
    window: Window,
    whole_days: Sequence[int],
) -> Reference | None:
    """The traffic against the files, or against its first whole day; None where there is nothing of the traffic.

    Args:
        name: shown. files: as `reference_files` found them.
    """
    if not files:
        sides = split_at(questions.part("pairs"), window, whole_days, 1)
        if sides is None:
            return None
        shifts = shifts_between(questions, subjects_of(columns), sides)
        return Reference(
            name=name,
            n_reference=max((shift.n_then for shift in shifts), default=0),
            n_traffic=max((shift.n_now for shift in shifts), default=0),
            shifts=_drawn(questions, columns, sides, shifts)[0],
            only_traffic=[],
            only_reference=[],
            unreadable=[],
            two_sample=None,  # one day against others: they differ as any two days do
        )
    return _against_files(questions, name, files, columns, window)


def _against_files(
    questions: Questions, name: str, files: Sequence[str], columns: Sequence[Column], window: Window
) -> Reference | None:
    features = {
        (column.origin or "").removeprefix("features.").lower(): column
        for column in columns
        if (column.origin or "").startswith("features.")
    }
    listed = ", ".join(literal(path(file)) for file in files)
    known = {
        row["column_name"].lower(): row["column_name"]
        for row in questions.ask("reference_columns", files=listed).to_pylist()
    }
    both = [(column, known[feature]) for feature, column in features.items() if feature in known]
    if not both:
        raise UsageError(
            f"the reference {name} has none of the traffic's features ({', '.join(sorted(features)[:5])}, …): "
            "its columns must be called as they are"
        )
    values = [f"TRY_CAST({identifier(own)} AS {column.type})" for column, own in both]
    [row] = questions.ask(
        "reference_readable",
        files=listed,
        present=", ".join(f"count({identifier(own)})" for _, own in both),
        readable=", ".join(f"count({value})" for value in values),
    ).to_pylist()
    # Text holds anything, so only what can no longer be read is of another type.
    lost = [a > b for a, b in zip(row["present"], row["readable"], strict=True)]
    kept = [(column, value) for (column, _), value, bad in zip(both, values, lost, strict=True) if not bad]
    chosen = [column for column, _ in kept]
    sides = joined(
        f"SELECT 'reference ' || row_number() OVER () AS request_id, {THEN_TS} AS ts, "
        f"-row_number() OVER () AS block, "
        + ", ".join(f"{value} AS {identifier(column.name)}" for column, value in kept)
        + f" FROM read_parquet([{listed}])",
        f"SELECT request_id, {NOW_TS} AS ts, {_block(window)} AS block, "
        + ", ".join(identifier(column.name) for column in chosen)
        + f" FROM {questions.part('pairs')}",
        block="block",
    )
    shifts = shifts_between(questions, features_of(chosen), sides)
    n_traffic = max((shift.n_now for shift in shifts), default=0)
    if not n_traffic:
        return None
    shifts, drawn = _drawn(questions, chosen, sides, shifts, features_only=True)
    return Reference(
        name=name,
        n_reference=row["n"],
        n_traffic=n_traffic,
        shifts=shifts,
        only_traffic=sorted(
            column.origin or "" for feature, column in features.items() if feature not in known
        ),
        only_reference=sorted(own for feature, own in known.items() if feature not in features)[:100],
        unreadable=[column.origin or "" for (column, _), bad in zip(both, lost, strict=True) if bad],
        two_sample=two_sample(drawn, most_telling=by_size(shifts)),
    )


def by_size(shifts: Sequence[Shift]) -> list[str]:
    """The columns, the most moved first."""
    return [shift.column for shift in sorted(shifts, key=lambda one: -(one.psi_excess or 0.0))]


def _drawn(
    questions: Questions,
    columns: Sequence[Column],
    sides: Sides,
    shifts: Sequence[Shift],
    *,
    features_only: bool = False,
) -> tuple[list[Shift], Drawn]:
    drawn = draw(
        questions,
        features_of(columns) if features_only else subjects_of(columns),
        sides,
        n_then=max((shift.n_then for shift in shifts), default=0),
        n_now=max((shift.n_now for shift in shifts), default=0),
    )
    return with_distances(shifts, drawn), drawn


def _block(window: Window) -> str:
    return f"floor((epoch_us(ts) - {epoch_us(window.start)}) / 86400000000)::BIGINT"
