"""plotly.js as the page carries it: vendored, packed, inflated by the page when the first chart nears.

`vendor/plotly-cartesian.min.js.gz` is npm's `plotly.js-cartesian-dist-min` of the version that plotly for
Python speaks to, with its licence; `vendor/SHA256SUMS` names it before and after packing. `make vendor`
renews them.
"""

from __future__ import annotations

import base64
from functools import cache
from importlib.resources import files

NAME = "plotly-cartesian.min.js"
VERSION_FILE, SUMS_FILE, LICENCE_FILE = "VERSION", "SHA256SUMS", "LICENSE.plotly.js"
_VENDOR = files(__package__).joinpath("vendor")


@cache
def packed() -> str:
    """The bundle, gzip in base64."""
    return base64.b64encode(_VENDOR.joinpath(f"{NAME}.gz").read_bytes()).decode()


@cache
def sums() -> dict[str, str]:
    """sha256 in hex, by file name: the packed file and the source inside it."""
    lines = _VENDOR.joinpath(SUMS_FILE).read_text(encoding="ascii").split("\n")
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines) if name}


def source_hash() -> str:
    """What the page's policy calls the inflated source."""
    return "sha256-" + base64.b64encode(bytes.fromhex(sums()[NAME])).decode()


def version() -> str:
    return _VENDOR.joinpath(VERSION_FILE).read_text(encoding="ascii").strip()
