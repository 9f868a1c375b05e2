"""Write the report: one HTML file, with comparison.json beside it.

Prints the page's path, and nothing else, on stdout. An empty log gives a page that says so.

example:
  gnomon report
  open "$(gnomon report --candidate 3.3)"
  gnomon report --examples 100 --seed 7
"""

from __future__ import annotations

import argparse

from gnomon.commands import options
from gnomon.exits import DONE


def arguments(parser: argparse.ArgumentParser) -> None:
    options.add_config(parser)
    options.add_candidate(parser)
    parser.add_argument(
        "--examples",
        type=int,
        default=50,
        metavar="N",
        help="requests shown one by one, 0 for none (default: 50)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="another one draws other requests to show, and searches slices with other trees, e.g. 7 (default: 0)",
    )


def run(arguments: argparse.Namespace) -> int:
    from gnomon.judging import compare_and_judge, write_report

    config = options.config_of(arguments)
    judged = compare_and_judge(
        config,
        config.candidate(arguments.candidate),
        examples=max(0, arguments.examples),
        seed=arguments.seed,
        explain=True,
    )
    print(write_report(config, judged, examples=arguments.examples > 0))
    return DONE
