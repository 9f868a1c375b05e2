"""A first `gnomon.toml`, from a look at the traffic and a try of the models."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from gnomon_capture.errors import UsageError
from gnomon_capture.record import canonical_label
from gnomon_capture.settings import from_mapping
from gnomon_replay.addresses import KafkaTopics, ParquetAddress, parse_traffic
from gnomon_replay.model import locate
from gnomon_replay.pairs import FEATURE_TYPES
from gnomon_replay.reserve import Reserve
from gnomon_replay.settings import Experiment, Model, Traffic

from gnomon.config import load
from gnomon.trying import Sample, Trial, sample, try_model

TRIED, LOOKED_AT = 20, 5_000
"""Requests that the models answer, and that are looked at."""
MOST_VALUES, MOST_SEGMENTS = 12, 3
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+\Z")


@dataclass
class Start:
    """What is known of an experiment to be. Paths as the new file has them, relative to its folder."""

    folder: Path
    traffic: Traffic
    candidate: Model
    primary: Model
    sample: Sample
    experiment: Experiment
    why_positive: str
    trials: dict[str, Trial] = field(default_factory=dict)
    segments: list[tuple[str, int]] = field(default_factory=list)  # most fitting first, with values seen
    served: bool = False


def look(
    folder: Path, model: str, traffic: str, primary: str | None, name: str | None, positive: str | None
) -> Start:
    """Looks at traffic and models, and tries the models.

    Args:
        folder: where the file is to lie.
        model, primary: as on the command line, relative to the current folder.

    Raises:
        UsageError, ModelError: something named is not there or does not fit.
        TrafficError: the traffic cannot be read.
    """
    source = from_mapping(Traffic, {"from": _relative_traffic(traffic, folder)}, "traffic")
    found = sample(source, folder, "init", {}, LOOKED_AT)
    if not found.requests.num_rows:
        why = f"; {found.bad} lines are no records ({found.reason})" if found.bad else ""
        raise UsageError(
            f"{traffic} holds no request to look at{why}; let a Mirror write some, then try again"
        )
    candidate = _model(model, folder, None)
    shadowed = Model(version=_served_version(found.requests) or "primary")
    if primary is not None:
        shadowed = _model(primary, folder, _served_version(found.requests))
    if candidate.version == shadowed.version:
        candidate = _model(model, folder, f"{candidate.version}-candidate")
    label, why = _positive(positive, candidate, folder, found.requests)
    start = Start(
        folder,
        source,
        candidate,
        shadowed,
        found,
        _experiment(name or _name(traffic, found.requests), label),
        why,
    )
    start.served = found.requests.column("served").null_count < found.requests.num_rows
    if not start.served and primary is None:
        raise UsageError(
            "there is nothing to compare the model with: the traffic has no `served`; name what serves by --primary"
        )
    tried = found.requests.slice(0, TRIED)
    for each in (start.primary, start.candidate):
        if each.model is not None:
            start.trials[each.version] = try_model(each, start.experiment, folder, tried)
    for version, trial in start.trials.items():
        if trial.errors == trial.count:
            raise UsageError(f"model {version} failed on all of {trial.count} requests: {trial.error}")
    start.segments = _segments(found.requests)
    return start


def write(start: Start, path: Path, *, force: bool) -> None:
    """Writes the file, once it is known to load.

    Raises:
        UsageError: there is one already, and not `force`; or the folder cannot be written.
    """
    if path.exists() and not force:
        raise UsageError(f"{path} is there already; name another by --config, or overwrite it by --force")
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(text(start), encoding="utf-8")
        load(draft)
        draft.replace(path)
    except OSError as exc:
        raise UsageError(f"{path} cannot be written ({exc.strerror}); name another by --config") from exc
    finally:
        draft.unlink(missing_ok=True)


def text(start: Start) -> str:
    """The file."""
    has_primary = start.primary.model is not None
    types = {kind: name for name, kind in FEATURE_TYPES.items()}
    blocks = [
        "# Written by `gnomon init`. Every key that is not here has a default: see README.md.",
        _table(
            "experiment",
            {"name": start.experiment.name, "task": "binary", "positive": start.experiment.positive},
            {"positive": start.why_positive},
            after='log = "shadow"                 # the log is shadow/<name>\n# timezone = "Europe/Berlin"    # names hours of the week for people',
        ),
        _table("traffic", {"from": start.traffic.address}),
        _table("primary", _of_model(start.primary), {"version": "what serves now"})
        + (
            ""
            if has_primary
            else '# model = "primary.skops"      # with it: a noise floor, fair latency, and two more criteria\n'
        ),
        _table("[candidate]", _of_model(start.candidate)),
        _table(
            "features",
            {name: types[kind] for name, kind in start.sample.shape.feature_types.items()},
            before=f"# As seen in {start.sample.requests.num_rows:,} requests. A value of another type makes its request a dead letter.",
        ),
        _criteria(start),
    ]
    return "\n".join(blocks)


def _criteria(start: Start) -> str:
    """`[gate]` with what can be measured here, the rest as comments that say what it needs."""
    lines = [
        "# What may not get worse, declared before the data that it is judged by.",
        "[gate]",
        "# Points above the noise floor:" if start.primary.model else "# Different answers, at all:",
    ]
    if start.primary.model is not None:
        lines += ["disagreement.max_excess = 0.05", "latency_p95.max_increase_rel = 0.50"]
    else:
        lines += ["disagreement_raw.max = 0.05"]
    lines += [
        "error_rate = { max_increase_rel = 0.05, max_increase_abs = 0.001 }",
        "critical_errors.max = 0",
        "# Needs labels (`gnomon labels FILE`); judged once this line is there:",
        "# accuracy.max_decrease_rel = 0.10",
        "",
        "[gate.segments]",
        "# Judged one by one. More segments need more data for the same certainty.",
    ]
    names = [name for name, _ in start.segments]
    lines.append(f"by = {json.dumps(names[:MOST_SEGMENTS], ensure_ascii=False)}")
    if names[MOST_SEGMENTS:]:
        lines.append(f"# also with few values: {', '.join(names[MOST_SEGMENTS:])}")
    return "\n".join(lines) + "\n"


def _table(
    name: str,
    values: Mapping[str, object],
    why: Mapping[str, str] | None = None,
    *,
    before: str = "",
    after: str = "",
) -> str:
    lines = [before] if before else []
    lines.append(f"[{name}]")
    for key, value in values.items():
        key_text = key if _BARE_KEY.match(key) else json.dumps(key, ensure_ascii=False)
        comment = f"   # {why[key]}" if why and why.get(key) else ""
        lines.append(f"{key_text} = {json.dumps(value, ensure_ascii=False)}{comment}")
    if after:
        lines.append(after)
    return "\n".join(lines) + "\n"


def _of_model(model: Model) -> dict[str, object]:
    given = {"version": model.version, "model": model.model, "sha256": model.sha256}
    return {key: value for key, value in given.items() if value is not None}


def _model(target: str, folder: Path, version: str | None) -> Model:
    """A model as the file names it: a path relative to it, `module:callable` as it is."""
    is_file = Path(target).suffix in (".skops", ".joblib", ".pkl") or Path(target).exists()
    named = os.path.relpath(target, folder) if is_file else target
    pin = None
    if Path(target).suffix in (".joblib", ".pkl"):  # such a file runs code: only these bytes are allowed to
        try:
            pin = hashlib.sha256(Path(target).read_bytes()).hexdigest()
        except OSError as exc:
            raise UsageError(f"{target} cannot be read ({exc.strerror}); name the model's file") from exc
    stem = Path(target).stem if is_file else target.rpartition(":")[2]
    model = Model(version=version or stem, model=named, sha256=pin)
    locate(model, folder)
    return model


def _relative_traffic(traffic: str, folder: Path) -> str:
    address = parse_traffic(traffic)
    if isinstance(address, KafkaTopics):
        return traffic
    kind, _, path = traffic.partition(":")
    return traffic if os.path.isabs(path) else f"{kind}:{os.path.relpath(path, folder)}"


def _name(traffic: str, requests: pa.Table) -> str:
    """The service's, if the traffic is that of one; else the topic's or folder's."""
    services = pc.unique(requests.column("service").drop_null()).to_pylist()
    address = parse_traffic(traffic)
    if isinstance(address, KafkaTopics):
        name = address.topics[0] if address.topics else address.pattern or ""
    elif isinstance(address, ParquetAddress):
        name = Path(address.glob).stem
    else:
        name = address.folder.name
    name = services[0] if len(services) == 1 else name
    return re.sub(r"[^A-Za-z0-9._-]", "-", name).lstrip("._-") or "experiment"


