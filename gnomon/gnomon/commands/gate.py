"""May the candidate go near users? Prints the criteria, and answers by its exit status.

0 promote, 1 reject, 3 hold (not enough evidence yet), 4 invalid (the data cannot carry a verdict) or it
could not be measured, 2 usage or configuration. Ask as often as you like: the verdict stays valid.

example:
  gnomon gate && deploy candidate
  gnomon gate --json | jq .reason
"""

from __future__ import annotations

import argparse
import sys

from gnomon.commands import options
from gnomon.exits import DONE, INVALID, OF_VERDICT

_PARTS = ("--from", "--to", "--where")  # of `gnomon report`, so that whoever tries them here is told why not


def arguments(parser: argparse.ArgumentParser) -> None:
    options.add_config(parser)
    options.add_candidate(parser)
    options.add_json(parser, "the verdict")
    parser.add_argument(
        "--advisory",
        action="store_true",
        help="print the verdict and exit 0 (2 and 4 stay): the pipeline goes on",
    )
    for part in _PARTS:
        parser.add_argument(part, help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> int:
    import msgspec
    from gnomon_capture.errors import UsageError

    from gnomon.judging import compare_and_judge, record, verdict_text

    for part in _PARTS:
        if getattr(arguments, part.strip("-")) is not None:
            raise UsageError(
                f"the gate judges all of the traffic and takes no {part}: of parts that were tried, one would pass by "
                f"chance; `gnomon report {part} …` shows a part, without a verdict"
            )
    config = options.config_of(arguments)
    judged = compare_and_judge(
        config, config.candidate(arguments.candidate), examples=0, inputs=False, advisory=arguments.advisory
    )
    record(config, judged)
    if arguments.json:
        sys.stdout.buffer.write(msgspec.json.encode(judged.verdict) + b"\n")
    else:
        print(verdict_text(judged), end="")
    status = OF_VERDICT[judged.verdict.verdict]
    return DONE if arguments.advisory and status != INVALID else status
