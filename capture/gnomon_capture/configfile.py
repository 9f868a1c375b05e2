"""The parts of `gnomon.toml` that a serving process reads: `[traffic] from` and `[capture]`."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from gnomon_capture.address import SpoolAddress, parse_address
from gnomon_capture.errors import SettingsError, UsageError
from gnomon_capture.settings import CaptureSettings, from_mapping
from gnomon_capture.strict import check_key

_TABLES = ("traffic", "capture")


@dataclass(frozen=True, kw_only=True)
class CaptureConfig:
    """What a file says about capture, paths in it made absolute.

    Attributes:
        to: the traffic's address.
        service: the experiment's name.
    """

    to: str
    service: str | None
    settings: CaptureSettings


def read_capture(path: Path) -> CaptureConfig:
    """Reads a configuration file.

    Raises:
        UsageError: no such file, or it cannot be read.
        SettingsError: what stands in it about capture is wrong; the message names the file and the place.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise UsageError(f"no configuration at {path}; write one with [traffic] and [capture]") from exc
    except tomllib.TOMLDecodeError as exc:
        raise SettingsError("", f"{path} is not TOML: {exc}") from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"{path} cannot be read: {exc}") from exc
    try:
        return _checked(tables, path.absolute().parent)
    except SettingsError as exc:
        raise SettingsError("", f"{path}: [{exc.path}] {exc.message}") from exc


def _checked(tables: Mapping[str, Any], folder: Path) -> CaptureConfig:
    for name in tables:  # a [captrue] would mirror everything, unredacted
        near = difflib.get_close_matches(name, _TABLES, n=1, cutoff=0.75)
        if near and name not in _TABLES:
            raise SettingsError(name, f"unknown table; did you mean [{near[0]}]?")
    settings = from_mapping(CaptureSettings, tables.get("capture", {}), "capture")
    experiment = tables.get("experiment", {})
    service = experiment.get("name") if isinstance(experiment, Mapping) else None
    return CaptureConfig(
        to=_address(tables.get("traffic"), folder),
        service=service if isinstance(service, str) else None,
        settings=settings_in(settings, folder),
    )


def settings_in(settings: CaptureSettings, folder: Path) -> CaptureSettings:
    """Settings with paths that are relative to a folder made absolute."""
    if settings.control is not None:
        settings = msgspec.structs.replace(settings, control=str(folder / settings.control))
    if settings.overflow is not None:
        settings = msgspec.structs.replace(settings, overflow=str(folder / settings.overflow))
    redact = settings.redact
    if redact is not None and redact.secret_file is not None:
        redact = msgspec.structs.replace(redact, secret_file=str(folder / redact.secret_file))
        settings = msgspec.structs.replace(settings, redact=redact)
    return settings


def _address(traffic: object, folder: Path) -> str:
    if not isinstance(traffic, Mapping):
        raise SettingsError(
            "traffic", 'this table is missing; write from = "kafka://host:9092/topic" under it'
        )
    if "from" not in traffic:  # what else stands there is replay's
        for key in traffic:
            check_key("traffic", key, ("from",))
        raise SettingsError("traffic", "`from` is missing; write kafka://host:9092/topic or spool:folder")
    if not isinstance(traffic["from"], str):
        raise SettingsError("traffic.from", "an address is expected, such as kafka://host:9092/topic")
    try:
        address = parse_address(traffic["from"])
    except UsageError as exc:
        raise SettingsError("traffic.from", str(exc)) from exc
    if isinstance(address, SpoolAddress):
        address = SpoolAddress(folder / address.folder)
    return str(address)
