"""Keep the log small: join small files, let go of what is too old, delete files that nobody reads any more.

Workers and readers go on meanwhile. `gnomon replay` does the same by itself once an hour. Old files stay for an
hour, for reports that are being made. With [replay] keep_days = N, requests, dead letters and labels older than
N days are deleted, and the accounts show how many; the bytes of dead letters go after dead_letter_bytes_days.

example:
  gnomon compact
  gnomon compact --json --config arrival-delay/gnomon.toml
"""

from __future__ import annotations

import argparse
import sys

from gnomon.commands import options
from gnomon.exits import DONE


def arguments(parser: argparse.ArgumentParser) -> None:
    options.add_config(parser)
    options.add_json(parser, "what was done")


def run(arguments: argparse.Namespace) -> int:
    import msgspec
    from gnomon_replay.maintenance import maintain

    config = options.config_of(arguments)
    done = maintain(config.log, config.replay)
    if not done.files_before:
        print(f"compact: there is no log at {config.log} yet", file=sys.stderr)
    for name, before in done.files_before.items():
        print(f"compact: {name}: {before:,} files, now {done.files_after[name]:,}", file=sys.stderr)
    for name, rows in done.rows_expired.items():
        print(
            f"compact: {name}: {rows:,} rows older than {config.replay.keep_days} days deleted",
            file=sys.stderr,
        )
    if done.letters_emptied:
        print(f"compact: bytes of {done.letters_emptied:,} dead letters let go of", file=sys.stderr)
    if done.files_deleted:
        print(f"compact: {done.files_deleted:,} old files deleted", file=sys.stderr)
    for name in done.busy:
        print(f"note: somebody else was rewriting {name}; it is left for the next time", file=sys.stderr)
    if arguments.json:
        sys.stdout.buffer.write(msgspec.json.encode(done) + b"\n")
    return DONE
