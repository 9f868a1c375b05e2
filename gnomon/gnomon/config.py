"""`gnomon.toml`: read here, checked by each stage's own settings."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import msgspec
from gnomon_capture.errors import SettingsError, UsageError
from gnomon_capture.settings import CaptureSettings, from_mapping
from gnomon_diff.differing import Differing
from gnomon_diff.rules import Rule
from gnomon_diff.settings import LabelSettings, Policy, ReferenceSettings, default_policy
from gnomon_replay.importing.settings import ImportSettings
from gnomon_replay.settings import Experiment, Features, Model, ReplaySettings, Traffic

TABLES = (
    "experiment", "traffic", "import", "primary", "candidate", "replay", "features", "capture", "labels", "gate",
    "disagreement", "reference",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Config:
    """One experiment's configuration.

    Attributes:
        folder: the file's; paths in it are relative to this one.
        differing: `[disagreement]`: when two answers count as different.
        policy: `[gate]`, or the defaults that this experiment can measure.
        policy_given: the file has a `[gate]`.
        reference: `[reference]`, what reports hold the traffic against.
    """

    path: Path
    folder: Path
    experiment: Experiment
    traffic: Traffic
    primary: Model
    candidates: tuple[Model, ...]
    replay: ReplaySettings
    features: Features
    capture: CaptureSettings
    labels: LabelSettings
    differing: Differing
    policy: Policy
    policy_given: bool
    reference: ReferenceSettings | None = None

    @property
    def log(self) -> Path:
        """The folder of the experiment's tables."""
        return self.folder / self.experiment.log / self.experiment.name

    @property
    def rule(self) -> Rule:
        """When two answers differ."""
        return Rule.of(self.experiment, self.differing, self.folder)

    def candidate(self, version: str | None) -> Model:
        """The candidate of this version; None: the only one.

        Raises:
            UsageError: there is no such version, or several and none was named.
        """
        known = [model.version for model in self.candidates]
        if version is None:
            if len(known) == 1:
                return self.candidates[0]
            raise UsageError(
                f"{self.path} has {len(known)} candidates ({', '.join(known)}); name one by --candidate"
            )
        for model in self.candidates:
            if model.version == version:
                return model
        raise UsageError(f"{self.path} has no candidate {version!r}; it has {', '.join(known)}")


