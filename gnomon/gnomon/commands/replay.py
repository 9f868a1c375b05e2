"""Run the candidates over the traffic, out of band, and log every pair exactly once.

Reads from where the log stands, so that it can be stopped and started at any time: Ctrl-C or SIGTERM commits
what is waiting and ends, within [replay] stop_within_s; a second one ends at once. All candidates of the
configuration share one read; one that is new catches up from its own start while the others wait. Several workers
on Kafka topics share their partitions; other traffic has one worker at a time.

A window (--from, --to) is where reading begins and ends: by the time a message was sent (Kafka), else by the
requests' own. --from counts for candidates that have read nothing yet; give it at each start. What stands before
it is never read.

example:
  gnomon replay --until-caught-up
  gnomon replay --follow --config arrival-delay/gnomon.toml
  gnomon replay --candidate 3.3 --candidate 3.4 --limit 10000
  gnomon replay --from 2026-11-24T08:00 --to 2026-11-25T08:00 --pace 10x
  gnomon replay --follow --log-format json --metrics-port 9464
"""

from __future__ import annotations

import argparse
import datetime
import sys

from gnomon import logs
from gnomon.commands import options
from gnomon.exits import DONE, UNABLE
from gnomon.logs import Format


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
    options.add_window(
        parser, "begin with what came then or later", "end before what came then or later; a time past"
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
    telling = parser.add_argument_group("what it tells, on stderr")
    telling.add_argument(
        "--log-format",
        choices=("text", "json"),
        help="a line for each commit, with run, candidate, version, pairs, errors and lag, "
        "instead of the display for people",
    )
    loud = telling.add_mutually_exclusive_group()
    loud.add_argument(
        "--verbose", action="store_true", help="also what the libraries say; implies --log-format text"
    )
    loud.add_argument("--quiet", action="store_true", help="warnings and errors alone")
    telling.add_argument(
        "--metrics-port",
        type=options.port,
        metavar="PORT",
        help="serve Prometheus metrics there, such as 9464; 0 takes a free port and prints it",
    )
    telling.add_argument(
        "--metrics-address",
        metavar="ADDRESS",
        default="127.0.0.1",
        help="to serve them on (default: 127.0.0.1, this machine alone; 0.0.0.0: all)",
    )


def run(arguments: argparse.Namespace) -> int:
    import msgspec
    from gnomon_capture.errors import UsageError
    from gnomon_replay.window import Window

    from gnomon.replaying import Telling, replay

    if arguments.to_ts is not None:
        if arguments.follow:
            raise UsageError("--follow has no end; leave it out, or leave out --to")
        if arguments.to_ts > datetime.datetime.now(datetime.UTC):
            raise UsageError("--to lies in the future; use --follow, or a time past")
        if arguments.from_ts is not None and arguments.from_ts >= arguments.to_ts:
            raise UsageError("--from has to lie before --to")
    form: Format | None = arguments.log_format or ("text" if arguments.verbose else None)
    if form is not None:
        logs.configure(form, verbose=arguments.verbose, quiet=arguments.quiet)
    config = options.config_of(arguments)
    telling = Telling(
        log_lines=form is not None,
        quiet=arguments.quiet,
        metrics_port=arguments.metrics_port,
        metrics_address=arguments.metrics_address,
    )
    named = [config.candidate(version) for version in dict.fromkeys(arguments.candidate)]
    done = replay(
        config,
        named or config.candidates,
        follow=arguments.follow,
        window=Window(begin=arguments.from_ts, end=arguments.to_ts, limit=arguments.limit),
        pace=arguments.pace,
        telling=telling,
    )
    if arguments.json:
        sys.stdout.buffer.write(msgspec.json.encode(done) + b"\n")
    return UNABLE if done.failed else DONE


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
