"""Dead letters, sent through the experiment's candidates again."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from gnomon_replay.assembling import rows_of
from gnomon_replay.retry import Retried, retry
from gnomon_replay.settings import Model
from gnomon_replay.shape import Shape

from gnomon.config import Config
from gnomon.replaying import Telling, open_panel, speaker


def retry_dead_letters(config: Config, candidate: Model) -> Retried:
    """Tries the log's dead letters with one candidate.

    Raises:
        ModelError: the model cannot be loaded, or does not fit.
        LogError, OvertakenError: as they say; what was committed stays.
    """
    shape = Shape.declared(config.features)
    with open_panel(config, [candidate], speaker(Telling())) as panel:
        digest = panel.candidates[0].digest

        def answer(requests: pa.Table, duplicate: pa.BooleanArray) -> pa.Table:
            """The noise sample is drawn by the id, as ever; nothing is timed."""
            return rows_of(
                requests,
                duplicate,
                panel.ask(requests, 0),
                {digest: np.ones(requests.num_rows, bool)},
                shape=shape,
                primary_digest=None if panel.primary is None else panel.primary.digest,
                noise_frac=panel.noise_frac,
                threads=config.replay.threads,
            )

        done = retry(config.log, digest, answer, config.replay, shape, config.experiment.task)
    done.candidate = candidate.version
    return done
