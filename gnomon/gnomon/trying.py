"""Real requests from the traffic, and a model tried on some of them; nothing of it is logged."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from gnomon_replay.decode import Decoder, requests_schema
from gnomon_replay.inquiry import Inquiry, feature_names
from gnomon_replay.model import HostedModel
from gnomon_replay.settings import Experiment, Features, Model, Traffic
from gnomon_replay.shape import Shape
from gnomon_replay.sources import open_source
from gnomon_replay.traffic import Onlooker

READ_S = 10.0
"""How long the traffic may take to bring a first request."""
_ERRORS_SHOWN = 1


@dataclass(frozen=True)
class Sample:
    """Some requests.

    Attributes:
        requests: the columns of `decode.requests_schema`.
        bad: lines that are no records, among those read.
        reason: of the first of these.
        shape: the features' types as the traffic shows them.
    """

    requests: pa.Table
    bad: int
    reason: str
    shape: Shape


@dataclass(frozen=True)
class Trial:
    """What a model did with some requests.

    Attributes:
        labels: how often each was answered.
        errors: how many requests failed, and `error`, the first of them in words.
        seconds: for all of them in one batch.
        unused: features of the traffic that the model does not declare.
    """

    count: int
    labels: Mapping[str, int]
    errors: int
    error: str
    seconds: float
    unused: tuple[str, ...]


def sample(
    traffic: Traffic,
    folder: Path,
    experiment: str,
    declared: Features,
    count: int,
    positions: Mapping[str, int | None] | None = None,
) -> Sample:
    """Up to so many requests, from these positions or the traffic's beginning. Joins no consumer group.

    Raises:
        TrafficError: it cannot be read.
    """
    decoder = Decoder(Shape.declared(declared), max_record_bytes=1 << 20)
    tables, bad, reason, rows = [], 0, "", 0
    with contextlib.closing(open_source(traffic, folder, experiment, group=None)) as source:
        source.start(Onlooker())
        at = dict(positions or dict.fromkeys(source.ends()))
        source.rewind(at)
        deadline = time.monotonic() + READ_S
        # A read that brings nothing once there were some is the end.
        while rows < count and time.monotonic() < deadline:
            frames = source.read(1.0)
            if not frames and (rows or bad or not any(source.ends().values())):
                break
            decoded = decoder.decode(frames)
            tables.append(decoded.requests)
            rows += decoded.requests.num_rows
            bad += decoded.dead_letters.num_rows
            if bad and not reason:
                letter = decoded.dead_letters.slice(0, 1).to_pylist()[0]
                reason = f"{letter['reason']}: {letter['detail']}"
    tables.append(requests_schema(decoder.shape).empty_table())
    requests = pa.concat_tables(tables, promote_options="permissive")
    return Sample(requests.slice(0, count), bad, reason, decoder.shape)


def try_model(model: Model, experiment: Experiment, folder: Path, requests: pa.Table) -> Trial:
    """Starts a model in a process of its own and asks it.

    Raises:
        ModelError: it cannot be loaded, or declares a feature that no request has.
    """
    with contextlib.closing(HostedModel(model, experiment, folder, 1)) as hosted:
        inquiry = Inquiry(hosted, requests)
        began = time.monotonic()
        answers = inquiry.ask(np.ones(requests.num_rows, bool))
        seconds = time.monotonic() - began
        failed = [row for row in answers.to_pylist() if row["error"] is not None]
        labels = Counter(label for label in answers.field("label").to_pylist() if label is not None)
        unused = tuple(
            name for name in feature_names(requests) if hosted.features and name not in hosted.features
        )
    error = "; ".join(f"{row['error']}: {row['message']}" for row in failed[:_ERRORS_SHOWN])
    return Trial(len(answers), labels, len(failed), error, seconds, unused)
