"""How a worker keeps the triggers' service running: it starts one when there is a trigger and nobody serves, and again when it has ended."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from contextlib import suppress

from portal.jobs import Job, When
from portal.settings import CODE_ROOT, Settings
from portal.spool.layout import Layout
from portal.spool.listing import known_names
from portal.spool.locks import is_held
from portal.triggers.places import REMOVED, SERVICE_LOCK, WANTED
from portal.triggers.trigger import NAME_PATTERN

log = logging.getLogger("portal.worker")

_LONGEST_PAUSE_S, _SOUND_AFTER_S, _LEAVE_S = 60.0, 60.0, 5.0
_QUIET_ENDS = (0, 3)
"""Exit codes of a service that had nothing to do, or found another one serving."""


def wanted(layout: Layout) -> bool:
    """Tell whether there is anything to serve; costs one stat(2) while nothing changes."""
    return any(NAME_PATTERN.fullmatch(name) or name == WANTED or name.startswith(REMOVED) for name in known_names(layout.triggers))


def want(layout: Layout) -> None:
    """Have the service run though there may be no trigger, until somebody removes the mark."""
    (layout.triggers / WANTED).touch()


def want_for(layout: Layout, job: Job) -> None:
    """The same for a job that is being started, if somebody wants to know when it is slower than usual. Its running record is there already."""
    if any(item.when is When.SLOWER for item in job.then):
        want(layout)


class TriggerService:
    """The service of one worker; another worker's is as good."""

    def __init__(self, settings: Settings, layout: Layout) -> None:
        self._settings, self._layout = settings, layout
        self._process: subprocess.Popen[bytes] | None = None
        self._started = self._not_before = 0.0
        self._failures = 0

    def tick(self) -> None:
        """Start a service if one is wanted and none runs; called once a turn."""
        if self._process is not None:
            if self._process.poll() is None:
                return
            self._has_ended(self._process)
        if time.monotonic() >= self._not_before and wanted(self._layout) and not is_held(self._layout.triggers / SERVICE_LOCK):
            self._start()

    def _start(self) -> None:
        self._started = time.monotonic()
        quiet = [] if log.isEnabledFor(logging.INFO) else ["--quiet"]
        # Its standard input ends with this process, however that ends: nobody has to tell it.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "portal.triggers.service", *quiet], cwd=CODE_ROOT, env={**os.environ, "PORTAL_HOME": str(self._settings.home)},
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip

    def _has_ended(self, process: subprocess.Popen[bytes]) -> None:
        self._close(process)
        self._process = None
        sound = time.monotonic() - self._started > _SOUND_AFTER_S
        if process.returncode in _QUIET_ENDS:
            self._failures, pause_s = 0, 1.0
        else:
            self._failures = 1 if sound else self._failures + 1
            pause_s = min(_LONGEST_PAUSE_S, 2.0 ** (self._failures - 1) / 2)
            log.error("the triggers' service ended with %s; it is started again in %g s", process.returncode, pause_s)
        self._not_before = time.monotonic() + pause_s

    def leave(self) -> None:
        """Let the service end, which it does by itself when this process does."""
        if self._process is None:
            return
        self._close(self._process)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_LEAVE_S)
        if self._process.returncode is None:
            self._process.returncode = 0  # it is nobody's child to wait for now
        self._process = None

    @staticmethod
    def _close(process: subprocess.Popen[bytes]) -> None:
        if process.stdin:
            with suppress(OSError):
                process.stdin.close()
