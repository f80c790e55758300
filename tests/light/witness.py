"""A test engine that proves it is alone: while it or anything it started lives, its job's witness file is locked. `params` say what it does.

`field` is the folder of the witnesses; a line is appended to `<job>.lines` at the start and at the end, and to `violations` when a
lock that has to be free is held. Its children inherit the lock, so it also tells when one of them outlives its attempt.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

CHILD = """
import os, signal, sys, time
field, work_s, stubborn, daemon = sys.argv[1], float(sys.argv[2]), sys.argv[3] == "1", sys.argv[4] == "1"
if daemon and os.fork():
    os._exit(0)
if daemon:
    os.setsid()
if stubborn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
time.sleep(work_s)
"""
LEFT_BEHIND_S = 600.0


def main() -> int:
    with os.fdopen(int(sys.argv[sys.argv.index("--job-fd") + 1]), "rb") as file:
        order = json.load(file)
    params: dict[str, Any] = order["job"]["params"]
    field, job_id = Path(params["field"]), order["job"]["id"]
    held = [witness(field, job_id, order["attempt"]), *places(field, order)]
    append(field / f"{job_id}.lines", f"start {order['attempt']} {os.getpid()} {start_time()}")
    work(order, params, held)
    outcome = "failed" if order["attempt"] in params.get("fail_in", ()) else params.get("outcome", "succeeded")
    if not params.get("silent"):
        tell(order, outcome)
    append(field / f"{job_id}.lines", f"end {order['attempt']} {os.getpid()} {outcome}")
    return {"succeeded": 0, "partial": 3, "rejected": 2}.get(outcome, 1)


def witness(field: Path, job_id: str, attempt: int) -> int:
    """Lock the job's own file; whoever finds it held is the second at once, and says so."""
    descriptor = os.open(field / f"{job_id}.witness", os.O_RDWR | os.O_CREAT)
    if not locked(descriptor):
        append(field / "violations", f"{job_id} attempt {attempt}: something of an earlier attempt still lives")
    return descriptor


def places(field: Path, order: dict[str, Any]) -> list[int]:
    """Lock a place of each limit; `limit_places` says how many there are."""
    held = []
    for name in order["job"]["limits"]:
        tries = [os.open(field / f"limit-{name}.{number}", os.O_RDWR | os.O_CREAT) for number in range(order["job"]["params"]["limit_places"][name])]
        taken = next((descriptor for descriptor in tries if locked(descriptor)), None)
        if taken is None:
            append(field / "violations", f"{order['job']['id']} attempt {order['attempt']}: the limit {name} is exceeded")
        held += [taken] if taken is not None else []
    return held


def locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def append(path: Path, line: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    os.write(descriptor, f"{line}\n".encode())
    os.close(descriptor)


def start_time() -> str:
    return Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]


def work(order: dict[str, Any], params: dict[str, Any], held: list[int]) -> None:
    if params.get("stubborn"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    children = [start_child(params, held, child) for child in params.get("children", ())]
    for number in range(params.get("chatter", 0)):
        print(f"{number:06d}", "." * 90)
    sys.stdout.flush()
    time.sleep(params.get("work_s", 0.0))
    if order["attempt"] in params.get("crash_in", ()):
        os.kill(os.getpid(), signal.SIGSEGV)
    for child in children:
        if child is not None:
            child.wait()


def start_child(params: dict[str, Any], held: list[int], child: dict[str, Any]) -> subprocess.Popen[bytes] | None:
    """Start a child that holds the witness too; one that is left behind is not waited for."""
    left = child.get("left", False)
    flags = [str(LEFT_BEHIND_S if left else random.uniform(0, 0.1)), str(int(child.get("stubborn", False))), str(int(child.get("daemon", False)))]
    started = subprocess.Popen(
        [sys.executable, "-S", "-c", CHILD, params["field"], *flags], env={} if child.get("bare") else None, pass_fds=held,
        start_new_session=bool(child.get("session")), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    if not left:
        return started
    started.returncode = 0  # nobody waits for it
    return None


def tell(order: dict[str, Any], outcome: str) -> None:
    folder = Path(order["folder"])
    error = {"message": "no luck"} if outcome == "failed" else None
    whole = {"job": order["job"]["id"], "attempt": order["attempt"], "outcome": outcome, "outputs": [{"url": f"war:{order['job']['id']}"}],
             "error": error, "counts": {}, "bytes": 0, "timings": {}, "warnings": [], "report": {}}  # fmt: skip
    fresh = folder / f".fresh-{order['attempt']}"
    fresh.write_text(json.dumps(whole))
    fresh.replace(folder / f"result-{order['attempt']}.json")


if __name__ == "__main__":
    sys.exit(main())
