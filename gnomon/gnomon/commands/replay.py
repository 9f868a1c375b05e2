"""Run the candidate over the traffic, out of band, and log every pair exactly once.

Reads from where the log stands, so that it can be stopped and started at any time: Ctrl-C or SIGTERM commits
what is waiting and ends, within [replay] stop_within_s; a second one ends at once. Several workers on one Kafka
topic share its partitions.

example:
  gnomon replay --until-caught-up
  gnomon replay --follow --config arrival-delay/gnomon.toml
  gnomon replay --follow --log-format json --metrics-port 9464
"""

from __future__ import annotations

import argparse
import sys

from gnomon import logs
from gnomon.commands import options
from gnomon.exits import DONE
from gnomon.logs import Format


def arguments(parser: argparse.ArgumentParser) -> None:
    options.add_config(parser)
    options.add_candidate(parser)
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--until-caught-up",
        action="store_true",
        help="end when all that stands in the traffic is logged (default)",
    )
    how.add_argument("--follow", action="store_true", help="go on as traffic comes, until stopped")
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

    from gnomon.replaying import Telling, replay

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
    done = replay(config, config.candidate(arguments.candidate), follow=arguments.follow, telling=telling)
    if arguments.json:
        sys.stdout.buffer.write(msgspec.json.encode(done) + b"\n")
    return DONE
