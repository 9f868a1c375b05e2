"""A mirror's counts as Prometheus metrics, read when they are scraped."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from gnomon_capture.stats import MirrorStats

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

_COUNTERS = {
    "seen": "Requests recorded whose fate is settled.",
    "mirrored": "Requests that have a number: in the traffic, or on their way there.",
    "not_selected": "Requests that configured selection left out.",
    "refused": "Numbered requests that the transport refused for good, as too large.",
}
_GAUGES = {
    "waiting": "Requests in the buffer.",
    "unacknowledged": "Numbered requests that the transport has not acknowledged yet.",
    "away": "1 while the transport is away.",
}
_LABELS = ("service", "process")


class Counted(Protocol):
    """What is shown: a mirror."""

    service: str | None

    def stats(self) -> MirrorStats:
        """Its counts now."""


class MirrorCollector:
    """All mirrors that were registered with one registry; one per registry, as names must not repeat there."""

    def __init__(self) -> None:
        self.mirrors: list[Counted] = []

    def describe(self) -> list[Metric]:
        """The metrics' names, so that registering does not read."""
        return list(_families().values())

    def collect(self) -> Iterator[Metric]:
        """The metrics, with one sample a mirror."""
        families: dict[str, Any] = _families()
        for mirror in self.mirrors:
            stats = mirror.stats()
            labels = [mirror.service or "", stats.process]
            for name in (*_COUNTERS, *_GAUGES):
                families[name].add_metric(labels, float(getattr(stats, name)))
            for reason, count in stats.dropped.items():
                families["dropped"].add_metric([*labels, reason], float(count))
        yield from families.values()


_collectors: weakref.WeakKeyDictionary[CollectorRegistry, MirrorCollector] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def register(mirror: Counted, registry: CollectorRegistry | None = None) -> None:
    """Shows a mirror's counts in a registry; doing so again changes nothing.

    Args:
        registry: by default prometheus-client's own.

    Raises:
        ImportError: prometheus-client is not installed.
    """
    try:
        from prometheus_client import REGISTRY
    except ImportError as exc:
        raise ImportError("metrics need prometheus-client: pip install 'gnomon[metrics]'") from exc
    registry = REGISTRY if registry is None else registry
    with _lock:
        collector = _collectors.get(registry)
        if collector is None:
            collector = MirrorCollector()
            registry.register(collector)
            _collectors[registry] = collector
        if mirror not in collector.mirrors:
            collector.mirrors = [*collector.mirrors, mirror]


def _families() -> dict[str, Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    families: dict[str, Metric] = {
        name: CounterMetricFamily(f"gnomon_mirror_{name}", text, labels=_LABELS)
        for name, text in _COUNTERS.items()
    }
    families["dropped"] = CounterMetricFamily(
        "gnomon_mirror_dropped",
        "Requests seen that are not in the traffic, by reason.",
        labels=(*_LABELS, "reason"),
    )
    families |= {
        name: GaugeMetricFamily(f"gnomon_mirror_{name}", text, labels=_LABELS)
        for name, text in _GAUGES.items()
    }
    return families
