"""The command line: `gnomon COMMAND`. Each command is a module of `gnomon.commands`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from gnomon import __version__
from gnomon.commands import compact, dead_letters, demo, forget, gate, import_, labels, replay, report, sql
from gnomon.exits import USAGE, guarded

COMMANDS = (demo, import_, replay, report, gate, sql, labels, dead_letters, compact, forget)


def parser() -> argparse.ArgumentParser:
    """The parser of all commands; each adds its own arguments and names the function that runs it."""
    top = argparse.ArgumentParser(
        prog="gnomon",
        description="Show what a new model would have done, on real traffic, before any user meets it.",
        epilog="Exit status: 0 done, or promote; 1 reject; 2 usage or configuration; 3 hold; "
        "4 invalid, or it could not. 1 and 3 belong to `gate` and `demo` alone.",
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"gnomon {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND")
    for command in COMMANDS:
        name = command.__name__.rpartition(".")[2].rstrip("_").replace("_", "-")
        summary, _, rest = (command.__doc__ or "").partition("\n")
        sub = commands.add_parser(
            name,
            help=summary.rstrip("."),
            description=f"{summary}\n{rest.rstrip()}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        command.arguments(sub)
        sub.set_defaults(run=command.run)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit status."""
    top = parser()
    arguments = top.parse_args(argv)
    if not hasattr(arguments, "run"):
        top.print_help(sys.stderr)
        return USAGE
    return guarded(lambda: arguments.run(arguments))


if __name__ == "__main__":
    sys.exit(main())
