"""Mirroring requests off the serving path, and the traffic's format."""

from gnomon_capture.errors import GnomonError, SettingsError, TrafficError, UnavailableError, UsageError
from gnomon_capture.mirror import Mirror
from gnomon_capture.record import Ledger, Origin, Request, Served
from gnomon_capture.redaction import redacted_key
from gnomon_capture.selection import sticky_point
from gnomon_capture.settings import CaptureSettings, RedactSettings, SelectRule, SelectSettings
from gnomon_capture.spool import SpoolReader
from gnomon_capture.stats import MirrorStats
from gnomon_capture.transport import check_transport

__all__ = [
    "CaptureSettings",
    "GnomonError",
    "Ledger",
    "Mirror",
    "MirrorStats",
    "Origin",
    "RedactSettings",
    "Request",
    "SelectRule",
    "SelectSettings",
    "Served",
    "SettingsError",
    "SpoolReader",
    "TrafficError",
    "UnavailableError",
    "UsageError",
    "check_transport",
    "redacted_key",
    "sticky_point",
]
