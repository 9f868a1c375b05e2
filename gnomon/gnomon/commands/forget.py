"""Delete everything about one key (a user, a device) from the log and from the local spool.

Its pairs, dead letters and labels go, its lines in the spool become blank, and the accounts stay balanced: what
is kept is how many there were. Workers may be running. It cannot reach the topic, spools on other machines, and
what was given out: reports and decision records that name the key are listed. While the topic keeps the records,
a candidate that reads it from the start brings them back: run this again then.

Old files of the log stay for an hour, for reports that are being made; the next `gnomon compact` deletes them, or
a running replay does, or --now.

example:
  gnomon forget --key user-4711 --dry-run
  gnomon forget --key user-4711 --yes
  gnomon forget --key user-4711 --redacted 9f86d081884c7d65
"""

from __future__ import annotations

import argparse
import sys

from gnomon.commands import options
from gnomon.exits import DONE, UNABLE


def arguments(parser: argparse.ArgumentParser) -> None:
    options.add_config(parser)
    parser.add_argument("--key", metavar="K", help="the key, as the requests carry it")
    parser.add_argument(
        "--redacted",
        metavar="HASH",
        action="append",
        default=[],
        help="the key in the form that [capture] redaction gave it (gnomon_capture.redacted_key makes it); "
        "with --key or alone, and several times if the secret has changed",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be deleted, and delete nothing"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "--now",
        action="store_true",
        help="delete the log's old files at once; a report that is being made just then fails",
    )
    options.add_json(parser, "what was deleted")


def run(arguments: argparse.Namespace) -> int:
    import msgspec
    from gnomon_capture.errors import UsageError
    from gnomon_replay.forget import find, forget

    from gnomon.forgetting import local_spools, said

    config = options.config_of(arguments)
    keys = [key for key in (arguments.key, *arguments.redacted) if key is not None]
    if not keys:
        raise UsageError("whose rows? Name the key by --key, or its redacted form by --redacted")
    spools = local_spools(config)
    done = find(config.log, keys, spools)
    if not arguments.dry_run:
        if not arguments.yes:
            _ask(said(done, "there are"))
        done = forget(config.log, keys, spools, vacuum_now=arguments.now)
    print(said(done, "would delete" if arguments.dry_run else "deleted"), file=sys.stderr)
    if arguments.json:
        sys.stdout.buffer.write(msgspec.json.encode(done) + b"\n")
    return UNABLE if done.left else DONE


def _ask(found: str) -> None:
    from gnomon_capture.errors import UsageError

    if not sys.stdin.isatty():
        raise UsageError("this cannot be undone: look with --dry-run, then say --yes")
    print(found, file=sys.stderr)
    print("This cannot be undone. Delete? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError("nothing was deleted")
