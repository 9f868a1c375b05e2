"""One replay: opens traffic, log and models as the configuration has them, runs a worker, shows how far it is."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import random
import re
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from gnomon_capture.errors import UnavailableError, UsageError
from gnomon_replay.alone import alone
from gnomon_replay.asking import Panel
from gnomon_replay.errors import LogError, ModelError
from gnomon_replay.model import HostedModel, locate
from gnomon_replay.pacing import PacedSource
from gnomon_replay.runs import Runs
from gnomon_replay.settings import Model
from gnomon_replay.shape import Shape
from gnomon_replay.sources import open_source, shares
from gnomon_replay.window import Window
from gnomon_replay.worker import Progress, Worker

from gnomon import logs
from gnomon.config import Config
from gnomon.exits import DONE, UNABLE
from gnomon.housekeeping import Housekeeper
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


Say = Callable[[str, int], None]


def replay(
    config: Config,
    candidates: Sequence[Model],
    *,
    follow: bool,
    window: Window = Window(),  # noqa: B008 - frozen
    pace: float | None = None,
    telling: Telling = Telling(),
) -> Progress:
    """Runs candidates over the experiment's traffic, in one pass.

    Args:
        window: which part of the traffic; all of it by default.
        pace: 1 for the original rate, 10 for ten times that; None for as fast as possible.

    Returns:
        How far it came; `failed` names the candidates that were given up while others went on.

    Raises:
        ModelError: a model cannot be loaded, or does not fit the traffic: the primary, or every candidate.
        TrafficError, LogError, FencedError: as they say; what was committed stays.
        UsageError: two candidates are the same model.
        UnavailableError: it was stopped before it had caught up; another worker reads the same traffic; the
            metrics' port is taken; or it could not commit within [replay] stop_within_s of being told to stop.
    """
    run = uuid.uuid4().hex[:12]
    logs.bind(
        run=run, experiment=config.experiment.name, candidate=", ".join(model.version for model in candidates)
    )
    say = speaker(telling)
    if config.primary.model is None:
        say("no primary model: no noise floor and no fair latency will be known", logging.WARNING)
    with contextlib.ExitStack() as stack:
        stopping = stack.enter_context(Stopping(config.replay.stop_within_s, _stop_speaker(telling)))
        group = f"gnomon-{config.experiment.name}-{_group_of(config, candidates)}"
        listeners: list[Listener] = []
        source = WatchedSource(
            open_source(config.traffic, config.folder, config.experiment.name, group=group), listeners
        )
        stack.callback(source.close)
        panel = stack.enter_context(open_panel(config, candidates, say))
        if not shares(config.traffic):
            digests = [model.digest for model in panel.candidates]
            stack.enter_context(alone(config.log, digests, config.traffic.address))
        if telling.metrics_port is not None:
            versions = [model.version for model in panel.candidates]
            metrics = Metrics(config.experiment.name, run, versions, source.lags, lambda: _restarts(panel))
            listeners.append(metrics)
            url = stack.enter_context(metrics.served(telling.metrics_address, telling.metrics_port))
            say(f"metrics at {url}", logging.INFO)
        display: ReplayDisplay | LoggedProgress
        if telling.log_lines:
            display = LoggedProgress()
            listeners.append(display)
        else:
            display = stack.enter_context(ReplayDisplay(sys.stderr, quiet=telling.quiet))
        log = WatchedLog(config.log, listeners)
        runs = Runs(log, source.name, panel, config.replay.threads)
        housekeeper = stack.enter_context(Housekeeper(config))

        def progress(done: Progress) -> None:
            display.update(done)
            runs.record_if_due()
            housekeeper.look()

        paced = source if pace is None else PacedSource(source, pace)
        shape = Shape.declared(config.features)
        worker = Worker(paced, log, panel, config.replay, shape, progress, window)
        stopping.began(worker.stop, source.in_hand)
        began = time.monotonic()
        try:
            done = worker.run(until_caught_up=not follow)
        except BaseException:
            with contextlib.suppress(LogError):  # what ended the run is what should be told
                runs.record()
            raise
        runs.record()
        done.failed = dict(panel.failed)
        display.finish(done, time.monotonic() - began, [*panel.notes, *panel.unfetched(), *runs.lines()])
        stopped_short = not follow and worker.stopping and done.lag > 0
        stopping.ended(UNABLE if stopped_short else DONE)
        if stopped_short:
            raise UnavailableError(
                f"stopped before it had caught up, {done.lag:,} positions behind; the next run goes on from there"
            )
        return done


def _group_of(config: Config, candidates: Sequence[Model]) -> str:
    """The consumer group's name: workers that run the same candidates share the partitions."""
    digests: dict[str, str] = {}
    for model in candidates:
        try:
            digest = locate(model, config.folder).digest
        except ModelError:
            if len(candidates) == 1:
                raise
            continue  # given up when its host is to be started
        if digest in digests:
            raise UsageError(
                f"candidates {digests[digest]} and {model.version} are the same model; name one by --candidate"
            )
        digests[digest] = model.version
    if len(digests) == 1:
        return next(iter(digests)).removeprefix("sha256:")[:12]
    return hashlib.sha256(" ".join(sorted(digests)).encode()).hexdigest()[:12]


@contextlib.contextmanager
def open_panel(config: Config, candidates: Sequence[Model], say: Say) -> Iterator[Panel]:
    """The models of a run; their processes end with it.

    Args:
        say: told what whoever started the run must know, and how grave it is (a level of `logging`).

    Raises:
        ModelError: the primary cannot be started, or no candidate can.
    """

    def hosted(model: Model, role: str) -> HostedModel:
        started = HostedModel(
            model,
            config.experiment,
            config.folder,
            config.replay.threads,
            warm_up=config.replay.warm_up,
            output=config.log / "output" / f"{role}.txt",
        )
        for caution in started.cautions():
            say(f"caution: {caution}", logging.WARNING)
        return stack.enter_context(contextlib.closing(started))

    with contextlib.ExitStack() as stack:
        primary = None if config.primary.model is None else hosted(config.primary, "primary")
        started: list[HostedModel] = []
        failed: dict[str, str] = {}
        for number, model in enumerate(candidates, 1):
            try:
                started.append(hosted(model, f"candidate-{_as_file(model.version)}"))
            except ModelError as exc:
                if number == len(candidates) and not started:
                    raise
                failed[model.version] = str(exc)
                say(f"gnomon: {exc}; the other candidates go on without it", logging.ERROR)
        yield Panel(started, primary, config.replay.noise_frac, random.Random(), failed=failed)


def _as_file(version: str) -> str:
    """A version as part of a file's name."""
    return re.sub(r"[^\w.-]", "_", version)[:100]


def _restarts(panel: Panel) -> Mapping[str, int]:
    return {model.version: model.restarts for model in panel.models}


def speaker(telling: Telling) -> Say:
    """Says something to whoever started the run."""

    def say(words: str, level: int) -> None:
        if telling.log_lines:
            logs.event(words, level)
        elif level >= logging.WARNING or not telling.quiet:
            print(words, file=sys.stderr, flush=True)

    return say


def _stop_speaker(telling: Telling) -> Callable[[str], None]:
    say = speaker(telling)
    return lambda words: say(words, logging.INFO)
