"""One replay: opens traffic, log and models as the configuration has them, runs a worker, shows how far it is."""

from __future__ import annotations

import contextlib
import hashlib
import random
import re
import signal
import sys
import time
from collections.abc import Iterator, Sequence

from gnomon_capture.errors import UnavailableError, UsageError
from gnomon_replay.alone import alone
from gnomon_replay.asking import Panel
from gnomon_replay.errors import LogError, ModelError
from gnomon_replay.log import PairLog
from gnomon_replay.model import HostedModel, locate
from gnomon_replay.pacing import PacedSource
from gnomon_replay.runs import Runs
from gnomon_replay.settings import Model
from gnomon_replay.shape import Shape
from gnomon_replay.sources import open_source, shares
from gnomon_replay.window import Window
from gnomon_replay.worker import Progress, Worker

from gnomon.config import Config
from gnomon.housekeeping import Housekeeper
from gnomon.progress import ReplayDisplay


def replay(
    config: Config,
    candidates: Sequence[Model],
    *,
    follow: bool,
    window: Window = Window(),  # noqa: B008 - frozen
    pace: float | None = None,
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
        UnavailableError: it was stopped before it had caught up; or another worker reads the same traffic.
    """
    if config.primary.model is None:
        print("no primary model: no noise floor and no fair latency will be known", file=sys.stderr)
    with contextlib.ExitStack() as stack:
        group = f"gnomon-{config.experiment.name}-{_group_of(config, candidates)}"
        source = open_source(config.traffic, config.folder, config.experiment.name, group=group)
        stack.callback(source.close)
        panel = stack.enter_context(open_panel(config, candidates))
        if not shares(config.traffic):
            digests = [model.digest for model in panel.candidates]
            stack.enter_context(alone(config.log, digests, config.traffic.address))
        display = stack.enter_context(ReplayDisplay(sys.stderr))
        shape = Shape.declared(config.features)
        log = PairLog(config.log)
        runs = Runs(log, source.name, panel, config.replay.threads)

        housekeeper = stack.enter_context(Housekeeper(config))

        def progress(done: Progress) -> None:
            display.update(done)
            runs.record_if_due()
            housekeeper.look()

        paced = source if pace is None else PacedSource(source, pace)
        worker = Worker(paced, log, panel, config.replay, shape, progress, window)
        stack.enter_context(_stopped_by_signals(worker))
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
        if not follow and worker.stopping and done.lag:
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
def open_panel(config: Config, candidates: Sequence[Model]) -> Iterator[Panel]:
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
            print(f"caution: {caution}", file=sys.stderr)
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
                print(f"gnomon: {exc}; the other candidates go on without it", file=sys.stderr)
        yield Panel(started, primary, config.replay.noise_frac, random.Random(), failed=failed)


def _as_file(version: str) -> str:
    """A version as part of a file's name."""
    return re.sub(r"[^\w.-]", "_", version)[:100]


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