def load(path: Path) -> Config:
    """Reads and checks a configuration.

    Raises:
        UsageError: no such file.
        SettingsError: a line of it is wrong; the message names the line and the nearest valid key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as exc:
        raise UsageError(
            f"no configuration at {path}; name one by --config, or write one by `gnomon init`"
        ) from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"{path} cannot be read: {exc}") from exc
    try:
        return _checked(path, tomllib.loads(text))
    except tomllib.TOMLDecodeError as exc:
        raise SettingsError("", f"{path} is not TOML: {exc}") from exc
    except SettingsError as exc:
        line = _line_of(text, exc.path)
        where = f"{path}, line {line}" if line else str(path)
        raise SettingsError("", f"{where}: [{exc.path}] {exc.message}") from exc


def _checked(path: Path, tables: Mapping[str, Any]) -> Config:
    for name in tables:
        if name not in TABLES:
            near = get_close_matches(name, TABLES, n=1)
            hint = f"did you mean [{near[0]}]?" if near else f"there are {', '.join(TABLES)}"
            raise SettingsError(name, f"unknown table; {hint}")
    for name in ("experiment", "traffic", "primary", "candidate"):
        if name not in tables:
            raise SettingsError(name, "this table is missing")
    rows = tables["candidate"]
    if not isinstance(rows, list) or not rows:
        raise SettingsError("candidate", "write each candidate as a table of its own under [[candidate]]")
    primary = from_mapping(Model, tables["primary"], "primary")
    candidates = tuple(from_mapping(Model, row, f"candidate.{index}") for index, row in enumerate(rows))
    for index, model in enumerate(candidates):
        if model.model is None:
            raise SettingsError(f"candidate.{index}", "`model` is missing: a candidate has to be run")
        if model.version in [other.version for other in candidates[:index]]:
            raise SettingsError(f"candidate.{index}.version", f"{model.version!r} stands twice")
    replay = from_mapping(ReplaySettings, tables.get("replay", {}), "replay")
    has_model = primary.model is not None
    policy = (
        from_mapping(Policy, tables["gate"], "gate")
        if "gate" in tables
        else default_policy(has_primary_model=has_model)
    )
    _check_measurable(policy, has_model, replay)
    experiment = from_mapping(Experiment, tables["experiment"], "experiment")
    differing = from_mapping(Differing, tables.get("disagreement", {}), "disagreement")
    differing.check_task(experiment.task, "disagreement")
    from_mapping(ImportSettings, tables.get("import", {}), "import")  # read by `gnomon import` alone
    labels = from_mapping(LabelSettings, tables.get("labels", {}), "labels")
    if labels.cost is not None and experiment.task != "binary":
        raise SettingsError(
            "labels.cost", f"a {experiment.task} task has no positives; only a binary one has costs"
        )
    return Config(
        path=path,
        folder=path.absolute().parent,
        experiment=experiment,
        traffic=from_mapping(Traffic, tables["traffic"], "traffic"),
        primary=primary,
        candidates=candidates,
        replay=replay,
        features=_features(tables.get("features", {})),
        capture=from_mapping(CaptureSettings, tables.get("capture", {}), "capture"),
        labels=labels,
        differing=differing,
        policy=policy,
        policy_given="gate" in tables,
        reference=from_mapping(ReferenceSettings, tables["reference"], "reference")
        if "reference" in tables
        else None,
    )


def _features(table: Mapping[str, Any]) -> Features:
    try:
        return msgspec.convert(dict(table), Features)
    except msgspec.ValidationError as exc:
        raise SettingsError("features", f"a feature is bool, string, double or int64: {exc}") from exc


def _check_measurable(policy: Policy, has_model: bool, replay: ReplaySettings) -> None:
    """Refuses a policy that this experiment can never satisfy."""
    if policy.disagreement is not None and not has_model:
        raise SettingsError(
            "gate.disagreement",
            "without a primary `model` there is no noise floor to judge an excess over; "
            "name its model, or judge disagreement_raw.max",
        )
    if policy.disagreement is not None and replay.noise_frac == 0:
        raise SettingsError(
            "replay.noise_frac", "at 0 there is no noise sample, so disagreement can never pass"
        )
    if replay.keep_days is not None and policy.unit == "day" and replay.keep_days <= max(policy.looks_days):
        raise SettingsError(
            "replay.keep_days",
            f"the gate looks at {max(policy.looks_days)} whole days, so more than these have to be kept",
        )
    if policy.latency_p95 is not None and not has_model:
        raise SettingsError(
            "gate.latency_p95", "without a primary `model` there is nothing to compare with; leave it out"
        )


def _line_of(text: str, path: str) -> int | None:
    """The line on which a dotted path, or as much of it as can be found, is set."""
    keys = [key.partition("[")[0] for key in path.split(".")]
    index = int(keys.pop(1)) if len(keys) > 1 and keys[1].isdigit() else 0
    table: list[str] = []
    best: tuple[int, int] | None = None
    seen = -1
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[\[?\s*([\w.\-\"']+)\s*\]\]?", line)
        assigned = re.match(r"\s*([\w.\-]+)\s*=(.*)", line)
        if header:
            table = header[1].split(".")
            seen += table[:1] == keys[:1] and "[[" in line
            here = table
        elif assigned:
            here = table + assigned[1].split(".")
            inner = re.findall(r"[{,]\s*([\w\-]+)\s*=", assigned[2])
            if len(keys) == len(here) + 1 and keys[-1] in inner:
                here = [*here, keys[-1]]
        else:
            continue
        if keys[: len(here)] == here and seen in (-1, index) and (best is None or len(here) > best[0]):
            best = (len(here), number)
    return None if best is None else best[1]
