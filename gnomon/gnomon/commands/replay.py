"""Run the candidate over the traffic, out of band, and log every pair exactly once.

Reads from where the log stands, so that it can be stopped and started at any time: Ctrl-C or SIGTERM commits
what is waiting and ends. Several workers on one Kafka topic share its partitions.

example:
  gnomon replay --until-caught-up
  gnomon replay --follow --config arrival-delay/gnomon.toml
"""

from __future__ import annotations

import argparse
import sys

from gnomon.commands import options
from gnomon.exits import DONE


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


def run(arguments: argparse.Namespace) -> int:
    import msgspec

    from gnomon.replaying import replay

    config = options.config_of(arguments)
    done = replay(config, config.candidate(arguments.candidate), follow=arguments.follow)
    if arguments.json:
        sys.stdout.buffer.write(msgspec.json.encode(done) + b"\n")
    return DONE
