"""Prometheus metrics of a run, over HTTP."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from gnomon_capture.errors import UnavailableError

from gnomon import __version__
from gnomon.watching import Committed

COMMIT_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """The metrics of one run; a listener of it.

    Args:
        experiment, run: shown in `gnomon_run_info`.
        candidates: versions, whose counts begin at 0.
        lags: positions behind, by partition; asked at each scrape, from another thread.
        restarts: of the models' processes, by the model's version; likewise.

    Raises:
        ImportError: prometheus-client is not installed; says how to.
    """

    def __init__(
        self,
        experiment: str,
        run: str,
        candidates: Sequence[str],
        lags: Callable[[], Mapping[str, int]],
        restarts: Callable[[], Mapping[str, int]],
    ) -> None:
        try:
            import prometheus_client as prometheus
            from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
        except ImportError as exc:
            raise ImportError(
                "--metrics-port needs prometheus-client: pip install 'gnomon[metrics]'", name=exc.name
            ) from exc
        registry = prometheus.CollectorRegistry()
        self._registry = registry
        self._server = prometheus.start_http_server

        def counter(name: str, text: str, *labels: str) -> Any:
            return prometheus.Counter(f"gnomon_{name}", text, labels, registry=registry)

        self._pairs = counter("pairs", "Pairs committed, duplicates included", "candidate")
        self._timed = counter("timed_requests", "Requests that were run alone and timed", "candidate")
        self._errors = counter("errors", "Pairs whose candidate failed", "candidate", "kind")
        self._duplicates = counter("duplicates", "Pairs marked as duplicates")
        self._letters = counter("dead_letters", "Lines of the traffic that are no records")
        self._commits = prometheus.Histogram(
            "gnomon_commit_seconds", "One commit to the log", buckets=COMMIT_BUCKETS_S, registry=registry
        )
        self._version = prometheus.Gauge(
            "gnomon_log_version", "Of the table of pairs, after the last commit", registry=registry
        )
        self._last = prometheus.Gauge(
            "gnomon_last_commit_timestamp_seconds", "When the last commit was made", registry=registry
        )
        prometheus.Info("gnomon_run", "The run", registry=registry).info(
            {"experiment": experiment, "run": run, "version": __version__}
        )
        for version in candidates:
            for each in (self._pairs, self._timed):
                each.labels(version)
        prometheus.ProcessCollector(registry=registry)

        class AskedAtScrape:
            """Figures that stand elsewhere."""

            def collect(self) -> Iterator[Any]:
                behind = GaugeMetricFamily(
                    "gnomon_lag", "Positions behind the traffic's end when last looked", labels=["partition"]
                )
                for part, lag in lags().items():
                    behind.add_metric([part], lag)
                yield behind
                started = CounterMetricFamily(
                    "gnomon_host_restarts", "Processes of a model that were started anew", labels=["model"]
                )
                for model, count in restarts().items():
                    started.add_metric([model], count)
                yield started

        registry.register(AskedAtScrape())

    def committed(self, commit: Committed) -> None:
        for version, count in commit.pairs.items():
            self._pairs.labels(version).inc(count)
        for version, count in commit.timed.items():
            self._timed.labels(version).inc(count)
        for (version, kind), count in commit.errors.items():
            self._errors.labels(version, kind).inc(count)
        self._duplicates.inc(commit.duplicates)
        self._letters.inc(commit.dead_letters)
        self._commits.observe(commit.seconds)
        self._last.set_to_current_time()
        if commit.version is not None:
            self._version.set(commit.version)

    def reading(self, positions: Mapping[str, int | None]) -> None:
        """Seen at each scrape, by the lags."""

    @contextlib.contextmanager
    def served(self, address: str, port: int) -> Iterator[str]:
        """Serves them while entered; gives the URL, whose port is a free one if `port` is 0.

        Raises:
            UnavailableError: the port is taken, or this machine has no such address.
        """
        try:
            server, thread = self._server(port, address, self._registry)
        except (OSError, OverflowError) as exc:
            raise UnavailableError(
                f"metrics cannot be served on {address}:{port} ({getattr(exc, 'strerror', None) or exc}); "
                "name another --metrics-port (0 takes a free one) or --metrics-address"
            ) from exc
        try:
            host = f"[{address}]" if ":" in address else address
            yield f"http://{host}:{server.server_port}/metrics"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
