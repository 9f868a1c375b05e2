"""Dead letters, sent through the experiment's candidates again."""

from __future__ import annotations

import datetime

import pyarrow as pa
from gnomon_replay.asking import Panel
from gnomon_replay.columns import complete
from gnomon_replay.pairs import SCHEMA_VERSION, TIMESTAMP, pairs_schema
from gnomon_replay.retry import Retried, retry
from gnomon_replay.settings import Model
from gnomon_replay.shape import Shape

from gnomon.config import Config
from gnomon.replaying import open_panel


def retry_dead_letters(config: Config, candidate: Model) -> Retried:
    """Tries the log's dead letters with one candidate.

    Raises:
        ModelError: the model cannot be loaded, or does not fit.
        LogError, OvertakenError: as they say; what was committed stays.
    """
    shape = Shape.declared(config.features)
    with open_panel(config, candidate) as panel:

        def answer(requests: pa.Table, duplicate: pa.BooleanArray) -> pa.Table:
            return _pairs(config, panel, shape, requests, duplicate)

        done = retry(config.log, panel.candidate.digest, answer, config.replay, shape)
    done.candidate = candidate.version
    return done


def _pairs(
    config: Config, panel: Panel, shape: Shape, requests: pa.Table, duplicate: pa.BooleanArray
) -> pa.Table:
    """The rows of the log: the noise sample is drawn by the id, as ever; nothing is timed."""
    primary = panel.primary
    constants = {
        "primary_digest": pa.scalar(None if primary is None else primary.digest, pa.string()),
        "candidate_digest": pa.scalar(panel.candidate.digest, pa.string()),
        "noise_frac": pa.scalar(0.0 if primary is None else panel.noise_frac),
        "threads": pa.scalar(config.replay.threads, pa.int32()),
        "replayed_at": pa.scalar(datetime.datetime.now(datetime.UTC), TIMESTAMP),
        "schema_version": pa.scalar(SCHEMA_VERSION, pa.int32()),
    }
    day = requests.column("ts").cast(pa.timestamp("us")).cast(pa.date32())
    table = requests.append_column("day", day).append_column("duplicate", duplicate)
    for name, column in panel.ask(requests, 0).items():
        table = table.append_column(name, column)
    for name, value in constants.items():
        table = table.append_column(name, pa.repeat(value, table.num_rows))
    return complete(table, pairs_schema(shape.features, shape.attributes))
