"""Checks of all that a replay needs, one by one; each goes on where another failed."""

from __future__ import annotations

import contextlib
import datetime
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import pyarrow.compute as pc
from gnomon_capture.errors import GnomonError, TrafficError
from gnomon_capture.kafka_errors import kafka_errors
from gnomon_replay.addresses import KafkaTopics, parse_traffic
from gnomon_replay.log import PairLog, app_id
from gnomon_replay.model import locate
from gnomon_replay.settings import Model
from gnomon_replay.sources import open_source

from gnomon import __version__
from gnomon.config import Config
from gnomon.trying import Sample, sample, try_model

State = Literal["ok", "warning", "failed"]

REQUESTS = 20
"""Real ones, that each model is tried on."""
LOW_BYTES, TOO_LOW_BYTES = 2 << 30, 100 << 20
"""Of disk space: warned of, and too little to begin."""
OLD_FRAC = 0.5
"""Of the topic's retention: traffic that waits longer is in danger."""
FUTURE_S = 60.0
_LIBRARIES = ("deltalake", "duckdb", "kafka-python", "pyarrow", "scikit-learn")
# In a process of its own, as a model's would be; 0x50000000 is CLONE_NEWUSER | CLONE_NEWNET.
_UNSHARE = (
    "import ctypes, sys; libc = ctypes.CDLL(None, use_errno=True); "
    "sys.exit(0 if libc.unshare(0x50000000) == 0 else ctypes.get_errno() or 1)"
)


@dataclass(frozen=True)
class Finding:
    """What one check found; `text` ends in what to do, unless all is well."""

    check: str
    state: State
    text: str


