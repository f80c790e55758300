"""A job's number that everything it starts carries, whatever it does to its environment, session or parents. Linux; standard library only.

Each process of a job gets a limit on real-time CPU (RLIMIT_RTTIME) that nobody ever reaches, hundreds of centuries, and whose exact
value is made from the job's id and the portal's home. Limits go down from parent to child through fork and exec (getrlimit(2)), need no
privilege to be lowered from "unlimited", and are shown for every process (proc_pid_limits(5)). An environment can be emptied, a session
left and a parent outlived by mistake; a limit changes only where somebody means it to.
"""

from __future__ import annotations

import contextlib
import hashlib
import sys
from pathlib import Path

_PROC = Path("/proc")
_LINE = b"Max realtime timeout"
_LEAST = 1 << 61


def number(job_id: str, home: Path | str) -> int:
    """Return the number of a job: the same id in another home, a restored copy, has another one."""
    chance = hashlib.sha256(f"{job_id} {home}".encode()).digest()[:8]
    return _LEAST + int.from_bytes(chance, "big") % _LEAST


def adopt(job_id: str, home: Path | str) -> bool:
    """Give this process, and all that it will start, a job's number; False where that cannot be done."""
    if sys.platform != "linux":
        return False
    import resource

    with contextlib.suppress(OSError, ValueError):  # a lower limit was set from outside
        resource.setrlimit(resource.RLIMIT_RTTIME, (number(job_id, home),) * 2)
        return True
    return False


def carried(pid: int) -> int | None:
    """Return the number that a process carries; None when it carries none, or has gone."""
    try:
        text = (_PROC / str(pid) / "limits").read_bytes()
    except OSError:
        return None
    value = text.partition(_LINE)[2].split(None, 1)[:1]
    return int(value[0]) if value and value[0].isdigit() and int(value[0]) >= _LEAST else None
