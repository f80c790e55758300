"""Starting a claimed job: what its runner has to know, and handing it the job's locks.

A runner waits already, with an engine process that has its imports done (`portal.warm.spares`), or is started for the job.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from portal import processes, vault
from portal.connections import Connections
from portal.descriptors import document
from portal.endings import Endings
from portal.errors import PortalError
from portal.jobs import ENGINE_PATTERN, Job
from portal.settings import CODE_ROOT, Settings
from portal.spool.claiming import Claim
from portal.spool.layout import Layout
from portal.warm.spares import Spares

_MIB = 1 << 20


class Starter:
    """Starts runners for one worker.

    Args:
        engines: the package that the engines are modules of.
        slots: jobs that the worker runs at a time.
    """

    def __init__(self, settings: Settings, layout: Layout, engines: str, slots: int | None = None) -> None:
        self.settings, self.layout, self.engines = settings, layout, engines
        self._runners: list[subprocess.Popen[bytes]] = []
        self._endings = Endings()
        wanted = (slots or settings.slots) if settings.warm is None else settings.warm
        self.spares = Spares(settings.home, wanted, CODE_ROOT / "portal", self._folder)

    @property
    def _folder(self) -> Path:
        return CODE_ROOT.joinpath(*self.engines.split("."))

    def problem(self, job: Job) -> str | None:
        """Return why a job can never start here, or None. Only names are checked; the engine checks its parameters."""
        if ENGINE_PATTERN.fullmatch(job.engine) and (self._folder / f"{job.engine}.py").is_file():
            return None
        known = ", ".join(sorted(path.stem for path in self._folder.glob("[a-z]*.py")))
        return f"There is no engine {job.engine!r}.\n  what to do: Submit the job again with one of these: {known}."

    def start(self, job: Job, claim: Claim) -> None:
        """Give a job, whose open attempt is recorded, and its locks to a runner. Raises PortalError when its sealed part cannot be opened."""
        locks = [claim.lock.descriptor, *(place.descriptor for place in claim.places)]
        handed = document({**self._order(job), "lock_fd": locks[0], "limit_fds": locks[1:]})
        try:
            with self.layout.log(job.id).open("ab") as output:
                pidfd = self.spares.hand_over([handed, output.fileno(), *locks])
                if pidfd is None:
                    self._start_cold(job.id, handed, output.fileno(), locks)
                else:
                    self._endings.take(pidfd)
        finally:
            os.close(handed)

    def tick(self) -> None:
        """Collect the runners that have ended and keep spares ready; called once a turn."""
        self._runners = [runner for runner in self._runners if runner.poll() is None]
        self._endings.collect()
        self.spares.tick()

    def endings(self) -> list[int]:
        """Return descriptors of which one becomes readable when a runner has ended, or spares can be made."""
        return self._endings.descriptors() + self.spares.descriptors()

    def watch(self, runner: dict[str, Any]) -> None:
        """Add a runner of another worker, by its identity in the lock file, to those whose end is told."""
        self._endings.watch(runner)

    def leave(self) -> None:
        """Let the runners go on without this process; spares without a job end."""
        self.spares.leave()
        self._endings.close()
        for runner in self._runners:
            if runner.poll() is None:
                runner.returncode = 0  # it is nobody's child to wait for now

    def _order(self, job: Job) -> dict[str, Any]:
        """What the runner has to know; its secrets exist in memory only. Raises PortalError when the sealed part cannot be opened."""
        typed = vault.unseal(self.settings, job.sealed).get("connections", {}) if job.sealed else {}
        redact = _lines(_secrets(self.settings, typed))
        attempt = job.attempts[-1].number
        plain = {name: value for name, value in job.without_sealed().asdict().items() if name != "sealed"}
        return {
            "job": job.id, "attempt": attempt, "module": f"{self.engines}.{job.engine}", "cwd": str(CODE_ROOT),
            "env": {processes.HOME: str(self.settings.home)}, "folder": str(self.layout.folder(job.id)), "log": str(self.layout.log(job.id)),
            "log_max_bytes": self.settings.log_max_mb * _MIB, "cancel": str(self.layout.marker(job.id)), "timeout_s": job.timeout_s,
            "kill_after_s": self.settings.kill_after_s, "reserve": str(self.layout.reserve), "redact": redact,
            "engine_order": {"job": plain, "attempt": attempt, "folder": str(self.layout.folder(job.id)), "connections": typed, "redact": redact},
        }  # fmt: skip

    def _start_cold(self, job_id: str, handed: int, output: int, locks: list[int]) -> None:
        # -S: it needs nothing but the standard library, and starts sooner without the packages.
        runner = subprocess.Popen(
            [sys.executable, "-S", "-m", "portal.runner", str(handed), job_id], cwd=CODE_ROOT, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=output, start_new_session=True, pass_fds=(handed, *locks),
        )  # fmt: skip
        self._runners.append(runner)
        self._endings.watch(processes.identity(runner.pid))


def _secrets(settings: Settings, typed: Mapping[str, Mapping[str, Any]]) -> list[str]:
    try:
        return Connections.load(settings, typed).secrets()
    except PortalError:
        # The engine will say what is wrong with the connections; what was typed in is kept out of its log all the same.
        return [value for item in typed.values() for value in item.values() if isinstance(value, str)]


def _lines(secrets: list[str]) -> list[str]:
    """The secrets and, because logs are redacted by line, each line of those that have several."""
    return sorted({part for secret in secrets for part in (secret, *(secret.splitlines() if "\n" in secret else ()))} - {""})

