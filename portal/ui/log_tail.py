"""The end of a log, however long the log is: only the last block is read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portal.ui import wording

LINES = 400
_BLOCK_BYTES = 256 * 1024
_LONGEST = 2_000
_LINE = re.compile(r"\d{4}-\d\d-\d\dT(\d\d:\d\d:\d\d\.\d{3})Z (DEBUG|INFO|WARN|ERROR|CRITICAL) +(.*)", re.S)
LEVELS = {"All": ("DEBUG", "INFO", "WARN", "ERROR", ""), "Warnings": ("WARN", "ERROR"), "Errors": ("ERROR",)}


@dataclass(frozen=True)
class Tail:
    """The last lines (see `portal.ui.components.log_view`) and the size of the whole file."""

    lines: tuple[dict[str, Any], ...]
    size_bytes: int
    whole: bool
    """True when the lines are all there is."""

    @property
    def about(self) -> str:
        if not self.size_bytes:
            return ""
        return f"{'all' if self.whole else 'last'} {len(self.lines):,} lines · {wording.size(self.size_bytes)}"


def read(path: Path, level: str = "All", lines: int = LINES) -> Tail:
    """Return the end of a log, filtered by a level of `LEVELS`; an empty tail when there is no log yet."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            start = max(0, size - _BLOCK_BYTES)
            file.seek(start)
            block = file.read(_BLOCK_BYTES)
    except FileNotFoundError:
        return Tail((), 0, True)
    if start:
        cut = block.find(b"\n") + 1
        block, start = block[cut:], start + cut
    found = [entry for entry in _entries(block, start) if entry["level"] in LEVELS[level]]
    return Tail(tuple(found[-lines:]), size, not start and len(found) <= lines)


def _entries(block: bytes, start: int) -> list[dict[str, Any]]:
    entries, at = [], start
    for raw in block.split(b"\n"):
        if raw:
            entries.append(_entry(raw.decode("utf-8", "replace"), at))
        at += len(raw) + 1
    return entries


def _entry(text: str, at: int) -> dict[str, Any]:
    found = _LINE.fullmatch(text)
    time, level, told = found.groups() if found else ("", "", text)
    level = "ERROR" if level == "CRITICAL" else level
    return {"at": at, "time": time, "level": level, "text": told[:_LONGEST] + ("…" if len(told) > _LONGEST else "")}
