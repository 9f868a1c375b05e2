"""The process that starts the processes of one model, and confines them. Like `host.py`, which it runs, it stands
alone: it needs pyarrow and the model's own libraries, in the model's environment.

It is started as `python warden.py CONTROL OPTIONS`: a socket of packets to whoever started it, and JSON,
`{"network": allowed?, "preload": [modules that the model will need]}`. Over the socket:

    → {"network": kept?, "processes": kept?, "why"}       once: what this system lets it confine
    ← one packet with two descriptors, CHANNEL, ATTEMPTS: start a host that answers on this channel
    → {"ended": process id, "status"}                      of a host; negative: the signal that killed it

Libraries are imported once, here, and a host is a fork: a crash costs a few milliseconds and the loading of
the model, not two seconds of imports. No model code runs in this process. When the other side of the control
socket is gone, however it ended, all hosts and all that they started are killed.

A host has an empty network namespace, sees no process but its own, and dies with all its children, as far as
the system allows: unprivileged user namespaces, or root. Python's own attempts to reach a network are refused
and counted in either case (`forbid_network`); those of native code are not counted.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import importlib
import json
import mmap
import os
import select
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Callable
from typing import Any

ATTEMPTS = struct.Struct("=QI")  # how many, and the bytes of the first one's description behind it
ATTEMPTS_BYTES = 4096
_DESCRIBED_BYTES = 300
_NEW_USER, _NEW_NET, _NEW_IPC, _NEW_PID = 0x10000000, 0x40000000, 0x08000000, 0x20000000
_SET_SUBREAPER, _SET_NO_NEW_PRIVILEGES = 36, 38
_ADD_SEALS, _SEAL_FUTURE_WRITE = 1033, 0x10
_NETWORK_EVENTS = {
    "socket.connect",
    "socket.sendto",
    "socket.sendmsg",
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "socket.gethostbyaddr",
    "socket.getnameinfo",
}
_libc = ctypes.CDLL(None, use_errno=True)


def _unshare(flags: int) -> None:
    if _libc.unshare(flags):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _enter(flags: int) -> None:
    """New namespaces; in a new user namespace users and groups keep their numbers."""
    user, group = os.geteuid(), os.getegid()
    _unshare(flags)
    if flags & _NEW_USER:
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)


def _possible(*steps: Callable[[], None]) -> str | None:
    """Tries steps in a fork, which may be thrown away; None if they work, else the reason."""
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        try:
            for step in steps:
                step()
            grandchild = os.fork()  # where there are no processes to be had, this fails
            if not grandchild:
                os._exit(0)
            os.waitpid(grandchild, 0)
        except BaseException as exc:  # noqa: BLE001 - whatever it is, it is no way to go
            os.write(theirs, (str(exc) or type(exc).__name__).encode())
        os._exit(0)
    os.close(theirs)
    with open(ours, "rb") as file:
        why = file.read().decode()
    os.waitpid(child, 0)
    return why or None


def confine(network: bool) -> dict[str, Any]:
    """Moves this process into namespaces, as far as the system lets it; says how far that was."""
    kept = {"network": False, "processes": False, "why": ""}
    net = 0 if network else _NEW_NET | _NEW_IPC
    for flags in (_NEW_USER | net, net):  # root can do without a user namespace
        why = _possible(lambda: _enter(flags), lambda: _unshare(_NEW_PID))  # noqa: B023 - called at once
        if why is None:
            _enter(flags)
            return {"network": not network, "processes": True, "why": ""}
        kept["why"] = kept["why"] or why
    return kept


def forbid_network(attempts: mmap.mmap) -> None:
    """Refuses and counts what Python code does to reach a network or another process's socket; for good."""

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _NETWORK_EVENTS:
            return
        if event.startswith("socket.send") and arguments[1] is None:
            return  # over a pair that it made itself
        count, described = ATTEMPTS.unpack_from(attempts)
        where = arguments[1] if isinstance(arguments[0], socket.socket) else arguments[:2]
        if not described:
            text = f"{event} {where}".encode(errors="replace")[:_DESCRIBED_BYTES]
            attempts[ATTEMPTS.size : ATTEMPTS.size + len(text)] = text
            described = len(text)
        ATTEMPTS.pack_into(attempts, 0, count + 1, described)
        raise PermissionError(
            f"{event} {where}: a shadow model reaches no network; `network = true` in its table allows it"
        )

    sys.addaudithook(refuse)


