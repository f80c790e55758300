"""The messages that are in hand: received, and not yet deleted or given back. A thread keeps them there for as long as they are worked on."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from portal.errors import PortalError
from portal.notices.sqs import NoticeQueue, Received

log = logging.getLogger("portal.transfer")

_LOOK_S = 10.0


class Hand:
    """May be used by several threads."""

    def __init__(self, queue: NoticeQueue, visible_s: int) -> None:
        self._queue, self._visible_s = queue, visible_s
        self._lock = threading.Lock()
        self._messages: dict[str, Received] = {}
        self._done = threading.Event()
        self.waiting = 0
        """Messages in the queue, about."""
        self._thread = threading.Thread(target=self._keep, name="keeps messages in hand", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def __len__(self) -> int:
        return len(self._messages)

    def add(self, message: Received) -> None:
        with self._lock:
            self._messages[message.receipt] = message

    def drop(self, message: Received) -> None:
        with self._lock:
            self._messages.pop(message.receipt, None)

    def messages(self) -> list[Received]:
        with self._lock:
            return list(self._messages.values())

    def give_back(self) -> None:
        """Let everybody have what is still in hand, at once. Never raises: it would come again by itself, later."""
        left = self.messages()
        try:
            self._queue.extend([message.receipt for message in left], 0)
        except PortalError as error:
            log.warning("messages that could not be given back, and come again in at most %s s: %s; %s", self._visible_s, len(left), error.message)
        for message in left:
            self.drop(message)

    def stop(self) -> None:
        self._done.set()

    def _keep(self) -> None:
        """Extend what is in hand three times as often as needed, and look how many wait."""
        looks = _Every(_LOOK_S, self._count)
        extends = _Every(self._visible_s / 3, self._extend)
        while not self._done.wait(min(1.0, self._visible_s / 6)):
            try:
                extends.turn()
                looks.turn()
            except Exception:
                log.exception("keeping messages in hand failed in a way that is not known")

    def _extend(self) -> None:
        held = self.messages()
        try:
            lost = self._queue.extend([message.receipt for message in held], self._visible_s)
        except PortalError as error:
            log.warning("messages that could not be kept in hand: %s; %s", len(held), error.message)
            return
        for n, why in lost:
            if held[n].receipt in self._messages:
                log.warning("the message %s could not be kept in hand, and may come again meanwhile: %s", held[n].id, why)

    def _count(self) -> None:
        try:
            self.waiting = self._queue.waiting()
        except PortalError as error:
            log.debug("nobody knows how many messages wait: %s", error.message)


class _Every:
    """Does something every so many seconds, when it has its turn."""

    def __init__(self, seconds: float, work: Callable[[], None]) -> None:
        self._seconds, self._work, self._last = seconds, work, time.monotonic()

    def turn(self) -> None:
        if time.monotonic() - self._last >= self._seconds:
            self._last = time.monotonic()
            self._work()
