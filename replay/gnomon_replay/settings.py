"""Settings of the experiment, its traffic, its models, and of replay."""

from __future__ import annotations

import re
import urllib.parse
import zoneinfo
from typing import Annotated, Literal

import msgspec
from gnomon_capture.errors import SettingsError, UsageError
from gnomon_capture.record import canonical_label
from gnomon_capture.settings import Frac, PositiveFloat, PositiveInt, Settings

from gnomon_replay.addresses import parse_traffic

Task = Literal["binary", "multiclass", "regression", "ranking", "text", "json"]
"""What the models answer, and so which fields of an output mean something."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")


class Experiment(Settings, frozen=True, kw_only=True):
    """`[experiment]`: what is compared, and where the log lies.

    Attributes:
        name: also the name of the log's folder, `<log>/<name>`.
        positive: of a binary task, the label whose probability `score` is.
        classes: of a multiclass task, all labels; `scores` are in their order.
        log: a folder, relative to the configuration.
        timezone: IANA name; names hours of the week for people. Stored times are UTC.
    """

    name: str
    task: Task
    positive: str | int | float | bool | None = None
    classes: tuple[str | int | float | bool, ...] = ()
    log: str = "shadow"
    timezone: str = "UTC"

    def check(self, path: str) -> None:
        if not _NAME.match(self.name):
            raise SettingsError(
                f"{path}.name", f"{self.name!r} is no name: letters, digits, `.`, `_` and `-`, no `.` first"
            )
        if re.search(r"[][|^%\\]", self.log):
            raise SettingsError(
                f"{path}.log", f"{self.log!r}: Delta cannot use a path with any of [ ] | ^ % \\"
            )
        self._check_task(path)
        try:
            zoneinfo.ZoneInfo("" if self.timezone == "localtime" else self.timezone)
        except (ValueError, OSError) as exc:
            raise SettingsError(
                f"{path}.timezone", f"{self.timezone!r} is no time zone; write one such as America/New_York"
            ) from exc

    def _check_task(self, path: str) -> None:
        if self.task == "binary" and self.positive_label in ("", "nan"):
            raise SettingsError(f"{path}.positive", "name the label whose probability is the score")
        if self.task != "binary" and self.positive is not None:
            raise SettingsError(
                f"{path}.positive",
                f"a {self.task} task has no positive label; leave it out, or correct `task`",
            )
        if self.task != "multiclass" and self.classes:
            raise SettingsError(
                f"{path}.classes",
                f"a {self.task} task has no list of classes; leave it out, or correct `task`",
            )
        if self.task == "multiclass" and len(self.classes) < 2:
            raise SettingsError(f"{path}.classes", 'name all labels, such as ["cat", "dog", "other"]')
        labels = self.class_labels
        for index, label in enumerate(labels):
            if label in ("", "nan") or label in labels[:index]:
                raise SettingsError(f"{path}.classes", f"{label!r} is no label, or stands twice")

    @property
    def class_labels(self) -> tuple[str, ...]:
        """`classes` in the canonical form of labels."""
        return tuple(canonical_label(each) or "" for each in self.classes)

    @property
    def positive_label(self) -> str:
        """`positive` in the canonical form of labels."""
        return canonical_label(self.positive) or ""


class Traffic(Settings, frozen=True, kw_only=True, rename={"address": "from"}):
    """`[traffic]`: where requests are read; the forms stand in `addresses`."""

    address: str

    def check(self, path: str) -> None:
        try:
            parse_traffic(self.address)
        except UsageError as exc:
            raise SettingsError(f"{path}.from", str(exc)) from exc


class Model(Settings, frozen=True, kw_only=True):
    """`[primary]` or one `[[candidate]]`.

    Attributes:
        version: how people call it; shown on every page.
        model: `file.skops`, `file.joblib`, `file.onnx`, an MLflow model's folder, `module:callable`, or the
            URL of an endpoint; relative to the configuration. May be missing for the primary alone: then there
            is no noise floor and no fair latency.
        python: the interpreter of the model's own environment; default: this one.
        timeout_s: for one batch of predictions.
        memory_mb: what its process and those it starts may hold in memory at once (resident, MiB).
        network: whether it may reach a network; a shadow that writes, mails or pays is the worst failure of all.
        environment: further variables that it inherits, by name; all others are kept from it.
        failures_in_a_row: so many requests, one after the other, may fail before the run stops; a crash, a hang or
            a memory blow-up counts as twenty.
        allow_pickle: load joblib files and MLflow folders, which run code as they load.
        sha256: the digest of the model's file, of its folder's files, or of a callable's source; pins it, and
            allows joblib files and MLflow folders that have it.
        trusted_types: further types that a skops file may hold, beside scikit-learn's, NumPy's and SciPy's.
        inputs: the features that the model is given, in this order, where it declares none.
        dtypes: pandas' dtypes of features, by name; a list of values is a category with these levels.
        classes: the labels in the order of the model's probabilities, where it does not name them.
        fetch_features: `module:callable` that brings features which nobody recorded.
        batch_rows: requests in one call of an endpoint.
        concurrency: calls of an endpoint at a time.
    """

    version: str
    model: str | None = None
    python: str | None = None
    timeout_s: PositiveFloat = 60.0
    memory_mb: PositiveInt = 4096
    network: bool = False
    environment: tuple[str, ...] = ()
    failures_in_a_row: PositiveInt = 1000
    allow_pickle: bool = False
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")] | None = None
    trusted_types: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    dtypes: dict[str, str | tuple[str | int | float | bool, ...]] = msgspec.field(default_factory=dict)
    classes: tuple[str | int | float | bool, ...] = ()
    fetch_features: str | None = None
    batch_rows: PositiveInt = 500
    concurrency: PositiveInt = 4

    @property
    def is_endpoint(self) -> bool:
        """Whether it is asked over HTTP."""
        return (self.model or "").startswith(("http://", "https://"))

    def check(self, path: str) -> None:
        if len(set(self.inputs)) < len(self.inputs):
            raise SettingsError(f"{path}.inputs", "a feature stands twice")
        if self.fetch_features is not None and not all(self.fetch_features.partition(":")):
            raise SettingsError(f"{path}.fetch_features", "write it as module:callable")
        if self.is_endpoint and not _has_host(self.model or ""):
            raise SettingsError(f"{path}.model", f"{self.model!r} names no host; write http://host:port/path")
        for key in _NOT_OF_ENDPOINTS if self.is_endpoint else ():
            if getattr(self, key):
                raise SettingsError(
                    f"{path}.{key}",
                    "an endpoint has none: what it runs is its own; leave it out, and let `version` say what it is",
                )


_NOT_OF_ENDPOINTS = ("python", "allow_pickle", "sha256", "trusted_types", "dtypes", "fetch_features")


def _has_host(url: str) -> bool:
    try:
        parts = urllib.parse.urlsplit(url)
        return bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


class Stop(Settings, frozen=True, kw_only=True):
    """`[replay] stop`: bounds at which a run ends by itself, after the commit that reaches one; None: none.

    Attributes:
        pairs: committed in this run, over all candidates.
        hours: of wall time.
        cpu_hours: of the worker and its models together.
    """

    pairs: PositiveInt | None = None
    hours: PositiveFloat | None = None
    cpu_hours: PositiveFloat | None = None


class ReplaySettings(Settings, frozen=True, kw_only=True):
    """`[replay]`.

    Attributes:
        noise_frac: share of requests that both models answer twice.
        latency_per_s: requests a second of wall time that are run alone and timed.
        latency_min: how many of these a run that ends by itself has at least.
        threads: of each host, while timing.
        warm_up: of the requests that a host is asked alone, the first so many are answered and logged like all
            others, but without a latency; each fresh host is warmed up anew.
        commit_rows: pairs a commit waits for, or
        commit_s: seconds, whichever comes first.
        dedupe_ids: how many of a partition's last request ids a duplicate is looked for in.
        max_record_bytes: larger records are dead letters.
        stop: bounds at which a run ends by itself.
        keep_days: requests, dead letters and labels older than that are deleted by `gnomon compact`; None: never.
        dead_letter_bytes_days: how long the bytes of dead letters are kept, for `gnomon dead-letters --retry`.
        compact_every_s: how often a run that follows the traffic compacts the log.
    """

    noise_frac: Frac = 0.05
    latency_per_s: Annotated[float, msgspec.Meta(ge=0)] = 20.0
    latency_min: Annotated[int, msgspec.Meta(ge=0)] = 1000
    threads: PositiveInt = 1
    warm_up: Annotated[int, msgspec.Meta(ge=0)] = 5
    commit_rows: PositiveInt = 50_000
    commit_s: PositiveFloat = 10.0
    dedupe_ids: PositiveInt = 1_000_000
    max_record_bytes: PositiveInt = 1 << 20
    stop: Stop = Stop()
    keep_days: PositiveInt | None = None
    dead_letter_bytes_days: Annotated[int, msgspec.Meta(ge=0)] = 7
    compact_every_s: PositiveFloat = 3600.0


Features = dict[str, Literal["bool", "string", "double", "int64"]]
"""`[features]`: declared types of features, by name; the rest is learnt from the first batch."""
