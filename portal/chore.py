"""Work on the archive that a worker has done now and then, as a process of its own, so that reading days of records delays no job.

Two workers may both start one; the second finds nothing to do.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from typing import IO

from portal.settings import CODE_ROOT, Settings

log = logging.getLogger("portal.worker")


class Chore:
    """Starts `python -m portal COMMAND` when it is due, at most once in `every_ms`.

    Args:
        due: tells cheaply, at a moment in milliseconds, whether there may be something to do.
        done: what is said when it went well.
        failed: what is said, with the reason, when it did not.
    """

    def __init__(self, settings: Settings, command: Sequence[str], every_ms: int, due: Callable[[int], bool], done: str, failed: str) -> None:
        self._settings, self._command, self._every_ms, self._due, self._done, self._failed = settings, command, every_ms, due, done, failed
        self._process: subprocess.Popen[bytes] | None = None
        self._said: IO[str] | None = None
        self._started_ms = 0

    @property
    def idle(self) -> bool:
        return self._process is None

    def tick(self, now_ms: int) -> bool:
        """Tell what a process that has ended came to, and start one when it is time; True when one was started."""
        if self._process is not None:
            if self._process.poll() is None:
                return False
            self._report(self._process.returncode)
        if 0 <= now_ms - self._started_ms < self._every_ms or not self._due(now_ms):
            return False
        self._started_ms = now_ms
        # A file and no pipe: the process may go on when nobody is left to read what it says.
        self._said = tempfile.TemporaryFile("w+", encoding="utf-8")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "portal", *self._command], cwd=CODE_ROOT, env={**os.environ, "PORTAL_HOME": str(self._settings.home)},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._said, start_new_session=True,
        )  # fmt: skip
        return True

    def _report(self, exit_code: int) -> None:
        if exit_code and self._said:
            self._said.seek(0)
            log.error("%s: %s", self._failed, self._said.read().strip())
        else:
            log.info("%s", self._done)
        self._forget()

    def _forget(self) -> None:
        self._process = None
        if self._said:
            self._said.close()

    def leave(self) -> None:
        """Let a process that runs end by itself: it is safe to be left alone, and to be cut off."""
        if self._process is not None and self._process.poll() is None:
            self._process.returncode = 0  # it is nobody's child to wait for now
        self._forget()
