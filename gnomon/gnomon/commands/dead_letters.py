"""List the lines of the traffic that are no records, or send them through again.

Each is listed with its position, the reason, and what was wrong; a count by reason goes to stderr. --retry reads
them again, once the cause is mended (max_record_bytes raised, a newer gnomon, …): those that are records now
become pairs at their own position, exactly once, and are dead letters no more; the others stay.

example:
  gnomon dead-letters
  gnomon dead-letters --format csv > dead-letters.csv
  gnomon dead-letters --retry
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from gnomon.commands import options
from gnomon.exits import DONE

if TYPE_CHECKING:
    from gnomon_replay.retry import Retried


def arguments(parser: argparse.ArgumentParser) -> None:
    options.add_config(parser)
    options.add_candidate(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--retry", action="store_true", help="send them through again, of every candidate or of --candidate"
    )
    what.add_argument("--format", choices=("table", "csv", "json"), default="table")
    options.add_json(parser, "the letters (as --format json), or what came of --retry,")


def run(arguments: argparse.Namespace) -> int:
    import msgspec

    config = options.config_of(arguments)
    if arguments.retry:
        from gnomon.retrying import retry_dead_letters

        chosen = (
            config.candidates if arguments.candidate is None else (config.candidate(arguments.candidate),)
        )
        done = [retry_dead_letters(config, candidate) for candidate in chosen]
        for each in done:
            print(_said(each), file=sys.stderr)
        if arguments.json:
            sys.stdout.buffer.write(msgspec.json.encode(done) + b"\n")
        return DONE
    from gnomon.judging import dead_letters
    from gnomon.tables import write_rows

    candidate = None if arguments.candidate is None else config.candidate(arguments.candidate)
    letters, reasons = dead_letters(config, candidate)
    for reason, count in reasons.items():
        print(f"dead letters: {count:,} {reason}", file=sys.stderr)
    write_rows(letters, "json" if arguments.json else arguments.format, sys.stdout)
    return DONE


def _said(done: Retried) -> str:
    parts = [f"{done.paired:,} are pairs now"]
    if done.ledgers:
        parts.append(f"{done.ledgers:,} were counts of a capturing process")
    parts += [f"{count:,} still {reason}" for reason, count in done.still_dead.items()]
    if done.not_whole:
        parts.append(f"{done.not_whole:,} are not kept whole, and stay")
    if done.not_reached:
        parts.append(f"{done.not_reached:,} its replay has yet to reach")
    return f"retry with {done.candidate}: {', '.join(parts)}"
