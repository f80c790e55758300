"""A test engine that imports next to nothing and speaks the order protocol itself. `params` say what it does, in this order."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ALONE = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(sys.argv[1], "a").write(f"{os.getpid()}\\n")
time.sleep(600)
"""


def main() -> int:
    with os.fdopen(int(sys.argv[sys.argv.index("--job-fd") + 1]), "rb") as file:
        order = json.load(file)
    params: dict[str, Any] = order["job"]["params"]
    if "witness" in params:  # two at once would both find it free
        os.close(os.open(params["witness"], os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    begin(order, params)
    if "wait" in params:
        wait_for(params["wait"])
    if order["attempt"] in params.get("kill_in", ()):
        os.kill(os.getpid(), signal.SIGSEGV)
    error = params.get("error", {"message": "no luck"}) if order["attempt"] in params.get("fail_in", ()) else None
    outcome = "failed" if error else params.get("outcome", "succeeded")
    if not params.get("silent"):
        write(order, {"outcome": outcome, "outputs": params.get("outputs", []), "report": params.get("report", {}), "error": error})
    if "witness" in params:
        os.unlink(params["witness"])
    return int(params.get("exit", {"succeeded": 0, "partial": 3, "rejected": 2}.get(outcome, 1)))


def begin(order: dict[str, Any], params: dict[str, Any]) -> None:
    if "started" in params:
        with open(params["started"], "a") as file:
            file.write(f"{os.getpid()}\n")
    if params.get("ignore_term"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "grandchild" in params:
        subprocess.Popen([sys.executable, "-S", "-c", ALONE, params["grandchild"]], start_new_session=True)
        wait_for(params["grandchild"])
    for line in params.get("say", ()):
        print(line)
    if params.get("say_secrets"):
        print("connections:", json.dumps(order["connections"]), order["redact"])
        params["report"] = {"note": json.dumps(order["connections"])}
    sys.stdout.flush()


def wait_for(path: str) -> None:
    until = time.monotonic() + 60
    while not os.path.exists(path) and time.monotonic() < until:
        time.sleep(0.01)


def write(order: dict[str, Any], result: dict[str, Any]) -> None:
    folder = Path(order["folder"])
    whole = {"job": order["job"]["id"], "attempt": order["attempt"], "counts": {"done": 1}, "bytes": 0, "timings": {}, "warnings": [], **result}
    fresh = folder / ".fresh"
    fresh.write_text(json.dumps(whole))
    fresh.replace(folder / f"result-{order['attempt']}.json")


if __name__ == "__main__":
    sys.exit(main())
