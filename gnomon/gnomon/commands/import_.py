"""Turn logs that you already have into traffic, to replay a candidate over them.

FILE is CSV, NDJSON, Parquet (.gz too for the first two), the folder of a Delta table, KServe's CloudEvents,
a Databricks inference table, or SageMaker's data capture; which one is seen by itself, or said by --format.
Of a plain table say what its columns are, by flags or in a table [import] of a TOML file. Rows that cannot
be mapped are listed with their reason and counted in the accounts. The same content is imported once.

example:
  gnomon import log.csv --to spool:traffic --time served_at --request-id id --label answer --score p_late
  gnomon import log.csv --to spool:traffic --mapping gnomon.toml
  gnomon import capture/*.jsonl --to kafka://localhost:9092/flights --columns carrier,dep_delay --prediction label
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gnomon.commands import options
from gnomon.exits import DONE

if TYPE_CHECKING:
    from gnomon_replay.importing.settings import ImportSettings

_UNITS = ("s", "ms", "us", "ns")
# Flag, what it takes, and its help; each is also a key of [import].
_COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("time", "COLUMN", "the time of serving (needed for a plain table)"),
    ("request-id", "COLUMN", "your own id, to join labels to; without one, ids are made of file and line"),
    ("features", "COLUMNS", "comma-separated; `input.*` takes all that begin so (default: all others)"),
    ("exclude", "COLUMNS", "comma-separated columns that are no features"),
    ("payload", "COLUMN", "a payload instead of features"),
    ("label", "COLUMN", "the label that users got"),
    ("score", "COLUMN", "the score that users got"),
    ("version", "COLUMN", "of the model that served; `=3.2` for all"),
    ("error", "COLUMN", "what users got instead of an answer, as text"),
    ("latency", "COLUMN", "how long it took; with --latency-unit"),
    ("key", "COLUMN", "what makes requests depend on each other, a user or a device"),
    ("attributes", "COLUMNS", "comma-separated; what the comparison may be split by, beside the features"),
    ("weight", "COLUMN", "1 / the probability with which the request was logged"),
    ("sampling-fraction", "COLUMN", "that probability itself; `=0.1` for all"),
)
_MORE: tuple[tuple[str, str, str], ...] = (
    ("service", "NAME", "named in every record"),
    (
        "time-format",
        "FORMAT",
        "of times as text, as strptime has it: %%d.%%m.%%Y %%H:%%M (default: ISO 8601)",
    ),
    ("timezone", "ZONE", "of times without an offset (default: UTC)"),
    ("separator", "CHARACTER", "of CSV (default: a comma)"),
    ("text", "COLUMNS", "comma-separated features that stay text though they look like numbers"),
    (
        "columns",
        "NAMES",
        "comma-separated names for the values of rows without names (instances, a CSV payload)",
    ),
    ("classes", "NAMES", "comma-separated classes in the order of the scores, negative first of two"),
)
_LISTS = frozenset({"features", "exclude", "attributes", "text", "columns", "classes"})


def arguments(parser: argparse.ArgumentParser) -> None:
    from gnomon_replay.importing.settings import FORMATS

    parser.add_argument("files", metavar="FILE", nargs="+", type=Path)
    parser.add_argument(
        "--to", metavar="ADDRESS", required=True, help="spool:folder or kafka://host:9092/topic"
    )
    parser.add_argument("--format", choices=FORMATS)
    parser.add_argument(
        "--mapping",
        metavar="TOML",
        type=Path,
        help="a file with a table [import], such as gnomon.toml; its keys are the flags below, with underscores. "
        "A flag goes before it",
    )
    columns = parser.add_argument_group("what the columns are")
    for name, metavar, text in _COLUMNS:
        columns.add_argument(f"--{name}", metavar=metavar, help=text)
    more = parser.add_argument_group("how they are read")
    more.add_argument(
        "--time-unit",
        choices=_UNITS,
        help="of times as numbers (default: recognised by their size, and said)",
    )
    more.add_argument("--latency-unit", choices=_UNITS)
    for name, metavar, text in _MORE:
        more.add_argument(f"--{name}", metavar=metavar, help=text)
    more.add_argument(
        "--prediction",
        choices=("label", "score", "scores", "output"),
        help="what a bare value in an answer's predictions is",
    )
    more.add_argument(
        "--cutoff",
        type=float,
        metavar="SCORE",
        help="above it the label is the second of --classes, where only a score was logged",
    )
    parser.add_argument(
        "--skipped", metavar="FILE", type=Path, help="write every skipped row's line and reason there, as CSV"
    )
    options.add_json(parser, "the summary")


def run(arguments: argparse.Namespace) -> int:
    from gnomon.importing import import_logs

    import_logs(
        arguments.files,
        arguments.to,
        settings_of(arguments),
        skipped_file=arguments.skipped,
        out=sys.stdout if arguments.json else None,
    )
    return DONE


def settings_of(arguments: argparse.Namespace) -> ImportSettings:
    """The mapping: the TOML table, then the flags.

    Raises:
        UsageError, SettingsError: the file or a key is not what it should be.
    """
    from gnomon_capture.settings import from_mapping
    from gnomon_replay.importing.settings import ImportSettings

    table = {} if arguments.mapping is None else _table(arguments.mapping)
    for name in ImportSettings.__struct_fields__:
        given = getattr(arguments, name)
        if given is not None:
            table[name] = [part.strip() for part in given.split(",")] if name in _LISTS else given
    return from_mapping(ImportSettings, table, "import")


def _table(path: Path) -> dict[str, Any]:
    from gnomon_capture.errors import UsageError

    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise UsageError(
            f"there is no file {path}; --mapping takes a TOML file with a table [import]"
        ) from exc
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise UsageError(f"{path} cannot be read as TOML: {exc}") from exc
    if not isinstance(tables.get("import"), dict):
        raise UsageError(
            f'{path} has no table [import]; write the columns\' names under it, such as time = "ts"'
        )
    return dict(tables["import"])