def _experiment(name: str, positive: str) -> Experiment:
    return from_mapping(Experiment, {"name": name, "task": "binary", "positive": positive}, "experiment")


def _served_version(requests: pa.Table) -> str | None:
    versions = Counter(requests.column("served").combine_chunks().field("version").to_pylist())
    versions.pop(None, None)
    return versions.most_common(1)[0][0] if versions else None


def _positive(given: str | None, model: Model, folder: Path, requests: pa.Table) -> tuple[str, str]:
    """The positive label in canonical form, and how it is known.

    Raises:
        UsageError: it cannot be told.
    """
    named = None
    if not model.is_endpoint:
        with contextlib.closing(Reserve(model, locate(model, folder), folder, 1, "binary", None)) as hosts:
            named = hosts.current().classes
    classes = None if named is None else [canonical_label(each) or "" for each in named]
    if given is not None:
        label = canonical_label(given) or ""
        if classes is not None and label not in classes:
            raise UsageError(f"--positive {given}: the model's classes are {', '.join(classes)}; name one")
        return label, ""
    if classes is not None:
        return classes[1], f"guessed: the second of the model's classes {', '.join(classes)}; else --positive"
    seen = pc.unique(requests.column("served").combine_chunks().field("label").drop_null()).to_pylist()
    if set(seen) <= {"0", "1"} and seen:
        return "1", "guessed from the labels served, 0 and 1"
    raise UsageError(
        f"which label does the score belong to? The model does not say; served were {', '.join(sorted(seen)[:5]) or 'none'}; "
        "name it by --positive"
    )


