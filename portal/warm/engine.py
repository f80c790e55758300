"""An engine process that waits for its one order with the imports done, and the runner's end of it. Linux; standard library only.

The runner forks it before there is a job, let alone a lock. It does not exec, so it shows the mark of its job by overwriting what /proc
shows, and only then says so; the runner gives the order to a process that is marked, and to no other. So whenever the runner dies, an
engine that may have begun is found by its mark, and one that has not begun never will: its end of the socket is closed.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import socket
import sys
import threading
from atexit import _run_exitfuncs
from importlib.util import find_spec
from types import ModuleType, TracebackType
from typing import Any

from portal import lineage, processes
from portal.descriptors import document
from portal.engine_process import EngineProcess, Order, start_cold
from portal.warm import own_process

_MARKED = b"marked"
_PATIENCE_S = 5.0
_MESSAGE_BYTES = 1 << 16


class WarmEngine:
    """An engine process that waits, as its runner sees it."""

    def __init__(self, shown: own_process.Shown) -> None:
        """Fork it."""
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.output, written = os.pipe()
        self.pid = own_process.fork(lambda: _wait(theirs, written, shown))
        theirs.close()
        os.close(written)

    def fileno(self) -> int:
        """Becomes readable when the process has ended."""
        return self._socket.fileno()

    def start(self, order: Order) -> EngineProcess:
        """Give it the order; where it cannot take it, and so never begins, start a new interpreter instead."""
        with self._socket:
            if self._agree(order):
                return EngineProcess(self.pid, self.output)
        processes.send({self.pid}, signal.SIGKILL)
        os.close(self.output)
        return start_cold(order)

    def _agree(self, order: Order) -> bool:
        first = {name: order[name] for name in ("job", "module", "env", "cwd")}
        try:
            self._socket.send(json.dumps(first).encode())
            readable, _, _ = select.select([self._socket], (), (), _PATIENCE_S)
            if not readable or self._socket.recv(len(_MARKED)) != _MARKED:
                return False
            handed = document(order["engine_order"])
            try:
                socket.send_fds(self._socket, [b"go"], [handed])
            finally:
                os.close(handed)
        except OSError:
            return False
        return True


def _wait(ours: socket.socket, written: int, shown: own_process.Shown) -> int:
    """The life of the engine process; returns its exit code."""
    os.setsid()
    own_process.handle_no_signals()
    for ignored in (signal.SIGINT, signal.SIGHUP):  # as the runner does, and hands down
        signal.signal(ignored, signal.SIG_IGN)
    for standard in (1, 2):
        os.dup2(written, standard)
    own_process.close_all_but({ours.fileno()})
    with ours, contextlib.suppress(ConnectionError):
        if not (message := ours.recv(_MESSAGE_BYTES)):
            return 0
        first = json.loads(message)
        _become(first, shown)
        ours.send(_MARKED)
        _, handed, _, _ = socket.recv_fds(ours, len(b"go"), 1, socket.MSG_CMSG_CLOEXEC)
        if not handed:
            return 0
        ours.close()
        return run_as_main(first["module"], ["--job-fd", str(handed[0])])
    return 0


def _become(first: dict[str, Any], shown: own_process.Shown) -> None:
    """Look like the engine of this job, from inside and from outside."""
    os.environ.update(first["env"])
    os.chdir(first["cwd"])
    shown.call(sys.executable, "-m", first["module"], first["job"])
    shown.mark(first["job"])
    lineage.adopt(first["job"], first["env"].get(processes.HOME, ""))


def run_as_main(name: str, arguments: list[str]) -> int:
    """Run a module as `python -m` does, to the end of its threads and exit handlers; returns the exit code.

    The modules that were there before are not torn down one by one, which costs more than most jobs: what the engine made is.
    """
    code = _exit_code(lambda: _execute(name, arguments))
    threading._shutdown()  # type: ignore[attr-defined]
    _run_exitfuncs()
    if threading.active_count() == 1:  # a daemon thread may still use what would be taken from it
        vars(sys.modules["__main__"]).clear()
        gc.collect()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    return code


def _execute(name: str, arguments: list[str]) -> None:
    module = ModuleType("__main__")
    sys.modules["__main__"] = module
    sys.orig_argv = [sys.executable, "-m", name, *arguments]
    spec = find_spec(name)
    if spec is None or spec.loader is None or spec.origin is None:
        raise SystemExit(f"{sys.executable}: No module named {name}")
    module.__dict__.update(
        __spec__=spec, __loader__=spec.loader, __file__=spec.origin, __cached__=spec.cached, __package__=spec.parent, __builtins__=__builtins__,
    )  # fmt: skip
    sys.argv = [spec.origin, *arguments]
    exec(spec.loader.get_code(name), module.__dict__)  # type: ignore[attr-defined]  # noqa: S102 - it is what `python -m` does


def _exit_code(main: Any) -> int:
    """Call it and tell what an interpreter would exit with; say on standard error why, when that is its way."""
    try:
        main()
    except SystemExit as ending:
        if ending.code is None or isinstance(ending.code, int):
            return (ending.code or 0) & 0xFF
        print(ending.code, file=sys.stderr)
        return 1
    except BaseException as error:
        error.__traceback__ = _engines_part(error.__traceback__)
        sys.excepthook(type(error), error, error.__traceback__)
        return 1
    return 0


def _engines_part(trace: TracebackType | None) -> TracebackType | None:
    """A traceback without the frames of this module, which say nothing about the engine."""
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return trace
