"""Ask the log a question in SQL (DuckDB's), read-only.

The views are pairs, labels, dead_letters, ledger and decisions; --schema lists their columns.

example:
  gnomon sql "select carrier, avg(disagrees::int) as share, count(*) as n from pairs group by 1 order by 2 desc"
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
    parser.add_argument("--schema", action="store_true", help="print the views and their columns")
    parser.add_argument("--format", choices=("table", "csv", "json"), default="table")


def run(arguments: argparse.Namespace) -> int:
    from gnomon_capture.errors import UsageError

    from gnomon.judging import query, schema
    from gnomon.tables import write_rows

    config = options.config_of(arguments)
    if arguments.schema:
        print(schema(config))
        return DONE
    if arguments.query is None:
        raise UsageError(
            'write a query, such as gnomon sql "select count(*) from pairs"; --schema lists the columns'
        )
    text = sys.stdin.read() if arguments.query == "-" else arguments.query
    write_rows(query(config, text), arguments.format, sys.stdout)
    return DONE
