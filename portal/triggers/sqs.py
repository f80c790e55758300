"""SQS queues: while messages wait in one, a job runs that takes them; one job at a time.

An event is that messages waited when no job of the trigger was waiting or running. The watch receives nothing, so no message is ever in its hands.
"""

from __future__ import annotations

import time
from typing import Any

from portal import clock
from portal.connections import Connections
from portal.errors import BadJobFile
from portal.jobs import Status
from portal.notices.sqs import NoticeQueue
from portal.triggers import history
from portal.triggers.events import Event
from portal.triggers.history import Happened
from portal.triggers.trigger import Sqs
from portal.triggers.watching import Watch

LONGEST_S = 3600.0
"""Between two jobs of a queue whose jobs fail one after the other: a mistake in the trigger must not fill the archive."""

_OPEN_FOR_S = 300.0
"""A connection that was edited is used after this time at the latest."""
_FAILED = (Status.FAILED, Status.REJECTED)


class SqsWatch(Watch):
    """One queue."""

    _queue: NoticeQueue | None = None
    _opened = 0.0

    def look(self, now_ms: int) -> float:
        on: Sqs = self.trigger.waits_for()
        if asked := self.home.asked():
            event = Event(f"run-now-{asked.key}", clock.parse_ms(asked.at), self._facts(on, self._waiting(on)))
            self.fire(event, reason=f"{asked.by} asked for it")
            self.home.answered(asked)
        if self.trigger.paused or self.open_jobs():
            return on.poll_s
        waiting = self._waiting(on)
        told: dict[str, Any] = {"waiting": waiting}
        if waiting:
            failed, again_ms = self._failures(on.poll_s)
            if now_ms < again_ms:
                told |= {"failed_jobs": failed, "next_at": clock.iso(again_ms)}
            else:
                self.fire(Event(clock.iso(now_ms), now_ms, self._facts(on, waiting)))
        if told != self.home.state.told:
            self.home.change(told=told)
        return on.poll_s

    def _facts(self, on: Sqs, waiting: int) -> dict[str, Any]:
        return {"queue": on.queue, "waiting": waiting}

    def _waiting(self, on: Sqs) -> int:
        try:
            return self._opened_queue(on).waiting()
        except Exception:
            self.close()  # a queue that was made anew, other credentials: the next look finds them
            raise

    def _opened_queue(self, on: Sqs) -> NoticeQueue:
        if self._queue and time.monotonic() - self._opened > _OPEN_FOR_S:
            self.close()
        if self._queue is None:
            connection = Connections.load(self.ctx.settings).get("s3", on.connection)
            self._queue, self._opened = NoticeQueue.open(connection, on.queue), time.monotonic()
        return self._queue

    def _failures(self, poll_s: float) -> tuple[int, int]:
        """Return how many events ended badly one after the other, and when the next job may begin (ms since 1970)."""
        failed, last_ms = 0, 0
        for happened in history.events(self.home.layout, self.home.path.name):
            ended_ms = self._ended_badly_ms(happened)
            if not ended_ms or poll_s * 2**failed > LONGEST_S:
                break
            failed, last_ms = failed + 1, last_ms or ended_ms
        return failed, last_ms + int(min(LONGEST_S, poll_s * 2**failed) * 1000) if failed else 0

    def _ended_badly_ms(self, happened: Happened) -> int:
        """Return when the job of an event failed, or none could be made; 0 for all others."""
        if happened.outcome == "refused":
            return clock.parse_ms(happened.at)
        try:
            job = self.ctx.spool.find(happened.job) if happened.job else None
        except BadJobFile:
            return 0
        return clock.parse_ms(job.finished_at or job.submitted_at) if job and job.status in _FAILED else 0

    def close(self) -> None:
        if self._queue:
            self._queue.close()
            self._queue = None
