"""Mirroring requests off the serving path, and the traffic's format."""

from gnomon_capture.errors import GnomonError, SettingsError, TrafficError, UnavailableError, UsageError
from gnomon_capture.mirror import Mirror, MirrorStats, check_transport
from gnomon_capture.record import Ledger, Origin, Request, Served
from gnomon_capture.settings import CaptureSettings
from gnomon_capture.spool import SpoolReader

__all__ = [
    "CaptureSettings",
    "GnomonError",
    "Ledger",
    "Mirror",
    "MirrorStats",
    "Origin",
    "Request",
    "Served",
    "SettingsError",
    "SpoolReader",
    "TrafficError",
    "UnavailableError",
    "UsageError",
    "check_transport",
]
