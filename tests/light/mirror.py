"""A test engine that reports how the process looks that it runs in, and leaves traces in it when it is told to."""

from __future__ import annotations

import atexit
import gc
import json
import logging
import multiprocessing
import os
import random
import resource
import signal
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from tests.light.act import write

KEPT: list[Any] = []
EARLY = random.random()


def main() -> int:
    descriptors = {name: os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")}
    given = sys.argv[sys.argv.index("--job-fd") + 1]
    with os.fdopen(int(given), "rb") as file:
        order = json.load(file)
    descriptors["order"] = descriptors.pop(given)
    if "fork" not in order["job"]["params"]:
        write(order, {"outcome": "succeeded", "error": None, "outputs": [], "report": {**look(descriptors), "own": own()}})
    act(order["job"]["params"])
    return 0


def look(descriptors: dict[str, str]) -> dict[str, Any]:
    """What has to be the same in every engine's process."""
    status = dict(line.split(":\t") for line in Path("/proc/self/status").read_text().splitlines())
    main_module, root = sys.modules["__main__"], logging.getLogger()
    return {
        # the readline library of the process that runs the tests puts the size of a screen in what it starts
        "environment": {name: value for name, value in os.environ.items() if name not in {"PORTAL_JOB_ID", "LINES", "COLUMNS"}},
        "cwd": os.getcwd(), "umask": status["Umask"], "nice": os.nice(0), "limits": [resource.getrlimit(kind) for kind in range(8)],
        "argv": [Path(sys.argv[0]).name, *sys.argv[1:-1]], "orig_argv": sys.orig_argv[:-1], "path": sys.path, "flags": list(sys.flags),
        "descriptors": sorted((name, target.split(":")[0]) for name, target in descriptors.items()),
        "signals": {name: status[name] for name in ("SigPnd", "SigBlk", "SigIgn", "SigCgt")},
        "handlers": {str(number): str(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)},
        "wakeup": signal.set_wakeup_fd(-1), "threads": status["Threads"], "thread": threading.current_thread().name,
        "own session": os.getsid(0) == os.getpid() == os.getpgid(0), "runner": "portal.runner" in Path(f"/proc/{os.getppid()}/cmdline").read_text(),
        "streams": [[stream.encoding, stream.errors, stream.line_buffering, stream.write_through, stream.isatty(), stream.fileno()]
                    for stream in (sys.stdin, sys.stdout, sys.stderr)],
        "main": [main_module.__name__, main_module.__file__, main_module.__spec__.name, main_module.__package__, bool(main_module.__cached__)],
        "logging": [root.level, len(root.handlers), logging.root.manager.disable], "collector": [gc.isenabled(), gc.get_threshold()],
        "kept": KEPT, "children": [str(child) for child in multiprocessing.active_children()], "hook": sys.excepthook.__module__,
    }  # fmt: skip


def own() -> dict[str, Any]:
    """What has to be different in each."""
    return {"early": EARLY, "random": random.random(), "uuid": str(uuid.uuid4()), "uuid1": str(uuid.uuid1()), "pid": os.getpid()}


def act(params: dict[str, Any]) -> None:
    if params.get("leave_traces"):
        leave_traces()
    if "file" in params:  # at the end of the interpreter
        atexit.register(Path(params["file"] + ".exit").write_text, "handled")
        global unclosed
        unclosed = open(params["file"], "w")
        unclosed.write("written")
        threading.Thread(target=late, args=(params["file"] + ".late",)).start()
    if "fork" in params:
        fork(params["fork"])
    if "raise" in params:
        raise RuntimeError(params["raise"])
    if "exit" in params:
        sys.exit(params["exit"])


def late(path: str) -> None:
    time.sleep(0.05)
    Path(path).write_text("waited for")


def leave_traces() -> None:
    KEPT.append("from another job")
    os.environ["LEFT"] = os.environ["PORTAL_HOME"] = "behind"
    os.chdir("/")
    os.umask(0)
    os.nice(1)
    random.seed(1)
    sys.path.append("/left")
    logging.basicConfig(level=logging.DEBUG)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, lambda *_: None)
    for number in range(20):
        os.dup2(0, 100 + number)
    gc.disable()


def fork(path: str) -> None:
    """Stay, with a child that was forked and not started by exec, in a session of its own."""
    def stay() -> None:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with open(path, "a") as file:
            file.write(f"{os.getpid()}\n{os.getppid()}\n")
        time.sleep(600)

    multiprocessing.get_context("fork").Process(target=stay).start()
    time.sleep(600)


if __name__ == "__main__":
    sys.exit(main())
