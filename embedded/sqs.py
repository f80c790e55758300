"""Makes moto's SQS bear thousands of messages: for each message that it hands out or takes it looks at all of them, and at the clock the long way.

With 2,000 messages waiting, ten of them took a second. What it answers stays the same.
"""

from __future__ import annotations

import time
from datetime import datetime

from moto.core.utils import unix_time_millis
from moto.sqs import models
from moto.sqs.models import Message, Queue, SQSBackend


def _now_ms(moment: datetime | None = None) -> float:
    return unix_time_millis(moment) if moment else time.time() * 1000


def _is_kept(self: SQSBackend, queue_name: str, message: Message) -> bool:
    """Whether a message is younger than its queue keeps messages; asks for that one attribute, which needs no counting."""
    kept_s = self.get_queue(queue_name).message_retention_period
    return kept_s + (message.sent_timestamp or 0) / 1000 > time.time()


def _visible(self: Queue) -> list[Message]:
    now = time.time() * 1000
    return [message for message in self._messages if now > message.visible_at and now >= message.delayed_until]


def hurry() -> None:
    """Put these in the place of moto's."""
    models.unix_time_millis = _now_ms
    SQSBackend.is_message_valid_based_on_retention_period = _is_kept
    Queue.messages = property(_visible)
