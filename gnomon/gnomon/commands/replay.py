"""Run the candidates over the traffic, out of band, and log every pair exactly once.

Reads from where the log stands, so that it can be stopped and started at any time: Ctrl-C or SIGTERM commits
what is waiting and ends. All candidates of the configuration share one read; one that is new catches up from its
own start while the others wait. Several workers on Kafka topics share their partitions; other traffic has one
worker at a time.

A window (--from, --to) is where reading begins and ends: by the time a message was sent (Kafka), else by the
requests' own. --from counts for candidates that have read nothing yet; give it at each start. What stands before
it is never read.

example:
  gnomon replay --until-caught-up
  gnomon replay --follow --config arrival-delay/gnomon.toml
  gnomon replay --candidate 3.3 --candidate 3.4 --limit 10000
  gnomon replay --from 2026-11-24T08:00 --to 2026-11-25T08:00 --pace 10x
"""

from __future__ import annotations

import argparse
import datetime
import sys

from gnomon.commands import options
from gnomon.exits import DONE, UNABLE


def arguments(parser: argparse.ArgumentParser) -> None:
    options.add_config(parser)
    parser.add_argument(
        "--candidate",
        metavar="VERSION",
        action="append",
        default=[],
        help="which [[candidate]]; may be given several times (default: all)",
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--until-caught-up",
        action="store_true",
        help="end when all that stands in the traffic is logged (default)",
    )
    how.add_argument("--follow", action="store_true", help="go on as traffic comes, until stopped")
    parser.add_argument(
        "--from",
        dest="begin",
        metavar="TIME",
        type=_moment,
        help="begin with what came then or later; 2026-11-24T08:00, in UTC unless it names an offset",
    )
    parser.add_argument(
        "--to",
        dest="end",
        metavar="TIME",
        type=_moment,
        help="end before what came then or later; a time past",
    )
    parser.add_argument(
        "--limit",
        metavar="N",
        type=_count,
        help="end after N requests, and those in the same message; the next run goes on behind them",
    )
    parser.add_argument(
        "--pace",
        metavar="FACTOR",
        type=_factor,
        help="the rate at which requests came (1x) or a multiple of it (10x); default: as fast as possible",
    )
    options.add_json(parser, "what was done")


def run(arguments: argparse.Namespace) -> int:
    import msgspec
    from gnomon_capture.errors import UsageError
    from gnomon_replay.window import Window

    from gnomon.replaying import replay

    if arguments.end is not None:
        if arguments.follow:
            raise UsageError("--follow has no end; leave it out, or leave out --to")
        if arguments.end > datetime.datetime.now(datetime.UTC):
            raise UsageError("--to lies in the future; use --follow, or a time past")
        if arguments.begin is not None and arguments.begin >= arguments.end:
            raise UsageError("--from has to lie before --to")
    config = options.config_of(arguments)
    named = [config.candidate(version) for version in dict.fromkeys(arguments.candidate)]
    done = replay(
        config,
        named or config.candidates,
        follow=arguments.follow,
        window=Window(begin=arguments.begin, end=arguments.end, limit=arguments.limit),
        pace=arguments.pace,
    )
    if arguments.json:
        sys.stdout.buffer.write(msgspec.json.encode(done) + b"\n")
    return UNABLE if done.failed else DONE


def _moment(text: str) -> datetime.datetime:
    from gnomon_capture.record import parse_ts

    try:
        return parse_ts(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from exc


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of requests, 1 or more")
    return int(text)


def _factor(text: str) -> float:
    try:
        factor = float(text.removesuffix("x"))
    except ValueError:
        factor = 0.0
    if not 0 < factor < float("inf"):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no pace; write 1x for the original rate, 10x for ten times it"
        )
    return factor
