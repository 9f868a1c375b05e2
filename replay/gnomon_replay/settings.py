"""Settings of the experiment, its traffic, its models, and of replay."""

from __future__ import annotations

import re
import zoneinfo
from typing import Annotated, Literal

import msgspec
from gnomon_capture.errors import SettingsError, UsageError
from gnomon_capture.record import canonical_label
from gnomon_capture.settings import Frac, PositiveFloat, PositiveInt, Settings

from gnomon_replay.addresses import parse_traffic

Task = Literal["binary"]
"""What the models answer. (multiclass, regression, ranking, text and json are in the contract, not yet here.)"""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")


class Experiment(Settings, frozen=True, kw_only=True):
    """`[experiment]`: what is compared, and where the log lies.

    Attributes:
        name: also the name of the log's folder, `<log>/<name>`.
        positive: the label whose probability `score` is, in canonical form.
        log: a folder, relative to the configuration.
        timezone: IANA name; names hours of the week for people. Stored times are UTC.
    """

    name: str
    task: Task
    positive: str | int | float | bool
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
        if self.positive_label in ("", "nan"):
            raise SettingsError(f"{path}.positive", "name the label whose probability is the score")
        try:
            zoneinfo.ZoneInfo("" if self.timezone == "localtime" else self.timezone)
        except (ValueError, OSError) as exc:
            raise SettingsError(
                f"{path}.timezone", f"{self.timezone!r} is no time zone; write one such as America/New_York"
            ) from exc

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
        model: `file.skops`, `file.joblib`, or `module:callable`; relative to the configuration. May be
            missing for the primary alone: then there is no noise floor and no fair latency.
        python: the interpreter of the model's own environment; default: this one.
        timeout_s: for one batch of predictions.
        allow_pickle: load joblib files, which run code as they load.
        sha256: the model file's digest; pins it, and allows joblib files that have it.
        trusted_types: further types that a skops file may hold, beside scikit-learn's, NumPy's and SciPy's.
    """

    version: str
    model: str | None = None
    python: str | None = None
    timeout_s: PositiveFloat = 60.0
    allow_pickle: bool = False
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")] | None = None
    trusted_types: tuple[str, ...] = ()


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
        commit_rows: pairs a commit waits for, or
        commit_s: seconds, whichever comes first.
        dedupe_ids: how many of a partition's last request ids a duplicate is looked for in.
        max_record_bytes: larger records are dead letters.
        stop: bounds at which a run ends by itself.
    """

    noise_frac: Frac = 0.05
    latency_per_s: Annotated[float, msgspec.Meta(ge=0)] = 20.0
    latency_min: Annotated[int, msgspec.Meta(ge=0)] = 1000
    threads: PositiveInt = 1
    commit_rows: PositiveInt = 50_000
    commit_s: PositiveFloat = 10.0
    dedupe_ids: PositiveInt = 1_000_000
    max_record_bytes: PositiveInt = 1 << 20
    stop: Stop = Stop()


Features = dict[str, Literal["bool", "string", "double", "int64"]]
"""`[features]`: declared types of features, by name; the rest is learnt from the first batch."""
