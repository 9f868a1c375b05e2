"""A report on disk: a folder of its own, there as a whole or not at all."""

from __future__ import annotations

import datetime
import os
import re
import shutil
import tempfile
from pathlib import Path

from gnomon_diff.comparison import Comparison, Verdict, to_json

from gnomon_reports.page import render
from gnomon_reports.run import without_examples

PAGE, DATA = "report.html", "comparison.json"


def write(
    comparison: Comparison,
    verdict: Verdict | None,
    folder: str | os.PathLike[str],
    *,
    policy_text: str | None = None,
    examples: bool = True,
) -> Path:
    """Writes the page and `comparison.json` into `<folder>/<time>-<candidate version>/`.

    The two are written aside and put in place by one rename, so that nobody meets half a report. A report
    of the same second and version gets a number.

    Returns:
        The path of the page.
    """
    if not examples:
        comparison = without_examples(comparison)
    parent = Path(folder)
    parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".report-", dir=parent))
    try:
        html = render(comparison, verdict, policy_text=policy_text, examples=examples)
        aside.joinpath(PAGE).write_text(html, encoding="utf-8", newline="\n")
        aside.joinpath(DATA).write_bytes(to_json(comparison, verdict))
        aside.chmod(0o755)  # mkdtemp's is for the owner alone
        return _put(aside, parent, folder_name(comparison)) / PAGE
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def _put(aside: Path, parent: Path, name: str) -> Path:
    for attempt in range(1, 1000):
        target = parent / (name if attempt == 1 else f"{name}-{attempt}")
        try:
            # a folder that is there and not empty refuses the rename, whoever made it meanwhile
            return aside.rename(target)
        except OSError:
            if not target.exists():
                raise
    raise FileExistsError(f"{parent / name} and 998 more are there already")


def folder_name(comparison: Comparison) -> str:
    """`20140102T091200Z-3.3`, `…-part` of a part: sorts by time; no version can lead out of the folder."""
    moment = comparison.generated_at
    moment = moment.astimezone(datetime.UTC) if moment.tzinfo else moment
    version = re.sub(r"[^A-Za-z0-9._-]+", "_", comparison.subject.candidate_version)[:60].strip("._-")
    part = "" if comparison.part is None else "-part"
    return f"{moment:%Y%m%dT%H%M%SZ}-{version or 'candidate'}{part}"
