"""Load what turned out to be true, so that the report can say who was right.

FILE is CSV or Parquet with request_id and label (of a regression value, a number), and optionally labelled_at, when
the label became known. Labels may come late, in parts, and again: later rows correct earlier ones. [labels] in the
configuration says how late they may come (deadline), what a wrong answer costs (cost), and which answer of the
primary ends a request, so that no label can come (never).

example:
  gnomon labels outcomes.csv
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gnomon.commands import options
from gnomon.exits import DONE


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path)
    options.add_config(parser)
    options.add_json(parser, "what was loaded")


def run(arguments: argparse.Namespace) -> int:
    import msgspec

    from gnomon.judging import load_labels

    config = options.config_of(arguments)
    loaded = load_labels(config, arguments.file)
    if arguments.json:
        sys.stdout.buffer.write(msgspec.json.encode(loaded) + b"\n")
    return DONE
