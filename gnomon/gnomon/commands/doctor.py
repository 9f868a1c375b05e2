"""Check all that a replay needs, one by one, and say what to do.

Looks at versions, configuration, log, disk, traffic, clock, models and rights; changes nothing, and goes on
after a failure. Each model is started and tried on a handful of real requests. Exit status 0 if nothing failed
(warnings are no failures), 4 otherwise, 2 if the configuration itself is wrong.

example:
  gnomon doctor
  gnomon doctor --config arrival-delay/gnomon.toml --json
"""

from __future__ import annotations

import argparse
import sys

from gnomon.commands import options
from gnomon.exits import DONE, UNABLE


def arguments(parser: argparse.ArgumentParser) -> None:
    options.add_config(parser)
    options.add_json(parser, "the findings")


def run(arguments: argparse.Namespace) -> int:
    import msgspec

    config = options.config_of(arguments)

    from gnomon.doctor import Doctor

    found = []
    for finding in Doctor(config).findings():
        found.append(finding)
        if not arguments.json:
            print(f"{finding.state:<8} {finding.check}: {finding.text}", flush=True)
    failed = sum(finding.state == "failed" for finding in found)
    warnings = sum(finding.state == "warning" for finding in found)
    if arguments.json:
        whole = {"checks": found, "failed": failed, "warnings": warnings}
        sys.stdout.buffer.write(msgspec.json.encode(whole) + b"\n")
    else:
        print(f"{len(found)} checks: {failed} failed, {warnings} warnings")
    return UNABLE if failed else DONE
