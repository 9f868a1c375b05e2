"""Write a first gnomon.toml, from a look at the traffic and a try of the model.

Reads some real requests, names their features and types, runs twenty of them through the model (and through the
primary, if given), and writes a commented configuration with only the criteria that can be measured here.
Prints the file's path on stdout, and what it found, and did not, on stderr.

example:
  gnomon init --model candidate.skops --primary primary.skops --traffic kafka://localhost:9092/arrival-delay
  gnomon init --model models:predict --traffic spool:traffic --positive late --config late/gnomon.toml
"""

from __future__ import annotations

import argparse
from pathlib import Path

from gnomon.commands import options
from gnomon.exits import DONE


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        required=True,
        metavar="MODEL",
        help="the candidate: file.skops, file.joblib, module:callable",
    )
    parser.add_argument(
        "--traffic", required=True, metavar="ADDRESS", help="kafka://host:9092/topic or spool:folder"
    )
    parser.add_argument(
        "--primary", metavar="MODEL", help="the model that serves now; with it there is a noise floor"
    )
    parser.add_argument("--name", help="of the experiment (default: the service's, topic's or folder's)")
    parser.add_argument(
        "--positive",
        metavar="LABEL",
        help="whose probability the score is (default: as the model's classes say)",
    )
    parser.add_argument("--force", action="store_true", help="overwrite the file")
    options.add_config(parser)


def run(arguments: argparse.Namespace) -> int:
    from gnomon_capture.errors import UsageError

    from gnomon.starting import look, tell, write

    path = Path(arguments.config)
    if path.exists() and not arguments.force:  # before anything is started
        raise UsageError(f"{path} is there already; name another by --config, or overwrite it by --force")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"there is no folder {path.absolute().parent}; make it, or name another by --config")
    start = look(
        path.absolute().parent,
        arguments.model,
        arguments.traffic,
        arguments.primary,
        arguments.name,
        arguments.positive,
    )
    write(start, path, force=arguments.force)
    tell(start, path)
    print(path)
    return DONE
