"""The field of a war: where the witnesses, the acknowledgements and the clock of one home folder lie."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CLOCK = "WAR_CLOCK"
"""Variable that names the file with the offset of the clock; see `tests.war.skew`."""
DAY_MS = 86_400_000


@dataclass(frozen=True)
class Start:
    """A line that an engine wrote when it had begun."""

    attempt: int
    pid: int
    started: str
    """As the kernel counts it: with the pid it names the process for ever."""


@dataclass(frozen=True)
class Field:
    """The folders of a war: `home` is the portal's, everything else lies beside it."""

    home: Path

    @property
    def witnesses(self) -> Path:
        return self.home.parent / "field"

    @property
    def acks(self) -> Path:
        return self.home.parent / "acks"

    @property
    def clock(self) -> Path:
        return self.home.parent / "clock"

    def make(self) -> None:
        for folder in (self.home, self.witnesses, self.acks):
            folder.mkdir(parents=True, exist_ok=True)
        self.set_clock(0)

    def set_clock(self, offset_ms: int) -> None:
        fresh = self.clock.with_suffix(".fresh")
        fresh.write_text(str(offset_ms))
        fresh.replace(self.clock)

    def acknowledge(self, name: str, key: str, job_id: str) -> None:
        """Write down durably that the queue took a job: from here on it must not be lost."""
        descriptor = os.open(self.acks / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
        os.write(descriptor, f"{key} {job_id}\n".encode())
        os.fsync(descriptor)
        os.close(descriptor)

    def acknowledged(self, name: str | None = None) -> list[tuple[str, str]]:
        """Return (key, id) of every acknowledgement, one launcher's or everybody's; a line that was cut off is none."""
        paths = [self.acks / name] if name else sorted(self.acks.iterdir())
        whole = [line.split() for path in paths if path.exists() for line in path.read_text().split("\n")[:-1]]
        return [(key, job_id) for key, job_id in whole]

    def starts(self, job_id: str) -> list[Start]:
        """Return what the engines of a job wrote when they began."""
        found = (line.split() for line in self._lines(f"{job_id}.lines"))
        return [Start(int(words[1]), int(words[2]), words[3]) for words in found if words[0] == "start"]

    def violations(self) -> list[str]:
        return list(self._lines("violations"))

    def held(self) -> list[str]:
        """Return the names of the witnesses and limit places that somebody still holds."""
        return [path.name for pattern in ("*.witness", "limit-*") for path in sorted(self.witnesses.glob(pattern)) if is_locked(path)]

    def _lines(self, name: str) -> Iterator[str]:
        path = self.witnesses / name
        return iter(path.read_text().splitlines() if path.exists() else ())


def is_locked(path: Path) -> bool:
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
