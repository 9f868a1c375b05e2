"""What a model took, and how long it has failed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from gnomon_replay.errors import ModelError
from gnomon_replay.pairs import CRITICAL_KINDS
from gnomon_replay.settings import Model

CRITICAL_WEIGHT = 20
"""A request that crashes, hangs or blows up counts as so many failures: each takes a new host, or a time limit."""


@dataclass
class Usage:
    """What one model took in one run; of its calls alone, without imports, loading and transport.

    Attributes:
        answers: requests that were answered; those of the noise sample twice.
        cpu_s: CPU seconds of the process that runs it, in its calls.
        peak_bytes: the most resident memory that one host held, its libraries included.
        timed: requests with a latency.
        warm_up: requests that were run alone and have no latency, because the host was fresh.
        restarts: hosts that had to be replaced.
        network_attempts: how often its Python code tried to reach a network; `first_attempt` says where to.
    """

    answers: int = 0
    cpu_s: float = 0.0
    peak_bytes: int = 0
    timed: int = 0
    warm_up: int = 0
    restarts: int = 0
    network_attempts: int = 0
    first_attempt: str = ""


class Failures:
    """Counts the failures since the last answer, and stops a model that fails on everything."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._in_a_row = 0
        self._weight = 0

    def count(self, answers: pa.StructArray) -> None:
        """Takes note of answers, in their order.

        Raises:
            ModelError: so many requests in a row failed as the model's table allows.
        """
        failed = answers.field("error").is_valid().to_numpy(zero_copy_only=False)
        if not failed.all():
            self._in_a_row = self._weight = 0
            answered = int(np.flatnonzero(~failed)[-1])
            answers = answers.slice(answered + 1)
        if not len(answers):
            return
        last = answers[-1].as_py()
        self._in_a_row += len(answers)
        self._weight += len(answers) * (CRITICAL_WEIGHT if last["error"] in CRITICAL_KINDS else 1)
        if self._weight >= self._model.failures_in_a_row:
            raise ModelError(
                self._model.version,
                f"failed on {self._in_a_row:,} requests in a row, the last with {last['error']}: {last['message']}\n"
                "Stopped; what was committed before stays, the rest is read again by the next run. Mend the model, "
                "or raise failures_in_a_row in its table",
            )
