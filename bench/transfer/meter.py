"""Runs one command and tells what it took, with all it started: `python -S -m bench.transfer.meter FIGURES COMMAND …`.

Wall seconds, CPU seconds (user and system, of every process that was below the command, as the kernel counted them when they ended), and the
most memory that all of them had at one time, looked at ten times a second. On SIGTERM everything is killed at one blow. Standard library only.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from portal import processes

_LOOK_S = 0.1
_TREE_EVERY = 5
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Memory(threading.Thread):
    """Looks at the memory of a process and of all below it, until it is told to end."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.peak_bytes, self.ended = pid, 0, threading.Event()

    def run(self) -> None:
        looks, pids = 0, {self.pid}
        while not self.ended.wait(_LOOK_S):
            if looks % _TREE_EVERY == 0:
                pids = {self.pid, *processes.descendants(self.pid)}
            looks += 1
            self.peak_bytes = max(self.peak_bytes, sum(_resident_bytes(pid) for pid in pids))


def _resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES
    except OSError:
        return 0


def kill_all_below() -> None:
    for number in (signal.SIGSTOP, signal.SIGKILL):
        processes.send(processes.descendants(os.getpid()), number)


def collect() -> float:
    """Kill and collect what the command left behind; returns its CPU seconds."""
    used = 0.0
    with suppress(ChildProcessError):
        while True:
            kill_all_below()
            _, _, usage = os.wait4(-1, 0)
            used += usage.ru_utime + usage.ru_stime
    return used


def main() -> None:
    processes.become_subreaper()
    signal.signal(signal.SIGTERM, lambda *_: kill_all_below())
    began = time.perf_counter()
    command = subprocess.Popen(sys.argv[2:], stdin=sys.stdin)
    memory = Memory(command.pid)
    memory.start()
    _, status, usage = os.wait4(command.pid, 0)
    wall_s = time.perf_counter() - began
    memory.ended.set()
    cpu_s = usage.ru_utime + usage.ru_stime + collect()
    peak_bytes = max(memory.peak_bytes, usage.ru_maxrss * 1024)
    told = {"wall_s": wall_s, "cpu_s": cpu_s, "peak_bytes": peak_bytes, "code": os.waitstatus_to_exitcode(status)}
    Path(sys.argv[1]).write_text(json.dumps(told))


if __name__ == "__main__":
    main()
