"""A test engine whose processes do what hard cases do. `params["do"]` names it; what it starts writes its pids to `params["pids"]`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.light.act import wait_for, write

HIDDEN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
open(sys.argv[1], "a").write(f"{os.getpid()}\\n")
time.sleep(600)
"""
"""A daemon: two forks and a session away from the engine, its parents dead, deaf to SIGTERM."""

HYDRA = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
until = time.monotonic() + 60
open(sys.argv[1], "a").write(f"{os.getpid()}\\n")
while time.monotonic() < until:
    time.sleep(float(sys.argv[2]))
    if os.fork():
        os._exit(0)
"""
"""Each of its processes starts the next after so many seconds and ends; it stops by itself after a minute, should nobody stop it."""

BURN = """
import sys, time
held = bytearray(int(sys.argv[1]) << 20)
held[::4096] = b"x" * len(held[::4096])
while time.process_time() < float(sys.argv[2]):
    pass
"""


def start(code: str, *arguments: str, **how: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-S", "-c", code, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, **how)


def daemons(params: dict[str, Any]) -> None:
    """Daemons with an emptied environment, and no descriptor of ours."""
    for _ in range(params.get("count", 2)):
        start(HIDDEN, params["pids"], env={}, stderr=subprocess.DEVNULL).wait()
    while Path(params["pids"]).read_text().count("\n") < params.get("count", 2):
        time.sleep(0.01)
    wait_for(params["until"])


def hydra(params: dict[str, Any]) -> None:
    for _ in range(params.get("count", 2)):
        start(HYDRA, params["pids"], str(params["pace_s"]), stderr=subprocess.DEVNULL).wait()
    wait_for(params["until"])


def burn(params: dict[str, Any]) -> None:
    """Use memory and time, here and in a child that is waited for."""
    for who in ("child", "own"):
        megabytes, seconds = params[who]
        start(BURN, str(megabytes), str(seconds)).wait() if who == "child" else exec_here(BURN, megabytes, seconds)


def exec_here(code: str, megabytes: int, seconds: float) -> None:
    saved, sys.argv = sys.argv, ["-c", str(megabytes), str(seconds)]
    exec(code, {})
    sys.argv = saved


def many(params: dict[str, Any]) -> None:
    """Children that end and that nobody here waits for: their parents end before them."""
    for _ in range(params["count"]):
        start("import os, time; os.fork() and os._exit(0); time.sleep(0.05)").wait()
    if "pids" in params:
        Path(params["pids"]).write_text("all\n")
        wait_for(params["until"])


DOES: dict[str, Callable[[dict[str, Any]], None]] = {"daemons": daemons, "hydra": hydra, "burn": burn, "many": many}


def main() -> int:
    with os.fdopen(int(sys.argv[sys.argv.index("--job-fd") + 1]), "rb") as file:
        order = json.load(file)
    DOES[order["job"]["params"]["do"]](order["job"]["params"])
    write(order, {"outcome": "succeeded", "outputs": [], "report": {}, "error": None})
    return 0


if __name__ == "__main__":
    sys.exit(main())
