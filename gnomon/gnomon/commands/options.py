"""Arguments that several commands share."""

from __future__ import annotations

import argparse
import datetime
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gnomon.config import Config


def add_config(parser: argparse.ArgumentParser) -> None:
    """`--config FILE`."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        default=os.environ.get("GNOMON_CONFIG", "gnomon.toml"),
        help="the experiment's configuration (default: gnomon.toml; environment: GNOMON_CONFIG)",
    )


def add_candidate(parser: argparse.ArgumentParser) -> None:
    """`--candidate VERSION`."""
    parser.add_argument(
        "--candidate", metavar="VERSION", help="which [[candidate]], where the configuration has several"
    )


def add_json(parser: argparse.ArgumentParser, what: str) -> None:
    """`--json`."""
    parser.add_argument("--json", action="store_true", help=f"print {what} as JSON on stdout")


def add_window(parser: argparse.ArgumentParser, begin: str, end: str) -> None:
    """`--from TIME` and `--to TIME`, as `from_ts` and `to_ts`.

    Args:
        begin, end: what each does.
    """
    form = "; 2026-11-24T08:00, in UTC unless it names an offset"
    parser.add_argument("--from", dest="from_ts", metavar="TIME", type=moment, help=begin + form)
    parser.add_argument("--to", dest="to_ts", metavar="TIME", type=moment, help=end)


def moment(text: str) -> datetime.datetime:
    """A time as `--from` and `--to` take it; one that names no zone is UTC."""
    from gnomon_capture.record import parse_ts

    try:
        return parse_ts(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from exc


def config_of(arguments: argparse.Namespace) -> Config:
    """The configuration that `--config` names."""
    from gnomon.config import load

    return load(Path(arguments.config))


def port(text: str) -> int:
    """A port number; 0 for any free one."""
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; write a number from 0 to 65535")
    return int(text)
