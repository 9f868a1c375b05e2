"""Write the report: one HTML file, with comparison.json beside it.

Prints the page's path, and nothing else, on stdout. An empty log gives a page that says so.

--from, --to and --where show a part of the traffic, --against holds one window against another. A part has no
verdict, since whoever asks has chosen it: `gnomon gate` judges all of the traffic.

example:
  gnomon report
  open "$(gnomon report --candidate 3.3)"
  gnomon report --where "carrier = 'MQ' and hour(ts) < 9"
  gnomon report --from 2026-11-17 --to 2026-11-24 --against 2026-11-10..2026-11-17
  gnomon report --reference train.parquet
  gnomon report --examples 100 --seed 7
"""

from __future__ import annotations

import argparse
import datetime

from gnomon.commands import options
from gnomon.exits import DONE


def arguments(parser: argparse.ArgumentParser) -> None:
    options.add_config(parser)
    options.add_candidate(parser)
    options.add_window(parser, "only requests served then or later", "only requests served before that time")
    parser.add_argument(
        "--where",
        metavar="CONDITION",
        help="only requests for which this holds, in SQL over the columns of `pairs` (gnomon sql --schema pairs): "
        "\"carrier = 'MQ' and dep_delay > 0\"",
    )
    parser.add_argument(
        "--against",
        metavar="FROM..TO",
        type=_window,
        help="another window, which this one is held against; either end may be left out: ..2026-11-17",
    )
    parser.add_argument(
        "--examples",
        type=_count,
        default=50,
        metavar="N",
        help="requests shown one by one, 0 for none (default: 50)",
    )
    parser.add_argument(
        "--reference",
        metavar="FILE",
        help="hold the traffic's features against this: a Parquet file or pattern with columns of their names, such "
        'as the training data, or "first day" (default: `from` of [reference], if there is one)',
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="another one draws other requests to show, and searches slices with other trees, e.g. 7 (default: 0)",
    )


def run(arguments: argparse.Namespace) -> int:
    from gnomon_capture.errors import UsageError

    from gnomon.judging import compare_and_judge, measure, write_report

    config = options.config_of(arguments)
    candidate, examples = config.candidate(arguments.candidate), arguments.examples
    bounds = (arguments.from_ts, arguments.to_ts)
    if arguments.against is not None and bounds == (None, None):
        raise UsageError(
            "--against holds two windows against each other: name this one too, by --from or --to"
        )
    if bounds == (None, None) and arguments.where is None:
        judged = compare_and_judge(
            config,
            candidate,
            examples=examples,
            seed=arguments.seed,
            explain=True,
            reference=arguments.reference,
        )
        page = write_report(config, judged.comparison, judged.verdict, examples=examples > 0)
    else:
        if arguments.reference is not None:
            raise UsageError("--reference holds all the traffic against it; leave it out of a part")
        comparison = measure(
            config,
            candidate,
            examples=examples,
            seed=arguments.seed,
            explain=True,
            from_ts=arguments.from_ts,
            to_ts=arguments.to_ts,
            where=arguments.where,
            against=arguments.against,
        )
        page = write_report(config, comparison, None, examples=examples > 0)
    print(page)
    return DONE


def _window(text: str) -> tuple[datetime.datetime | None, datetime.datetime | None]:
    begin, dots, end = text.partition("..")
    if not dots or not (begin or end):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no window; write FROM..TO, such as 2026-11-10..2026-11-17"
        )
    return options.moment(begin) if begin else None, options.moment(end) if end else None


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of requests, 0 or more")
    return int(text)
