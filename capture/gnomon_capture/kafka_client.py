"""kafka-python's producer as a guest in a serving process: its sockets are known, its end is its owner's, its log is quiet."""

from __future__ import annotations

import contextlib
import encodings.idna  # noqa: F401 - see below
import logging
import threading
import weakref
from collections.abc import Iterable, Iterator
from socket import socket as Socket  # noqa: N812 - a method below has the other name
from typing import Any

import kafka.errors
from kafka import KafkaProducer
from kafka.net.compat import KafkaNetClient
from kafka.net.inet import KafkaNetSocket

# A connection would import `encodings.idna` on the mirror's thread. A child that is forked meanwhile would find that
# module locked for ever, by a thread that it does not have, and never connect.

_log = logging.getLogger("gnomon_capture")

DIRECT = "gnomon-direct://"
"""The `proxy_url` by which a client makes its sockets here."""
THREADS = "gnomon-"
"""How a client id has to begin, so that its threads' log lines are kept back."""
_ABANDON_S = 1.0
_LOGIN = (
    kafka.errors.SaslAuthenticationFailedError,
    kafka.errors.UnsupportedSaslMechanismError,
    kafka.errors.IllegalSaslStateError,
    kafka.errors.AuthorizationError,
)

# Every socket that was made by a mirror's producer, whatever became of it.
_connecting: weakref.WeakSet[Socket] = weakref.WeakSet()


class _Direct(KafkaNetSocket):  # type: ignore[misc]
    """No proxy. kafka-python leaves a socket whose connection is refused to the garbage collector; this closes it."""

    SCHEMES = ("gnomon-direct",)

    def socket(self, *args: Any) -> Socket:
        made = Socket(*args)
        _connecting.add(made)
        return made

    async def sock_connect(self, net: Any, sock: Socket, *args: Any, **kwargs: Any) -> Any:
        try:
            return await super().sock_connect(net, sock, *args, **kwargs)
        except BaseException:
            sock.close()
            raise


def sockets_of(clients: Iterable[Any]) -> set[Socket]:
    """Clients' sockets, by names that are kafka-python's own; a test counts those that a child is left with."""
    found = set(_connecting)
    for client in clients:
        with contextlib.suppress(AttributeError):
            found |= {client._net._wakeup_r, client._net._wakeup_w}  # noqa: SLF001
            connections = list(client._manager._conns.values())  # noqa: SLF001
            sockets = [getattr(connection.transport, "_sock", None) for connection in connections]
            found.update(sock for sock in sockets if sock is not None)
    return found


class Producer(KafkaProducer):  # type: ignore[misc]
    """kafka-python's producer, ended by its owner alone."""

    def __init__(self, clients: list[KafkaNetClient], **config: Any) -> None:
        clients.clear()

        def make_client(**client_config: Any) -> Any:
            clients.append(KafkaNetClient(**client_config))
            return clients[0]

        try:
            super().__init__(kafka_client=make_client, **config)
        except BaseException:
            for client in clients:  # it would keep its sockets until they are collected
                client.close()
            raise
        self._unregister_cleanup()  # it would run before the mirror's own at exit, and cut it short

    def abandon(self) -> None:
        """Ends it at once. `close` would wait for every message first, and raise if that takes too long."""
        self._sender.force_close()
        with contextlib.suppress(kafka.errors.KafkaError):
            self.close(timeout=_ABANDON_S)


# kafka-python logs several lines a second while a broker is away; the mirror logs one, and the reason in it.
_here = threading.local()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps kafka-python's log lines of this thread back."""
    _here.quiet = True
    _here.heard = None
    try:
        yield
    finally:
        _here.quiet = False


def refused_login() -> Exception | None:
    """Why no broker let this thread in, since it has been quiet."""
    heard: Exception | None = _here.heard
    return heard


def _is_wanted(record: logging.LogRecord) -> bool:
    if getattr(_here, "quiet", False) and isinstance(record.args, tuple):
        # Why it found no broker to start with, kafka-python tells its log alone.
        heard = [one for one in record.args if isinstance(one, _LOGIN)]
        _here.heard = heard[0] if heard else _here.heard
    ours = getattr(_here, "quiet", False) or (record.threadName or "").startswith(THREADS)
    return not ours or _log.isEnabledFor(logging.DEBUG)


for _name in [name for name in logging.root.manager.loggerDict if name.startswith("kafka.")]:
    logging.getLogger(_name).addFilter(_is_wanted)
