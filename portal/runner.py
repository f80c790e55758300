"""One small process per attempt, between worker and engine: it owns the engine's life, output and end.

It alone holds the job's lock, from the claim to the end, and outlives its worker. It is the subreaper of all that the engine
starts, gives the engine its parameters and secrets over a descriptor, writes its redacted output to the job's log, enforces timeout
and cancel, ends whatever is left, writes `exit-<n>.json` and only then frees the lock.

Started as `python -m portal.runner FD JOB` with its order, a JSON document, on the descriptor, or forked before there was a job
(`portal.warm.zygote`) and given the same order. Standard library only.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from portal import clock, lineage, processes
from portal.durable import free_reserve, is_full, write_durably
from portal.engine_process import Order, Start, start_cold
from portal.outputlog import OutputLog
from portal.redact import Redactor

_POLL_S = 0.25
_LEAVE_S = 1.0
"""What the engine started gets this long to follow it before it is told to end."""
_KILLING_S = 0.1
_CHUNK = 1 << 16
_READS_PER_TURN = 64
_WRITE_TRIES = 120


class Runner:
    """Runs one attempt. `order` is what `portal.starting` made; `start` says where the engine process comes from."""

    def __init__(self, order: Order, start: Start = start_cold) -> None:
        self.order, self._start_engine = order, start
        self.job_id, self.attempt = str(order["job"]), int(order["attempt"])
        self.redact = Redactor(order["redact"])
        self.log = OutputLog(Path(order["log"]), int(order["log_max_bytes"]), self.redact)
        self.marker = Path(order["cancel"])
        self.identity = processes.identity()
        self.ended_by: str | None = None
        self.exit_code: int | None = None
        self.peak_memory_bytes, self.cpu_s = 0, 0.0
        self.left_over = 0
        self._kill_at: float | None = None
        self._alone_since: float | None = None
        self._interrupted = False
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)

    def run(self) -> None:
        """Run the attempt to its end."""
        started = clock.now_ms()
        self._catch_signals()
        processes.become_subreaper()
        lineage.adopt(self.job_id, self.order["env"].get(processes.HOME, ""))
        self._write_identity()
        self.log.say(f"attempt {self.attempt} starts")
        self._start()
        deadline = processes.boottime() + self.order["timeout_s"] if self.order["timeout_s"] else None
        while not self._over():
            self._wait()
            self._look(deadline)
        self._drain()
        self.log.flush()
        self.log.say(f"attempt {self.attempt} ended: {self._described()}")
        self.log.close()
        self._redact_result()
        self._write_exit(started)

    def _catch_signals(self) -> None:
        for ignored in (signal.SIGINT, signal.SIGHUP):
            signal.signal(ignored, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "_interrupted", True))
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)

    def _write_identity(self) -> None:
        """Tell who holds the lock, before the engine starts."""
        text = json.dumps({**self.identity, "job": self.job_id, "attempt": self.attempt}).encode()
        os.ftruncate(self.order["lock_fd"], 0)
        os.pwrite(self.order["lock_fd"], text, 0)

    def _start(self) -> None:
        engine = self._start_engine(self.order)
        self._engine, self._output, self._open = engine.pid, engine.output, True
        os.set_blocking(self._output, False)

    def _over(self) -> bool:
        """Reap what has ended; True when no descendant is left."""
        while True:
            try:
                pid, status, used = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return True
            if pid == 0:
                return False
            self.cpu_s += used.ru_utime + used.ru_stime
            self.peak_memory_bytes = max(self.peak_memory_bytes, used.ru_maxrss * (1 if sys.platform == "darwin" else 1024))
            if pid == self._engine:
                self.exit_code = os.waitstatus_to_exitcode(status)

    def _wait(self) -> None:
        watched = [self._wake_read, self._output] if self._open else [self._wake_read]
        readable, _, _ = select.select(watched, (), (), _POLL_S)
        if self._wake_read in readable:
            os.read(self._wake_read, _CHUNK)
        if self._output in readable:
            self._pump(_READS_PER_TURN)

    def _pump(self, reads: int) -> bool:
        """Move output to the log; False when there is none at the moment."""
        for _ in range(reads):
            try:
                data = os.read(self._output, _CHUNK)
            except BlockingIOError:
                return False
            if not data:
                self._open = False
                return False
            self.log.write(data)
        return True

    def _drain(self) -> None:
        while self._open and self._pump(_READS_PER_TURN):
            pass

    def _look(self, deadline: float | None) -> None:
        """See whether the attempt has to end, and push it."""
        now = processes.boottime()
        if self._kill_at is None:
            reason = self._reason_to_end(now, deadline)
            if reason or self._left_behind(now):
                self._begin_end(reason, now)
        elif now >= self._kill_at:
            self._kill()

    def _kill(self) -> None:
        """Kill what is left, then for a moment without a pause what has come up since: who is being killed may be starting others."""
        left = self._descendants()
        until = time.monotonic() + _KILLING_S
        while True:
            processes.send(left, signal.SIGKILL)
            if self._over() or time.monotonic() > until:
                return
            left = processes.children()  # orphans come here at once, so each round ends a generation

    def _reason_to_end(self, now: float, deadline: float | None) -> str | None:
        if self.exit_code is not None:
            return None
        if self._interrupted:
            return "interrupt"
        if self.marker.exists():
            return "cancel"
        return "timeout" if deadline is not None and now >= deadline else None

    def _left_behind(self, now: float) -> bool:
        """Tell whether the engine has ended long enough ago for its descendants to have followed."""
        if self.exit_code is not None and self._alone_since is None:
            self._alone_since = now
        return self._alone_since is not None and now - self._alone_since >= _LEAVE_S

    def _begin_end(self, reason: str | None, now: float) -> None:
        self.ended_by = reason
        self._kill_at = now + self.order["kill_after_s"]
        left = self._descendants()
        if reason is None:
            self.left_over = len(left)
            self.log.say(f"the engine left {len(left)} processes behind; they are ended too")
        else:
            self.log.say(f"ending the job: {reason}")
        processes.send(left, signal.SIGTERM)

    def _descendants(self) -> set[int]:
        return processes.descendants(os.getpid())

    def _described(self) -> str:
        how = f"exit code {self.exit_code}" if (self.exit_code or 0) >= 0 else f"signal {-(self.exit_code or 0)}"
        return f"{how} ({self.ended_by})" if self.ended_by else how

    def _redact_result(self) -> None:
        """Whatever the engine wrote into its result, no known secret rests there."""
        path = Path(self.order["folder"]) / f"result-{self.attempt}.json"
        try:
            data = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError):
            return
        clean = _redacted(data, self.redact)
        if clean != data:
            self._write(path, clean)

    def _write_exit(self, started: int) -> None:
        known = self.identity
        self._write(Path(self.order["folder"]) / f"exit-{self.attempt}.json", {
            "job": self.job_id, "attempt": self.attempt, "exit_code": self.exit_code, "ended_by": self.ended_by,
            "timeout_s": self.order["timeout_s"], "started_at": clock.iso(started), "finished_at": clock.iso(clock.now_ms()),
            "pid": known["pid"], "process_started": f"{known['start']} {known['boot']}", "peak_memory_bytes": self.peak_memory_bytes,
            "cpu_s": round(self.cpu_s, 3), "left_over": self.left_over, "output_lost_bytes": self.log.lost_bytes,
        })  # fmt: skip

    def _write(self, path: Path, data: dict[str, Any]) -> None:
        """Write durably; on a full disk use the reserve, then wait for room: without this file the attempt would not count."""
        text = json.dumps(data, indent=1).encode()
        for _ in range(_WRITE_TRIES):
            try:
                return write_durably(path, text)
            except OSError as error:
                if not is_full(error):
                    raise
                if not free_reserve(Path(self.order["reserve"])):
                    time.sleep(0.5)


def _redacted(value: Any, redact: Redactor) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {name: _redacted(item, redact) for name, item in value.items()}
    return [_redacted(item, redact) for item in value] if isinstance(value, list) else value


def run(order: Order, start: Start = start_cold) -> int:
    """Run an attempt in this process, which holds the locks that the order names; returns the exit code."""
    for descriptor in (order["lock_fd"], *order["limit_fds"]):
        os.set_inheritable(descriptor, False)
    try:
        Runner(order, start).run()
    except Exception:
        traceback.print_exc()  # goes to the job's log; the attempt counts as interrupted
        processes.send(processes.descendants(os.getpid()), signal.SIGKILL)
        return 1
    return 0


def main() -> None:
    with os.fdopen(int(sys.argv[1]), "rb") as file:
        order = json.load(file)
    sys.exit(run(order))


if __name__ == "__main__":
    main()
