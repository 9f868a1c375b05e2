"""One replay: opens traffic, log and models as the configuration has them, runs a worker, shows how far it is."""

from __future__ import annotations

import contextlib
import random
import signal
import sys
import time
from collections.abc import Iterator

from gnomon_capture.errors import UnavailableError
from gnomon_replay.asking import Panel
from gnomon_replay.log import PairLog
from gnomon_replay.model import HostedModel, locate
from gnomon_replay.settings import Model
from gnomon_replay.shape import Shape
from gnomon_replay.sources import open_source
from gnomon_replay.worker import Progress, Worker

from gnomon.config import Config
from gnomon.progress import ReplayDisplay


def replay(config: Config, candidate: Model, *, follow: bool) -> Progress:
    """Runs a candidate over the experiment's traffic.

    Raises:
        ModelError: a model cannot be loaded, or does not fit the traffic.
        TrafficError, LogError, FencedError: as they say; what was committed stays.
        UnavailableError: it was stopped before it had caught up.
    """
    if config.primary.model is None:
        print("no primary model: no noise floor and no fair latency will be known", file=sys.stderr)
    with contextlib.ExitStack() as stack:
        digest = locate(candidate, config.folder).digest
        group = f"gnomon-{config.experiment.name}-{digest.removeprefix('sha256:')[:12]}"
        source = open_source(config.traffic, config.folder, config.experiment.name, group=group)
        stack.callback(source.close)
        panel = stack.enter_context(_panel(config, candidate))
        log = PairLog(config.log, source.stream.name, digest)
        display = stack.enter_context(ReplayDisplay(sys.stderr))
        shape = Shape.declared(config.features)
        worker = Worker(source, log, panel, config.replay, shape, display.update)
        stack.enter_context(_stopped_by_signals(worker))
        began = time.monotonic()
        done = worker.run(until_caught_up=not follow)
        display.finish(done, time.monotonic() - began, [*panel.notes, *panel.unfetched()])
        if not follow and worker.stopping and done.lag:
            raise UnavailableError(
                f"stopped before it had caught up, {done.lag:,} positions behind; the next run goes on from there"
            )
        return done


@contextlib.contextmanager
def _panel(config: Config, candidate: Model) -> Iterator[Panel]:
    def hosted(model: Model) -> HostedModel:
        return HostedModel(model, config.experiment, config.folder, config.replay.threads)

    with contextlib.closing(hosted(candidate)) as shadow, contextlib.ExitStack() as stack:
        primary = None
        if config.primary.model is not None:
            primary = stack.enter_context(contextlib.closing(hosted(config.primary)))
        yield Panel(shadow, primary, config.replay.noise_frac, random.Random())


@contextlib.contextmanager
def _stopped_by_signals(worker: Worker) -> Iterator[None]:
    """SIGTERM and Ctrl-C commit what waits and end; a second Ctrl-C ends at once."""

    def stop(number: int, frame: object) -> None:
        print("stopping: committing what was read", file=sys.stderr)
        worker.stop()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
