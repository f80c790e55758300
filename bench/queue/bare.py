"""What cannot be done without: the same file calls in a bare loop, and the same interpreter started in a bare loop."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from bench.queue.measuring import ROOT

MODULE = "bench.queue.engines.noop"


def write_files(folder: Path, data: bytes, first: int, count: int) -> None:
    """For each file: create, write, fsync, close, link to its name, unlink the first name, fsync the folder."""
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        fresh = f"{folder}/tmp/{number}"
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        os.write(descriptor, data)
        os.fsync(descriptor)
        os.close(descriptor)
        os.link(fresh, f"{folder}/5-{number:026d}.json")
        os.unlink(fresh)
        named = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        os.fsync(named)
        os.close(named)


def start_interpreters(count: int, at_once: int) -> None:
    """Start Python with the imports of the no-op engine `count` times, `at_once` at a time, and wait for their end."""
    command = [sys.executable, "-c", f"import {MODULE}"]
    alive: dict[int, subprocess.Popen[bytes]] = {}
    for _ in range(count):
        if len(alive) == at_once:
            _wait_for_one(alive)
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL)
        alive[process.pid] = process
    while alive:
        _wait_for_one(alive)


def _wait_for_one(alive: dict[int, subprocess.Popen[bytes]]) -> None:
    pid, status = os.wait()
    if pid in alive and (code := os.waitstatus_to_exitcode(status)):
        raise RuntimeError(f"`import {MODULE}` ended with {code}")
    if process := alive.pop(pid, None):
        process.returncode = 0