def _become_host(
    serve: Callable[[socket.socket], None], channel: int, attempts: int, forbidden: bool
) -> None:
    """What the fork does; it never returns."""
    status = 1
    try:
        os.setsid()
        connection = socket.socket(fileno=channel)
        os.set_inheritable(channel, False)
        # What the model forks must not hold the channel open when this process is gone.
        os.register_at_fork(after_in_child=connection.close)
        shared = mmap.mmap(attempts, ATTEMPTS_BYTES)
        with contextlib.suppress(
            OSError
        ):  # so that a model that writes into any descriptor does not change it
            fcntl.fcntl(attempts, _ADD_SEALS, _SEAL_FUTURE_WRITE)
        os.close(attempts)
        if "numpy" in sys.modules:  # `random` reseeds itself; without, all hosts would draw the same numbers
            sys.modules["numpy"].random.seed()
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        connection.sendall(b"\n")  # by which the other side learns our process id
        if forbidden:
            forbid_network(shared)
        serve(connection)
        status = 0
    except SystemExit as exc:
        status = exc.code if isinstance(exc.code, int) else int(exc.code is not None)
    except BaseException:  # noqa: BLE001 - it must not return into the warden's code
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(status & 0xFF)


class Warden:
    """Starts hosts, reaps them, and sweeps up behind them."""

    def __init__(self, control: socket.socket, options: dict[str, Any]) -> None:
        self._control = control
        self._forbidden = not options["network"]
        self._hosts: set[int] = set()
        self._kept = confine(options["network"])
        _libc.prctl(_SET_SUBREAPER, 1, 0, 0, 0)  # what hosts leave behind becomes our child
        _libc.prctl(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0)  # no sudo
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")  # if memory runs out, the kernel takes a model before all else
        self._say(self._kept)
        self._host = importlib.import_module("host")
        for name in options["preload"]:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
        self._woken, waking = socket.socketpair()
        waking.setblocking(False)
        self._waking = waking
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(waking.fileno(), warn_on_full_buffer=False)

    def run(self) -> None:
        """Until the other side is gone."""
        while True:
            ready, _, _ = select.select([self._control, self._woken], [], [])
            if self._woken in ready:
                self._woken.recv(4096)
                self._reap()
            if self._control in ready:
                message, descriptors, _, _ = socket.recv_fds(self._control, 4096, 2)
                if not message:
                    return
                self._start(*descriptors)
                for each in descriptors:
                    os.close(each)

    def end(self) -> None:
        """Kills all hosts and what they left."""
        for pid in self._hosts:
            _kill(pid)
        for _ in range(1000):  # whatever dies hands its children to us
            left = _children()
            if not left:
                return
            for pid in left:
                _kill(pid)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(-1, 0)

    def _start(self, channel: int, attempts: int) -> None:
        """A fork, in a process namespace of its own as its first process: the kernel ends all others with it."""
        ours, theirs = os.pipe()
        child = os.fork()
        if not child:
            with contextlib.suppress(BaseException):
                if self._kept["processes"]:
                    _unshare(_NEW_PID)
                    grandchild = os.fork()
                    if grandchild:
                        os.write(theirs, str(grandchild).encode())
                        os._exit(0)
                else:
                    os.write(theirs, str(os.getpid()).encode())
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for each in (self._control, self._woken, self._waking):
                    each.close()
                os.close(ours)
                os.close(theirs)
                _become_host(self._host.serve, channel, attempts, self._forbidden)
            os._exit(1)
        os.close(theirs)
        with open(ours, "rb") as file:
            told = file.read(20)  # also what ended before it could tell: then nothing
        if told:
            self._hosts.add(int(told))
        if self._kept["processes"]:
            os.waitpid(child, 0)

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    break
                if pid in self._hosts:
                    self._hosts.discard(pid)
                    self._say({"ended": pid, "status": os.waitstatus_to_exitcode(status)})
        for pid in _children():
            if pid not in self._hosts:
                _kill(pid)

    def _say(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            self._control.send(json.dumps(message).encode(), socket.MSG_DONTWAIT)


def _children() -> list[int]:
    found: list[int] = []
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError), open(f"/proc/self/task/{thread}/children") as file:
            found += map(int, file.read().split())
    return found


def _kill(pid: int) -> None:
    for kill in (os.killpg, os.kill):  # the group of its own that it leads, if it does
        with contextlib.suppress(OSError):
            kill(pid, signal.SIGKILL)


def main() -> None:
    """Serves the control socket that stands on the command line."""
    control = socket.socket(fileno=int(sys.argv[1]))
    os.set_inheritable(control.fileno(), False)
    warden = Warden(control, json.loads(sys.argv[2]))
    try:
        warden.run()
    finally:
        warden.end()


if __name__ == "__main__":
    main()
