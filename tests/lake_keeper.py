"""Keeps the tests' metastore alive for as long as anybody uses it. `python -m tests.lake_keeper DIR` is started by `tests.lake`.

Users hold a shared lock on DIR/users, which the system takes back when they die: whoever gets it alone knows that there is nobody left.
"""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path

from embedded import processes


def keep(root: Path) -> None:
    """Run a metastore below a folder and write its address to `ready` there, until nobody uses it."""
    command = [sys.executable, "-m", "embedded.metastore", "--root", str(root)]
    child = processes.start("metastore", command, root / "metastore.log")
    ready = root / "ready"
    try:
        fresh = root / "ready.new"
        fresh.write_text(processes.wait_for_line(child, "ready ").split()[1] + "\n", "utf-8")
        fresh.replace(ready)
        with (root / "users").open("w") as users:
            fcntl.flock(users, fcntl.LOCK_EX)
            ready.unlink(missing_ok=True)  # a run that was green takes its folder away
    finally:
        processes.stop([child])


if __name__ == "__main__":
    if os.fork():
        os._exit(0)  # whoever was the first user has no child to wait for
    keep(Path(sys.argv[1]))
