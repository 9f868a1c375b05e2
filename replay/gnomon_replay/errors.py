"""What can go wrong in replay; the base classes stand in `gnomon_capture.errors`.

UsageError
└── ModelError            a model file that is none, a feature it needs and the traffic has not
UnavailableError
├── EndpointAwayError     a candidate's endpoint cannot be reached, or is busy
├── LogError              the log is locked, torn, full, or of a later version
└── OvertakenError        another worker was first; read again from where the log stands
    ├── FencedError       it moved the position that this one reads from
    └── ShapeMovedError   it gave a feature another type or spelling
"""

from __future__ import annotations

from gnomon_capture.errors import UnavailableError, UsageError

from gnomon_replay.traffic import partition_of


class ModelError(UsageError):
    """A model cannot be loaded or asked.

    Attributes:
        version: the model's version, as configured.
    """

    def __init__(self, version: str, message: str) -> None:
        super().__init__(f"model {version}: {message}")
        self.version = version


class EndpointAwayError(UnavailableError):
    """A model's endpoint cannot be reached, or asks to be left alone; no request is to blame.

    Attributes:
        version: the model's version, as configured.
        url: the endpoint's.
    """

    def __init__(self, version: str, url: str, why: str) -> None:
        super().__init__(
            f"model {version}: {url} does not take requests: {why}. What was committed stays; "
            "start it, or correct its `model`, and run again"
        )
        self.version = version
        self.url = url


class LogError(UnavailableError):
    """The log cannot be read or written.

    Attributes:
        path: the table's folder.
    """

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path


class OvertakenError(UnavailableError):
    """Another worker was first; what was read has to be read again, from where the log stands now."""


class FencedError(OvertakenError):
    """The log's position is not where this worker's reading began: somebody else wrote these pairs.

    Attributes:
        partition: of the traffic, with its stream.
        expected: where this worker began to read; None for the experiment's start.
        found: where the log stands.
    """

    def __init__(self, app_id: str, expected: int | None, found: int | None) -> None:
        self.partition = partition_of(app_id.rpartition("/")[0])
        super().__init__(
            f"another worker writes to this log: {self.partition} stands at {found}, not at {expected}. "
            "Nothing was written twice. Stop the other worker, or give each its own partitions."
        )
        self.expected = expected
        self.found = found


class ShapeMovedError(OvertakenError):
    """Another worker has given a feature or attribute another type or spelling than this batch has.

    Attributes:
        name: of the feature or attribute.
    """

    def __init__(self, name: str) -> None:
        super().__init__(
            f"another worker wrote `{name}` with another type or spelling; declare its type under [features], "
            "or let one producer name it"
        )
        self.name = name
