"""Processes as the kernel tells them: who they are, whose children, and which belong to a job. Standard library only.

A pid alone means nothing, because pids are used again: an `identity` adds the start time and the boot. A job's processes are the
descendants of its runner while that lives, and afterwards those whose environment carries the job's mark or who carry its number.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from portal import lineage

MARK = "PORTAL_JOB_ID"
HOME = "PORTAL_HOME"

_PROC = Path("/proc")
_PR_SET_CHILD_SUBREAPER = 36


def become_subreaper() -> None:
    """Make every orphaned descendant a child of this process (prctl(2), PR_SET_CHILD_SUBREAPER; Linux)."""
    if sys.platform == "linux":
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def boottime() -> float:
    """Seconds on a clock that goes on while the machine sleeps and that nobody can set."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if sys.platform == "linux" else time.monotonic()


def boot_id() -> str:
    """Name of this boot of the machine; "" where the kernel gives none."""
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def start_time(pid: int) -> str | None:
    """When a process started, as the kernel counts it (proc_pid_stat(5), field 22); None when there is no such process."""
    stat = _stat(pid)
    return stat[19] if stat else None


def _stat(pid: int) -> list[str] | None:
    """Fields 3 and on of /proc/PID/stat: state, parent, group, session, …"""
    try:
        text = (_PROC / str(pid) / "stat").read_text("utf-8", "replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def namespace() -> str:
    """Name of the PID namespace in which this process sees others (pid_namespaces(7)); "" where there are none."""
    try:
        return os.readlink(_PROC / "self/ns/pid")
    except OSError:
        return ""


def identity(pid: int | None = None) -> dict[str, Any]:
    """Return what tells a process apart from every other, before and after: pid, start time, boot, and who can see it: its PID namespace."""
    number = os.getpid() if pid is None else pid
    return {"pid": number, "start": start_time(number), "boot": boot_id(), "namespace": namespace()}


def is_elsewhere(known: dict[str, Any]) -> bool:
    """Tell whether the process of an `identity` is or was in another container on this machine, where nobody here can see it."""
    return known.get("boot") == boot_id() and known.get("namespace", namespace()) != namespace()


def is_alive(known: dict[str, Any]) -> bool:
    """Tell whether the process of an `identity` still runs; another one that got its pid is not it."""
    pid = known.get("pid")
    if not isinstance(pid, int) or known.get("boot") != boot_id():
        return False
    stat = _stat(pid)
    return stat is not None and stat[19] == known.get("start") and stat[0] not in "ZX"


def is_stopped(pid: int) -> bool:
    """Tell whether a process was stopped by a signal or a debugger, and so does nothing until it is told to go on (proc_pid_stat(5), field 3)."""
    stat = _stat(pid)
    return stat is not None and stat[0] in "Tt"


def parents() -> dict[int, int]:
    """Return the parent of every process."""
    if not (_PROC / "self/stat").exists():
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=False).stdout
        return {int(pid): int(parent) for pid, parent in (line.split() for line in listed.splitlines())}
    found = {}
    for pid in _pids():
        if stat := _stat(pid):
            found[pid] = int(stat[1])
    return found


def _pids() -> list[int]:
    return [int(name) for name in os.listdir(_PROC) if name.isdecimal()] if _PROC.is_dir() else []


def descendants(*roots: int) -> set[int]:
    """Return the processes below the given ones."""
    children: dict[int, list[int]] = {}
    for pid, parent in parents().items():
        children.setdefault(parent, []).append(pid)
    found: set[int] = set()
    waiting = list(roots)
    while waiting:
        fresh = [pid for pid in children.get(waiting.pop(), ()) if pid not in found]
        found.update(fresh)
        waiting += fresh
    return found - {os.getpid()}


def marked(job_id: str, home: Path) -> set[int]:
    """Return the living processes that carry a job's mark or number (`portal.lineage`), and what they started since."""
    return set(_each_marked(job_id, home))


def _each_marked(job_id: str, home: Path) -> Iterator[int]:
    """Yield them as they are found, the youngest first: of processes that start each other, those that still can."""
    number = lineage.number(job_id, home)
    found = set()
    for pid in sorted(_pids(), reverse=True):
        if pid != os.getpid() and (_has_mark(pid, job_id, home) or (lineage.carried(pid) == number and not _is_dead(pid))):
            found.add(pid)
            yield pid
    yield from descendants(*found) - found if found else ()


def _is_dead(pid: int) -> bool:
    """Tell whether only the exit status is left of a process; its first thread may have ended before the others."""
    stat = _stat(pid)
    return stat is None or (stat[0] in "ZX" and int(stat[17]) <= 1)


def _has_mark(pid: int, job_id: str, home: Path) -> bool:
    try:
        variables = (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
    if f"{MARK}={job_id}".encode() not in variables:
        return False
    # The same job can run elsewhere at the same time: from a restored copy of the state.
    homes = [item for item in variables if item.startswith(f"{HOME}=".encode())]
    return not homes or f"{HOME}={home}".encode() in homes


def children() -> set[int]:
    """Return the children of this process, zombies included; quick, but one may be missing while others end (proc_tid_children(5))."""
    found: set[int] = set()
    try:
        for thread in (_PROC / "self/task").iterdir():
            found.update(int(pid) for pid in (thread / "children").read_text().split())
    except OSError:
        return {pid for pid, parent in parents().items() if parent == os.getpid()}
    return found


def send(pids: set[int], number: signal.Signals) -> None:
    """Send a signal to processes that may be gone."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


_EMPTY_LOOKS = 3
"""One look is no proof: a process that starts another and ends may be missed while /proc is read."""


def end_marked(job_id: str, home: Path, wait_s: float = 5.0) -> bool:
    """Kill every process with a job's mark; False when one is still there after `wait_s` seconds."""
    until = time.monotonic() + wait_s
    empty = 0
    while empty < _EMPTY_LOOKS:
        left = 0
        for pid in _each_marked(job_id, home):  # each is killed as it is found, before it can start another
            send({pid}, signal.SIGKILL)
            left += 1
        empty = 0 if left else empty + 1
        if left and time.monotonic() > until:
            return False
        time.sleep(0.001)
    return True