def _segments(requests: pa.Table) -> list[tuple[str, int]]:
    """Attributes, then features, that have from 2 to a few values; fewest first."""
    found: list[tuple[bool, int, str]] = []
    for column in ("attributes", "features"):
        rows = requests.column(column).combine_chunks()
        for part in rows.type:
            if not (pa.types.is_string(part.type) or pa.types.is_boolean(part.type)):
                continue
            count = len(pc.unique(rows.field(part.name).drop_null()))
            if 2 <= count <= MOST_VALUES:
                found.append((column == "features", count, f"{column}.{part.name}"))
    return [(name, count) for _, count, name in sorted(found)]


def tell(start: Start, path: Path) -> None:
    """Says on stderr what was found, and what was not."""
    types = start.sample.shape.feature_types
    say = [f"looked at {start.sample.requests.num_rows:,} requests of {start.traffic.address}"]
    if start.sample.bad:
        say.append(f"  {start.sample.bad} lines are no records ({start.sample.reason})")
    say.append(
        f"features: {', '.join(f'{name} {kind}' for name, kind in types.items()) or 'none; requests with a payload'}"
    )
    for version, trial in start.trials.items():
        labels = ", ".join(f"{label} {count}" for label, count in trial.labels.items())
        say.append(f"model {version}: {trial.count} requests in {trial.seconds * 1000:,.0f} ms: {labels}")
        if trial.errors:
            say.append(f"  {trial.errors} failed: {trial.error}")
        if trial.unused:
            say.append(f"  does not use {', '.join(trial.unused)}")
    if start.segments:
        say.append(f"segments: {', '.join(f'{name} ({count} values)' for name, count in start.segments)}")
    say.append(
        f"positive: {start.experiment.positive}" + (f" ({start.why_positive})" if start.why_positive else "")
    )
    unknown = [
        "how soon labels come ([labels] deadline)",
        "the time zone of your users ([experiment] timezone)",
    ]
    if start.primary.model is None:
        unknown.insert(0, "a noise floor and fair latency, without the serving model (--primary)")
    if not start.served:
        unknown.insert(0, "what was served: the traffic does not say, so that the primary stands in for it")
    say.append("not known: " + "; ".join(unknown))
    say.append(
        f"next: gnomon doctor --config {path} && gnomon replay --config {path} && gnomon report --config {path}"
    )
    print("\n".join(say), file=sys.stderr)
