"""Renews the vendored plotly.js; for maintainers: `make vendor`.

    python -m gnomon_reports.vendor_plotly [FOLDER]

asks npm for the version of `plotly.js-cartesian-dist-min` that the installed plotly for Python speaks to,
and writes it, packed, with its licence and sums, to the vendor folder (or FOLDER).
"""

from __future__ import annotations

import gzip
import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from gnomon_reports.plotly_bundle import LICENCE_FILE, NAME, SUMS_FILE, VERSION_FILE

PACKAGE = "plotly.js-cartesian-dist-min"
FOLDER = Path(__file__).parent / "vendor"


def fetch(version: str) -> tuple[bytes, bytes]:
    """The minified source and the licence of one version, from npm as it is set up here."""
    with tempfile.TemporaryDirectory() as temporary:
        subprocess.run(
            ["npm", "pack", "--silent", f"{PACKAGE}@{version}"],
            cwd=temporary,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        archive = next(Path(temporary).glob("*.tgz"))
        with tarfile.open(archive) as opened:
            found = [opened.extractfile(f"package/{name}") for name in ("plotly-cartesian.min.js", "LICENSE")]
            source, licence = (member.read() for member in found if member is not None)
    return source, licence


def write(version: str, source: bytes, licence: bytes, folder: Path) -> None:
    """The same input makes the same files."""
    folder.mkdir(parents=True, exist_ok=True)
    packed = gzip.compress(source, compresslevel=9, mtime=0)
    folder.joinpath(f"{NAME}.gz").write_bytes(packed)
    folder.joinpath(LICENCE_FILE).write_bytes(licence)
    folder.joinpath(VERSION_FILE).write_text(version + "\n", encoding="ascii")
    sums = {f"{NAME}.gz": packed, NAME: source}
    lines = [f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sums.items()]
    folder.joinpath(SUMS_FILE).write_text("".join(lines), encoding="ascii")


def main() -> None:
    from plotly.offline import get_plotlyjs_version

    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    version: str = get_plotlyjs_version()
    write(version, *fetch(version), folder)
    sys.stderr.write(f"{PACKAGE} {version} is in {folder}\n")


if __name__ == "__main__":
    main()
