"""Has the archive's closed days sealed: a process of its own, so that reading a day of records delays no job.

Two workers may both start one; the second finds nothing to do.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from typing import IO

from portal import seal
from portal.settings import CODE_ROOT, Settings

log = logging.getLogger("portal.worker")

_EVERY_MS = 3_600_000


class Sealer:
    """Starts `python -m portal audit seal` at most once an hour, when there is a day to seal."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._said: IO[str] | None = None
        self._started_ms = 0

    @property
    def idle(self) -> bool:
        return self._process is None

    def tick(self, now_ms: int) -> bool:
        """Tell what a sealing that has ended came to, and start one when it is time; True when one was started."""
        if self._process is not None:
            if self._process.poll() is None:
                return False
            self._report(self._process.returncode)
        if now_ms - self._started_ms < _EVERY_MS or not seal.due(self._settings, datetime.fromtimestamp(now_ms / 1000, UTC)):
            return False
        self._started_ms = now_ms
        # A file and no pipe: the process may go on when nobody is left to read what it says.
        self._said = tempfile.TemporaryFile("w+", encoding="utf-8")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "portal", "audit", "seal"], cwd=CODE_ROOT, env={**os.environ, "PORTAL_HOME": str(self._settings.home)},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._said, start_new_session=True,
        )  # fmt: skip
        return True

    def _report(self, exit_code: int) -> None:
        if exit_code and self._said:
            self._said.seek(0)
            log.error("the archive could not be sealed: %s", self._said.read().strip())
        else:
            log.info("the closed days of the archive are sealed")
        self._forget()

    def _forget(self) -> None:
        self._process = None
        if self._said:
            self._said.close()

    def leave(self) -> None:
        """Let a sealing that runs end by itself: it is safe to be left alone, and to be cut off."""
        if self._process is not None and self._process.poll() is None:
            self._process.returncode = 0  # it is nobody's child to wait for now
        self._forget()
