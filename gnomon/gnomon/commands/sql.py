"""Ask the log a question in SQL (DuckDB's), read-only.

The views are pairs, labels, dead_letters, ledger and decisions; --schema lists their columns.

example:
  gnomon sql "select carrier, avg(disagrees::int) as share, count(*) as n from pairs group by 1 order by 2 desc"
  gnomon sql --schema pairs
  gnomon sql --format csv "select * from pairs where disagrees" > flips.csv
"""

from __future__ import annotations

import argparse
import sys

from gnomon.commands import options
from gnomon.exits import DONE


def arguments(parser: argparse.ArgumentParser) -> None:
    options.add_config(parser)
    parser.add_argument("query", nargs="?", help="one SELECT; - reads it from standard input")
    parser.add_argument(
        "--schema",
        nargs="?",
        const="",
        metavar="VIEW",
        help="print the columns of a view, or of all, and end",
    )
    parser.add_argument("--format", choices=("table", "csv", "json"), default="table", help="default: table")
    options.add_json(parser, "the rows, or the schema,")
    parser.add_argument(
        "--time-limit",
        type=_seconds,
        default=60.0,
        metavar="SECONDS",
        help="stop a query that runs longer (default: 60); Ctrl-C stops it at once",
    )


def run(arguments: argparse.Namespace) -> int:
    from gnomon_capture.errors import UsageError

    from gnomon.judging import query, schema
    from gnomon.tables import write_rows

    config = options.config_of(arguments)
    if arguments.schema is not None:
        print(schema(config, arguments.schema or None, as_json=arguments.json))
        return DONE
    if arguments.query is None:
        raise UsageError(
            'write a query, such as gnomon sql "select count(*) from pairs"; --schema lists the columns'
        )
    text = sys.stdin.read() if arguments.query == "-" else arguments.query
    rows = query(config, text, time_limit_s=arguments.time_limit)
    write_rows(rows, "json" if arguments.json else arguments.format, sys.stdout)
    return DONE


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")
    return seconds