class Doctor:
    """The checks of one configuration; each runs at most once, in the order of `findings`."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._sample: Sample | None = None
        self._positions: dict[str, int | None] = {}
        self._starts: dict[str, int] = {}
        self._ends: dict[str, int] = {}

    def findings(self) -> Iterator[Finding]:
        """Runs the checks one by one."""
        config = self._config
        models = [("candidate", model) for model in config.candidates]
        if config.primary.model is not None:
            models.insert(0, ("primary", config.primary))
        checks: list[tuple[str, Callable[[], tuple[State, str]]]] = [
            ("versions", self._versions),
            ("configuration", self._configuration),
            ("log", self._log),
            ("disk", self._disk),
            ("traffic", self._traffic),
            ("unread", self._unread),
            ("requests", self._requests),
            ("clock", self._clock),
            *((f"{role} {model.version}", lambda model=model: self._model(model)) for role, model in models),
            ("isolation", self._isolation),
        ]
        for name, check in checks:
            try:
                state, text = check()
            except GnomonError as exc:
                state, text = "failed", str(exc)
            except Exception as exc:  # noqa: BLE001 - the other checks go on
                state, text = "failed", f"the check itself failed: {type(exc).__name__}: {exc}"
            yield Finding(name, state, text)

    def _versions(self) -> tuple[State, str]:
        found, lacking = [], []
        for name in _LIBRARIES:
            try:
                found.append(f"{name} {metadata.version(name)}")
            except metadata.PackageNotFoundError:
                lacking.append(name)
        text = f"gnomon {__version__}, Python {platform.python_version()}, {', '.join(found)}"
        if lacking:
            return "failed", f"{', '.join(lacking)} missing: pip install 'gnomon[service]'; there is {text}"
        return "ok", text

    def _configuration(self) -> tuple[State, str]:
        config = self._config
        versions = ", ".join(model.version for model in config.candidates)
        text = f"{config.path}: experiment {config.experiment.name}, candidate {versions}"
        if config.primary.model is None:
            return "warning", (
                f"{text}; no primary model, so no noise floor and no fair latency: "
                "name the serving model under [primary] model if you have it"
            )
        return "ok", text

    def _log(self) -> tuple[State, str]:
        place = _nearest(self._config.log)
        try:
            with tempfile.NamedTemporaryFile(dir=place, prefix=".gnomon-doctor-"):
                pass
        except OSError as exc:
            return "failed", (
                f"{place} cannot be written ({exc.strerror}); change its owner, or name another [experiment] log"
            )
        schema = PairLog(self._config.log).schema()
        if not schema.names:
            return "ok", f"{self._config.log} is writable; no pairs yet"
        return "ok", f"{self._config.log} is writable; its pairs have {len(schema.names)} columns"

    def _disk(self) -> tuple[State, str]:
        free = shutil.disk_usage(_nearest(self._config.log)).free
        text = f"{free / (1 << 30):,.1f} GiB free for the log"
        if free < TOO_LOW_BYTES:
            return "failed", f"{text}; free some, or name another [experiment] log"
        if free < LOW_BYTES:
            return "warning", f"{text}; a million pairs take some hundred MB: free some soon"
        return "ok", text

    def _traffic(self) -> tuple[State, str]:
        config = self._config
        with contextlib.closing(
            open_source(config.traffic, config.folder, config.experiment.name, group=None)
        ) as source:
            self._ends, self._starts = source.ends(), source.starts()
            digest = locate(config.candidates[0], config.folder).digest
            ids = {place: app_id(place, digest) for place in sorted(self._ends)}
            found = PairLog(config.log).positions(ids.values())
            self._positions = {place: found[name] for place, name in ids.items()}
        count = sum(end - self._starts[part] for part, end in self._ends.items())
        unit = "messages" if _is_kafka(config) else "lines"
        text = f"{config.traffic.address}: {len(self._ends)} partitions, {count:,} {unit}"
        if not count:
            return (
                "warning",
                f"{text}; nothing to read yet: start a Mirror with this address, and let it serve a request",
            )
        return "ok", text

    def _unread(self) -> tuple[State, str]:
        """How much of the traffic is not in the log, and whether it will be there long enough."""
        if not self._ends:
            return _skipped("the traffic cannot be read")
        at = {part: position or 0 for part, position in self._positions.items()}
        lag = sum(max(0, end - max(at[part], self._starts[part])) for part, end in self._ends.items())
        gone = sum(
            max(0, self._starts[part] - at[part]) for part in self._ends if self._positions[part] is not None
        )
        text = f"{lag:,} behind the traffic's end"
        if gone:
            return "failed", (
                f"{gone:,} messages were deleted before they were read; raise the topic's retention.ms, "
                "and run more workers; the report shows them as missing"
            )
        if not _is_kafka(self._config):
            return "ok", text
        retention_s = _retention_s(self._config)
        if retention_s is None:
            return "ok", f"{text}; the topic keeps messages for ever"
        text += f"; the topic keeps messages for {retention_s / 3600:,.1f} h"
        oldest = self._look().requests if lag else None
        if oldest is not None and oldest.num_rows:
            age_s = _age_s(pc.min(oldest.column("ts")).as_py())
            text += f", the oldest unread request is {age_s / 3600:,.1f} h old"
            if age_s > OLD_FRAC * retention_s:
                return "warning", f"{text}: run more workers, or raise the topic's retention.ms"
        return "ok", text

    def _requests(self) -> tuple[State, str]:
        found = self._look()
        rows = found.requests.num_rows
        if not rows and found.bad:
            return (
                "failed",
                f"none of {found.bad} lines is a record ({found.reason}); see README, and mend the producer",
            )
        if not rows:
            return "warning", "no request to look at yet"
        names = len(found.shape.feature_types)
        text = f"{rows} real requests with {names} features were read"
        if found.bad:
            return (
                "warning",
                f"{text}; {found.bad} lines beside them are no records ({found.reason}): mend the producer",
            )
        return "ok", text

    def _clock(self) -> tuple[State, str]:
        now = datetime.datetime.now(datetime.UTC)
        found = self._look().requests
        if found.num_rows:
            ahead_s = -_age_s(pc.max(found.column("ts")).as_py())
            if ahead_s > FUTURE_S:
                return (
                    "warning",
                    f"a request's ts is {ahead_s:,.0f} s ahead of this machine's clock: set both by NTP",
                )
        return "ok", f"{now.isoformat(timespec='seconds')}; no request is from the future"

    def _model(self, model: Model) -> tuple[State, str]:
        file = locate(model, self._config.folder)
        with contextlib.suppress(TrafficError):
            self._look()
        requests = None if self._sample is None else self._sample.requests.slice(0, REQUESTS)
        if requests is None or not requests.num_rows:
            return "warning", f"{file.target} is there ({file.digest[:19]}…); no request to try it on yet"
        trial = try_model(model, self._config.experiment, self._config.folder, requests)
        pin = "pinned" if model.sha256 else file.digest[:19] + "…"
        text = f"{file.target} ({pin}) answered {trial.count - trial.errors} of {trial.count} real requests"
        if trial.errors == trial.count:
            return "failed", f"{text}; {trial.error}; mend the model, or the features that it is given"
        if trial.errors:
            return "warning", f"{text}; {trial.error}; such pairs are logged as errors"
        return "ok", f"{text} in {trial.seconds * 1000:,.0f} ms"

    def _isolation(self) -> tuple[State, str]:
        done = subprocess.run([sys.executable, "-c", _UNSHARE], capture_output=True, check=False)
        if done.returncode == 0:
            return "ok", "a process can be given an empty network namespace here"
        return "warning", (
            f"no empty network namespace can be made here ({os.strerror(done.returncode)}), so that a candidate's "
            "calls to the network cannot be cut off: allow user namespaces, or run where there is no network"
        )

    def _look(self) -> Sample:
        """Some requests from where the log stands, or from the beginning if all are read."""
        if self._sample is None:
            config = self._config
            open_ = any(end > (self._positions.get(part) or 0) for part, end in self._ends.items())
            self._sample = sample(
                config.traffic,
                config.folder,
                config.experiment.name,
                config.features,
                REQUESTS,
                self._positions if open_ else None,
            )
        return self._sample


def _skipped(why: str) -> tuple[State, str]:
    return "failed", f"not looked at: {why}"


def _nearest(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    return next(each for each in (path, *path.parents) if each.is_dir())


def _is_kafka(config: Config) -> bool:
    return isinstance(parse_traffic(config.traffic.address), KafkaTopics)


def _age_s(moment: datetime.datetime) -> float:
    return (datetime.datetime.now(datetime.UTC) - moment).total_seconds()


def _retention_s(config: Config) -> float | None:
    """How long the topics keep messages, the shortest of them; None for ever."""
    from kafka import KafkaAdminClient
    from kafka.admin import ConfigResource

    address = parse_traffic(config.traffic.address)
    assert isinstance(address, KafkaTopics)
    with (
        kafka_errors(address),
        contextlib.closing(KafkaAdminClient(bootstrap_servers=list(address.servers))) as admin,
    ):
        topics = address.topics
        if address.pattern is not None:
            topics = tuple(name for name in admin.list_topics() if re.fullmatch(address.pattern, name))
        asked = [ConfigResource("TOPIC", topic) for topic in topics]
        found = admin.describe_configs(asked, config_filter="all")["topic"]
    kept_ms = [int(found[topic]["retention.ms"]["value"]) for topic in topics]
    return min((each / 1000 for each in kept_ms if each >= 0), default=None)
