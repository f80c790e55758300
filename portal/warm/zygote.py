"""Makes warm spares: pairs of a runner and an engine process that wait for one job with the imports done. Linux.

Started by a worker as `python -m portal.warm.zygote FD PLACEHOLDER MODULE…` with a socket on the descriptor. It imports the modules and then
forks, whenever the worker sends one end of a new socket, a runner with an engine process below it. It holds no lock, opens nothing of
the queue and runs no engine; it and the spares without a job end when the worker closes its ends.

A spare runs one job and ends, so nothing of one job can reach another. Engines themselves are not imported here but read anew by each job.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Sequence

from portal import processes, runner
from portal.engine_process import Order
from portal.warm import own_process
from portal.warm.engine import WarmEngine

READY = "ready"
_MOST_DESCRIPTORS = 250


class NotWarm(Exception):
    """Nothing can be forked from this process without harm; the message says why."""


def preload(control: socket.socket, names: Sequence[str]) -> None:
    """Import modules for as long as the worker is there. Raises NotWarm when one cannot be, or leaves behind what a fork must not take along."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError) as error:
        raise NotWarm("this kernel has no pidfds, which tell the worker that a runner has ended") from error
    held = _held()
    for name in names:
        if _has_gone(control):
            raise NotWarm("the worker has gone")
        try:
            importlib.import_module(name)
        except Exception as error:
            raise NotWarm(f"{name} cannot be imported: {type(error).__name__}: {error}") from error
        if len(os.listdir("/proc/self/task")) > 1:
            raise NotWarm(f"{name} starts a thread when it is imported")
        if _held() != held:
            raise NotWarm(f"{name} leaves a file open when it is imported")


def _has_gone(control: socket.socket) -> bool:
    poll = select.poll()
    poll.register(control, select.POLLHUP)
    return bool(poll.poll(0))


def _held() -> list[str]:
    return sorted(os.listdir("/proc/self/fd"))


def serve(control: socket.socket, shown: own_process.Shown) -> None:
    """Make a spare for each socket that arrives, until the worker has gone."""
    while True:
        _, sockets, _, _ = socket.recv_fds(control, 1, 1, socket.MSG_CMSG_CLOEXEC)
        if not sockets:
            return
        with socket.socket(fileno=sockets[0]) as theirs:
            own_process.fork(lambda theirs=theirs: _wait(theirs, shown))  # type: ignore[misc]


def _wait(worker: socket.socket, shown: own_process.Shown) -> int:
    """The life of a spare runner; returns its exit code."""
    os.setsid()
    own_process.handle_no_signals()
    own_process.close_all_but({worker.fileno()})
    os.dup2(0, 1)
    engine = WarmEngine(shown)
    order = _order(worker, engine)
    if order is None:
        return 0
    shown.mark(order["job"])
    shown.call(sys.executable, "-m", "portal.runner", order["job"])
    return runner.run(order, engine.start)


def _order(worker: socket.socket, engine: WarmEngine) -> Order | None:
    """Say that all is ready, and wait for the order; None when the worker or the engine process ends before."""
    with worker:
        try:
            _tell_ready(worker)
            readable, _, _ = select.select([worker.fileno(), engine.fileno()], (), ())
            if worker.fileno() not in readable:
                return None
            _, received, flags, _ = socket.recv_fds(worker, 1, _MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
        except ConnectionError:
            return None
    if not received or flags & socket.MSG_CTRUNC:  # without all of its locks no job may run
        return None
    document, log, lock, *limits = received
    os.dup2(log, 2)
    os.close(log)
    with os.fdopen(document, "rb") as file:
        return {**json.load(file), "lock_fd": lock, "limit_fds": limits}


def _tell_ready(worker: socket.socket) -> None:
    own = os.pidfd_open(os.getpid())
    try:
        socket.send_fds(worker, [json.dumps(processes.identity()).encode()], [own])
    finally:
        os.close(own)


def main() -> None:
    began = time.monotonic()
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps: only the worker wants to know of an end, by other means
    with socket.socket(fileno=int(sys.argv[1])) as control:
        os.set_inheritable(control.fileno(), False)
        try:
            shown = own_process.Shown()
            preload(control, sys.argv[3:])
        except (NotWarm, LookupError) as error:
            with contextlib.suppress(ConnectionError):
                control.send(json.dumps({"problem": str(error)}).encode())
            return
        gc.collect()
        gc.freeze()
        try:
            control.send(json.dumps({READY: round(time.monotonic() - began, 3)}).encode())
            serve(control, shown)
        except ConnectionError:
            return


if __name__ == "__main__":
    main()
