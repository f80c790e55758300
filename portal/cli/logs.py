"""`logs`: what a job's engine printed, whole, its end, or as it comes."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path
from typing import BinaryIO

from portal.cli.parsing import find, parser
from portal.cli.text import printable
from portal.cli.watch import nobody_works
from portal.jobs import Job
from portal.settings import Settings
from portal.spool import Spool
from portal.spool.reasons import NO_WORKER

_BLOCK = 1 << 16
_LOOK_EVERY_S = 0.3
_TAIL_WHEN_FOLLOWING = 20


def logs(arguments: list[str], settings: Settings) -> int:
    """Print the log of a job."""
    made = parser("logs", "Print what a job's engine printed, every attempt.", "ID [-f] [--tail N]")
    made.add_argument("id", metavar="ID")
    made.add_argument("-f", "--follow", action="store_true", help="go on until the job has ended")
    made.add_argument("--tail", type=int, metavar="N", help=f"only the last N lines (default: all; with -f {_TAIL_WHEN_FOLLOWING})")
    given = made.parse_args(arguments)
    spool = Spool(settings)
    job = find(spool, given.id)
    tail = given.tail if given.tail is not None else _TAIL_WHEN_FOLLOWING if given.follow else None
    path = spool.log_path(job.id)
    if tail is None:
        for part in _older(path):
            _print_from(part, 0)
    position = _print_from(path, 0 if tail is None else tail_start(path, max(tail, 0)))
    if given.follow:
        _follow(spool, job.id, path, position)
    elif position == 0:
        print(f"Nothing is in the log of job {job.id} ({job.status}).", file=sys.stderr)
    return 0


def _older(path: Path) -> list[Path]:
    """The earlier parts of a log that was rotated, the oldest first."""
    parts = (part for part in path.parent.glob(f"{path.name}.*") if part.suffix[1:].isdecimal())
    return sorted(parts, key=lambda part: int(part.suffix[1:]), reverse=True)


def _follow(spool: Spool, job_id: str, path: Path, position: int) -> None:
    if not _ended(spool.find(job_id)) and nobody_works(spool):
        print(NO_WORKER, file=sys.stderr, flush=True)
    while True:
        job = spool.find(job_id)
        position = _print_from(path, position)
        if _ended(job):
            return
        time.sleep(_LOOK_EVERY_S)


def _ended(job: Job | None) -> bool:
    return job is None or job.status.finished


def _print_from(path: Path, start: int) -> int:
    """Print from a position to the end and return where that is; a log that became shorter was rotated and is read from its start."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(start if start <= size else 0)
            if sys.stdout.isatty():
                _show(file)
            else:
                shutil.copyfileobj(file, sys.stdout.buffer)
                sys.stdout.buffer.flush()
            return file.tell()
    except FileNotFoundError:
        return start


def _show(file: BinaryIO) -> None:
    """Print to a terminal, which nothing in a log may drive: names come from strangers' stores."""
    while lines := file.readlines(_BLOCK):
        for line in lines:
            text = line.decode("utf-8", "replace")
            print(printable(text.removesuffix("\n").expandtabs()), end="\n" if text.endswith("\n") else "", flush=True)


def tail_start(path: Path, lines: int) -> int:
    """Return the position of the last `lines` lines, reading backwards, so that a huge log costs no more than a small one."""
    try:
        with path.open("rb") as file:
            return _tail_start(file, lines)
    except FileNotFoundError:
        return 0


def _tail_start(file: BinaryIO, lines: int) -> int:
    end = position = file.seek(0, os.SEEK_END)
    wanted = lines + 1
    while position and lines > 0:
        start = max(0, position - _BLOCK)
        file.seek(start)
        block = file.read(position - start)
        if position == end and block and not block.endswith(b"\n"):
            wanted -= 1
        found = block.count(b"\n")
        if found >= wanted:
            return start + _nth_newline_from_end(block, wanted) + 1
        wanted -= found
        position = start
    return position


def _nth_newline_from_end(block: bytes, count: int) -> int:
    place = len(block)
    for _ in range(count):
        place = block.rfind(b"\n", 0, place)
    return place
