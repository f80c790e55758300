"""SQS queues: while messages wait in one, a job runs that takes them; one job at a time.

An event is that messages waited when no job of the trigger was waiting or running. The watch receives nothing, so no message is ever in its hands.
"""

from __future__ import annotations

import time
from typing import Any

from portal import clock
from portal.connections import Connections
from portal.notices.sqs import NoticeQueue
from portal.triggers import history
from portal.triggers.events import Event
from portal.triggers.failing import failing
from portal.triggers.trigger import Sqs
from portal.triggers.watching import Watch

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
        if self.trigger.paused or self.open_jobs():
            return on.poll_s
        waiting = self._waiting(on)
        told: dict[str, Any] = {"waiting": waiting}
        if waiting:
            found = failing(self.ctx.spool, self.trigger, history.events(self.home.layout, self.home.path.name), on.poll_s)
            if now_ms < found.again_ms:
                told |= {"failed_jobs": found.events, "next_at": clock.iso(found.again_ms)}
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

    def close(self) -> None:
        if self._queue:
            self._queue.close()
            self._queue = None
