"""What can go wrong, for every stage.

    GnomonError
    ├── UsageError            the caller's to mend: a setting, a file, an argument        (exit 2)
    │   └── SettingsError     a key or value in the configuration (also a ValueError)
    └── UnavailableError      the surroundings' to mend: a broker, a disk, a lock         (exit 4)
        └── TrafficError      the traffic cannot be read or written

A message says what is wrong and ends in what to do. The facts are attributes. Which exit status an
error means is decided in one place, `gnomon.exits`.
"""

from __future__ import annotations


class GnomonError(Exception):
    """Base of every error that gnomon raises on purpose."""


class UsageError(GnomonError):
    """Something the caller has to change before it can work."""


class SettingsError(UsageError, ValueError):
    """A key or a value in the configuration is not what it should be.

    Attributes:
        path: where it stands, as a dotted path such as `gate.error_rate.max_increase_rel`.
    """

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"[{path}] {message}" if path else message)
        self.path = path
        self.message = message


class UnavailableError(GnomonError):
    """Something outside gnomon is away, full, locked or torn; trying again may help."""


class TrafficError(UnavailableError):
    """The traffic cannot be read or written.

    Attributes:
        address: the traffic's address, as configured.
    """

    def __init__(self, address: str, message: str) -> None:
        super().__init__(message)
        self.address = address
