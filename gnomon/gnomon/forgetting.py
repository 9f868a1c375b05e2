"""What forgetting reaches in an experiment, and what it says."""

from __future__ import annotations

from pathlib import Path

from gnomon_capture.address import SpoolAddress
from gnomon_replay.addresses import parse_traffic
from gnomon_replay.forget import Forgotten

from gnomon.config import Config


def local_spools(config: Config) -> list[Path]:
    """The spools on this machine that the configuration names."""
    address = parse_traffic(config.traffic.address)
    return [config.folder / address.folder] if isinstance(address, SpoolAddress) else []


def said(done: Forgotten, verb: str) -> str:
    """What was found or deleted, and what is out of reach, for people."""
    lines = [
        f"forget: {verb} {done.pairs:,} pairs, {done.dead_letters:,} dead letters, {done.labels:,} labels, "
        f"{done.spool_lines:,} lines of the spool"
    ]
    if done.old_files:
        lines.append(f"forget: {done.old_files:,} old files of the log are off the disk")
    if done.old_files_h:
        lines.append(
            f"forget: older files that held them stay for {done.old_files_h} h; then `gnomon compact`, or a "
            "running replay, deletes them (--now: at once)"
        )
    if done.left:
        lines.append(f"forget: {done.left:,} rows came while it worked; run it again")
    lines += [f"not changed, and names the key: {path}" for path in done.mentions]
    lines.append(
        "out of reach: the topic, Parquet files and earlier logs that traffic is read from, spools on other machines, "
        "overflow folders of mirrors, and reports and records that were given out"
    )
    return "\n".join(lines)
