"""The mirror: what a serving application holds, and calls once a request."""

from __future__ import annotations

import atexit
import logging
import multiprocessing
import os
import re
import sys
import threading
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from gnomon_capture import forks
from gnomon_capture.address import parse_address
from gnomon_capture.configfile import read_capture
from gnomon_capture.copying import deep_copied, is_longer, shallow_copied
from gnomon_capture.errors import UsageError
from gnomon_capture.footprint import UNMEASURED_BYTES
from gnomon_capture.handoff import Dropped, Handoff
from gnomon_capture.metrics import register
from gnomon_capture.overflow import overflow_folder
from gnomon_capture.processes import child_name, process_name
from gnomon_capture.record import PROCESS_PATTERN, Served
from gnomon_capture.screen import Screen
from gnomon_capture.sender import Sender
from gnomon_capture.settings import CaptureSettings, from_mapping
from gnomon_capture.stats import MirrorStats
from gnomon_capture.transport import make_transport

_log = logging.getLogger("gnomon_capture")
_DEFAULTS = CaptureSettings()
_time_ns = time.time_ns


class Mirror:
    """Mirrors the requests of a serving process. Any number of threads may share one.

    `record` takes about a microsecond and never waits; everything else happens on a background thread. The
    traffic being away, or full, never reaches the serving code: requests wait, and beyond the bound they are
    dropped and counted. Close it when the process ends, or use it as a context manager; at the interpreter's
    exit that is done for you.

    A mirror made before a fork (a server that preloads the application) works in the parent and in every child:
    each child that mirrors something is a process of its own in the accounts, and what waited in the parent
    stays the parent's.

    >>> with Mirror("spool:traffic", service="arrival-delay") as mirror:  # doctest: +SKIP
    ...     mirror.record({"carrier": "UA", "dep_delay": 2.0}, served={"label": "late", "score": 0.83})

    Args:
        to: `kafka://host:9092/topic` (more hosts after commas) or `spool:folder`.
        service: what the records name as theirs.
        settings: a `CaptureSettings`, or a mapping of the same form as the table `[capture]`.
        process: this capturing process's name in the accounts, of letters, digits, `.`, `_` and `-`; no two may
            share one, ever. By default host, process id and start. Forked children add theirs to it.
        kafka: further settings of kafka-python's producer, such as `security_protocol`.
        require: open the traffic now, and raise if that fails; else it is opened in the background, and a
            failure is logged.

    Raises:
        UsageError: the address, a setting or the process's name is not what it should be.
        TrafficError: `require` was given, and the traffic cannot be written.
    """

    process: str
    _handoff: Handoff
    _sender: Sender
    _told: bool

    def __init__(
        self,
        to: str,
        *,
        service: str | None = None,
        settings: CaptureSettings | Mapping[str, Any] = _DEFAULTS,
        process: str | None = None,
        kafka: Mapping[str, Any] | None = None,
        require: bool = False,
    ) -> None:
        table = settings if isinstance(settings, Mapping) else msgspec.to_builtins(settings)
        settings = from_mapping(CaptureSettings, table, "capture")
        process_given = process
        process = process_name() if process is None else process
        if not re.match(PROCESS_PATTERN, process):
            raise UsageError(f"{process!r} cannot name a process; use letters, digits, `.`, `_` and `-`")
        self.service = service
        self._to = to
        self._name = str(parse_address(to))
        self._given = process_given
        self._settings = settings
        self._screen = Screen(settings, service)
        self._kafka = kafka
        self._deep = settings.copy == "deep"
        self._max_bytes = settings.max_record_bytes
        self._set_up(process)
        if require:
            self._sender.outlet.delivery.open()
        self._start()
        forks.tell(self)

    @classmethod
    def from_config(
        cls,
        path: str | os.PathLike[str] = "gnomon.toml",
        *,
        service: str | None = None,
        process: str | None = None,
        kafka: Mapping[str, Any] | None = None,
        require: bool = False,
    ) -> Self:
        """A mirror as a configuration file has it: `[traffic] from` and `[capture]`; the rest is not read.

        Paths in the file are relative to it. The base install is enough.

        Args:
            service: by default the experiment's name.
            process, kafka, require: as for `Mirror`.

        Raises:
            UsageError: no such file, or a line of it is wrong.
            TrafficError: as for `Mirror`.
        """
        read = read_capture(Path(path))
        service = read.service if service is None else service
        return cls(
            read.to, service=service, settings=read.settings, process=process, kafka=kafka, require=require
        )

    def record(
        self,
        features: Mapping[str, Any] | None = None,
        *,
        payload: Any = None,
        served: Served | Mapping[str, Any] | None = None,
        key: str | None = None,
        attributes: Mapping[str, str | None] | None = None,
        request_id: str | None = None,
        ts: int | str | datetime | None = None,
    ) -> None:
        """Mirrors one request. Never raises, never waits.

        What is passed is copied, one level deep: nested values must not change afterwards, or `copy = "deep"`.

        Args:
            features: flat scalars by name; or
            payload: any JSON. One of the two is needed.
            served: what the user got: a `Served`, or a mapping with its fields.
            key: what makes requests depend on each other, a user or a device.
            attributes: what the comparison may be split by, beside the features.
            request_id: your own id, to join labels to later; else one is made.
            ts: when it was served: an aware datetime, ISO 8601, or nanoseconds since 1970; now, if left out.
        """
        try:
            waiting = self._waiting
            if len(waiting) >= self._handoff.bound:
                if not self._makes_room():
                    return
                waiting = self._waiting
            if payload is not None:
                if is_longer(payload, self._max_bytes):
                    self._handoff.oversize.add()
                    return
                payload = deep_copied(payload) if self._deep else shallow_copied(payload)
            if self._deep:
                features, served, attributes = (
                    deep_copied(features),
                    deep_copied(served),
                    deep_copied(attributes),
                )
            waiting.append(
                (
                    _time_ns() if ts is None else ts,
                    None if features is None else {**features},
                    payload,
                    # `isinstance` of a msgspec class costs as much as the copy
                    served if served is None or served.__class__ is Served else {**served},  # type: ignore[dict-item]
                    key,
                    None if attributes is None else {**attributes},
                    request_id,
                    1.0,
                )
            )
        except Exception as exc:  # noqa: BLE001 - whatever the caller's objects raise, it is not the caller's concern
            self._handoff.unencodable.add()
            self._handoff.complaint = exc.with_traceback(None)  # which would keep the caller's frames alive

    def miss(self, reason: Dropped, exc: Exception | None = None) -> None:
        """Counts a request that an adapter saw and could not take apart, as dropped. Never raises, never waits.

        Args:
            reason: `pick_failed` or `body_too_large`.
            exc: what happened; the first one is logged.
        """
        if not self._sender.started:
            self._begin()
        self._handoff.unpicked[reason].add()
        if exc is not None:
            self._handoff.complaint = exc.with_traceback(None)

    def stats(self) -> MirrorStats:
        """The counts so far."""
        delivery, overflow = self._sender.outlet.delivery, self._sender.outlet.overflow
        settled = delivery.acknowledged + delivery.refused  # read first: it can only fall behind
        ledger = self._sender.ledger()
        return MirrorStats(
            process=self.process,
            seen=ledger.seen,
            mirrored=ledger.mirrored,
            not_selected=ledger.not_selected,
            dropped=ledger.dropped,
            waiting=len(self._waiting),
            unacknowledged=ledger.mirrored - settled,
            refused=delivery.refused,
            away=delivery.away,
            overflowing=overflow is not None and not overflow.settled,
        )

    def register_metrics(self, registry: Any = None) -> None:
        """Shows the counts as Prometheus metrics, `gnomon_mirror_…`, read when they are scraped.

        Args:
            registry: a `prometheus_client.CollectorRegistry`; by default that library's own.

        Raises:
            ImportError: prometheus-client is not installed (`gnomon[metrics]`).
        """
        register(self, registry)

    def close(self, timeout_s: float | None = None) -> None:
        """Sends what waits and the closing ledger, and counts what could not be sent within the time.

        May be called again, and from any thread. Requests recorded afterwards are counted as dropped.

        Args:
            timeout_s: by default `close_timeout_s` of the settings.
        """
        self._handoff.close()
        self._sender.close(self._settings.close_timeout_s if timeout_s is None else timeout_s)
        atexit.unregister(self.close)
        stats = self.stats()
        unsent = stats.waiting + stats.dropped.get(Dropped.UNSENT, 0)
        unacknowledged = 0 if self._sender.outlet.kept else stats.unacknowledged
        if (unsent or unacknowledged) and not self._told:
            self._told = True
            _log.warning(
                "mirroring to %s ended: %d requests could not be sent, %d were sent and not acknowledged",
                self._name,
                unsent,
                unacknowledged,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def after_fork_in_child(self) -> None:
        """Lets go of what is the parent's. What a child needs is begun with the first request that it mirrors."""
        closed, parents = self._handoff.closed, self._sender
        forks.keep((parents, self._handoff))
        try:
            parents.disown()
        except Exception:  # noqa: BLE001 - the child is to serve all the same
            _log.warning("a forked child could not let go of all that its parent has open", exc_info=True)
        atexit.unregister(self.close)
        self._set_up(child_name(self._given))
        if closed:
            self._handoff.close()
        else:
            self._handoff.resize(0)

    def _set_up(self, process: str) -> None:
        self.process = process
        self._told = False
        self._starting = threading.Lock()
        settings = self._settings
        bound = min(settings.buffer_records, max(settings.buffer_bytes // UNMEASURED_BYTES, 1))
        self._handoff = Handoff(bound)
        self._waiting = self._handoff.waiting
        transport = make_transport(self._to, process, settings, self._kafka)
        overflow = settings.overflow and overflow_folder(settings.overflow, parse_address(self._to))
        self._sender = Sender(
            self._handoff,
            transport,
            self._name,
            process,
            self.service,
            settings,
            self._screen.fresh(),
            overflow or None,
        )

    def _start(self) -> None:
        self._sender.start()
        atexit.register(self.close)
        self._end_with_pool()
        if (pool := sys.modules.get("multiprocessing.util")) is not None:
            pool.register_after_fork(self, Mirror._end_with_pool)  # it forgets what was registered before

    def _end_with_pool(self) -> None:
        """Forked children of multiprocessing end without running what atexit has."""
        pool = sys.modules.get("multiprocessing.util")
        if pool is not None and multiprocessing.parent_process() is not None:
            pool.Finalize(self, self.close, exitpriority=100)

    def _begin(self) -> None:
        """In a child: begins what its first request needs."""
        if not self._sender.started and not self._handoff.closed:
            with self._starting:
                if not self._sender.started and not self._handoff.closed:
                    self._handoff.resize(1000)  # until the sender has measured
                    self._start()

    def _makes_room(self) -> bool:
        """Whether there is room now, since this was a child's first request; else counts it."""
        self._begin()
        if len(self._waiting) < self._handoff.bound:
            return True
        self._handoff.refuse()
        return False
