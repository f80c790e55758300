"""SQS queues: while messages wait in one, a job runs that takes them; one job at a time.

An event is that messages waited when no job of the trigger was waiting or running. The watch receives nothing, so no message is ever in its hands.
While jobs fail, or end well and take nothing, the pause before the next doubles: a mistake must not make a job every few seconds for ever.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from portal import clock
from portal.connections import Connections
from portal.errors import BadJobFile
from portal.notices.sqs import NoticeQueue
from portal.triggers import history
from portal.triggers.events import Event
from portal.triggers.failing import LONGEST_S, failing
from portal.triggers.trigger import Sqs
from portal.triggers.watching import Watch

_MOST_DOUBLINGS = 20
_NEVER = "1970-01-01T00:00:00Z"
_OPEN_FOR_S = 300.0
"""A connection that was edited is used after this time at the latest."""


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
            self.home.change(told={})
        if self.trigger.paused or self.open_jobs():
            return on.poll_s
        waiting = self._waiting(on)
        told: dict[str, Any] = {"waiting": waiting}
        if waiting:
            found = failing(self.ctx.spool, self.trigger, history.events(self.home.layout, self.home.path.name), on.poll_s)
            if now_ms < found.again_ms:
                told |= {"failed_jobs": found.events, "next_at": clock.iso(found.again_ms)}
            else:
                told |= self._taken(on, waiting, now_ms)
        if told != self.home.state.told:
            self.home.change(told=told)
        return on.poll_s

    def _taken(self, on: Sqs, waiting: int, now_ms: int) -> dict[str, Any]:
        """Have a job take the messages, unless those before took none and the next has to wait; returns what is to be told of it."""
        before = self.home.state.told
        if clock.parse_ms(before.get("_since", _NEVER)) < self._changed_ms():
            before = {}
        idle, next_ms = before.get("idle_jobs", 0), clock.parse_ms(before.get("next_at", _NEVER))
        if job_id := before.get("_job"):
            idle = idle + 1 if waiting >= before["_waiting"] and not self._took_some(job_id) else 0
            next_ms = now_ms + int(min(LONGEST_S, on.poll_s * 2 ** min(idle, _MOST_DOUBLINGS)) * 1000) if idle else 0
        if now_ms < next_ms:
            return {"idle_jobs": idle, "next_at": clock.iso(next_ms), "_since": before["_since"]}
        happened = self.fire(Event(clock.iso(now_ms), now_ms, self._facts(on, waiting)))
        known = {"idle_jobs": idle} if idle else {}
        return {**known, "_job": happened.job, "_waiting": waiting, "_since": clock.iso(now_ms)} if happened.job else {}

    def _changed_ms(self) -> int:
        """When somebody changed or resumed the trigger: perhaps it works now."""
        return max(clock.parse_ms(self.trigger.at), clock.parse_ms(self.trigger.since))

    def _took_some(self, job_id: str) -> bool:
        """Whether a job says that it took messages: as many may have come meanwhile."""
        try:
            job = self.ctx.spool.find(job_id)
        except BadJobFile:
            return False
        counts = (job.result or {}).get("counts") if job else None
        return isinstance(counts, Mapping) and bool(counts.get("messages"))

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

    def close(self) -> None:
        if self._queue:
            self._queue.close()
            self._queue = None
