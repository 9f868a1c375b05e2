"""One replay: opens traffic, log and models as the configuration has them, runs a worker, shows how far it is."""

from __future__ import annotations

import contextlib
import logging
import random
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from gnomon_capture.errors import UnavailableError
from gnomon_replay.asking import Panel
from gnomon_replay.model import HostedModel, locate
from gnomon_replay.settings import Model
from gnomon_replay.shape import Shape
from gnomon_replay.sources import open_source
from gnomon_replay.worker import Progress, Worker

from gnomon import logs
from gnomon.config import Config
from gnomon.exits import DONE, UNABLE
from gnomon.metrics import Metrics
from gnomon.progress import LoggedProgress, ReplayDisplay
from gnomon.stopping import Stopping
from gnomon.watching import Listener, WatchedLog, WatchedSource


@dataclass(frozen=True, kw_only=True)
class Telling:
    """What a run tells while it goes on.

    Attributes:
        log_lines: log lines on stderr, which `logs.configure` has set up; else a display for people.
        quiet: nothing but warnings and errors.
        metrics_port: serves Prometheus metrics there; 0 for any free port, None for none.
        metrics_address: to listen on.
    """

    log_lines: bool = False
    quiet: bool = False
    metrics_port: int | None = None
    metrics_address: str = "127.0.0.1"


def replay(config: Config, candidate: Model, *, follow: bool, telling: Telling = Telling()) -> Progress:
    """Runs a candidate over the experiment's traffic.

    Raises:
        ModelError: a model cannot be loaded, or does not fit the traffic.
        TrafficError, LogError, FencedError: as they say; what was committed stays.
        UnavailableError: it was stopped before it had caught up, the metrics' port is taken, or it could not
            commit within [replay] stop_within_s of being told to stop.
    """
    run = uuid.uuid4().hex[:12]
    logs.bind(run=run, experiment=config.experiment.name, candidate=candidate.version)
    say = _speaker(telling)
    if config.primary.model is None:
        say("no primary model: no noise floor and no fair latency will be known", logging.WARNING)
    with contextlib.ExitStack() as stack:
        stopping = stack.enter_context(Stopping(config.replay.stop_within_s, _stop_speaker(telling)))
        digest = locate(candidate, config.folder).digest
        group = f"gnomon-{config.experiment.name}-{digest.removeprefix('sha256:')[:12]}"
        listeners: list[Listener] = []
        source = WatchedSource(
            open_source(config.traffic, config.folder, config.experiment.name, group=group), listeners
        )
        stack.callback(source.close)
        panel = stack.enter_context(_panel(config, candidate))
        if telling.metrics_port is not None:
            metrics = Metrics(
                config.experiment.name, run, [candidate.version], source.lags, lambda: _restarts(panel)
            )
            listeners.append(metrics)
            url = stack.enter_context(metrics.served(telling.metrics_address, telling.metrics_port))
            say(f"metrics at {url}", logging.INFO)
        display: ReplayDisplay | LoggedProgress
        if telling.log_lines:
            display = LoggedProgress()
            listeners.append(display)
        else:
            display = stack.enter_context(ReplayDisplay(sys.stderr, quiet=telling.quiet))
        log = WatchedLog(config.log, source, digest, listeners)
        worker = Worker(source, log, panel, config.replay, Shape.declared(config.features), display.update)
        stopping.began(worker.stop, source.in_hand)
        began = time.monotonic()
        done = worker.run(until_caught_up=not follow)
        display.finish(done, time.monotonic() - began, [*panel.notes, *panel.unfetched()])
        stopped_short = not follow and worker.stopping and done.lag > 0
        stopping.ended(UNABLE if stopped_short else DONE)
        if stopped_short:
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


def _restarts(panel: Panel) -> Mapping[str, int]:
    models = (panel.candidate, panel.primary)
    return {model.version: model.restarts for model in models if model is not None}


def _speaker(telling: Telling) -> Callable[[str, int], None]:
    """Says something to whoever started the run."""

    def say(words: str, level: int) -> None:
        if telling.log_lines:
            logs.event(words, level)
        elif level >= logging.WARNING or not telling.quiet:
            print(words, file=sys.stderr, flush=True)

    return say


def _stop_speaker(telling: Telling) -> Callable[[str], None]:
    say = _speaker(telling)
    return lambda words: say(words, logging.INFO)
