"""Which exchanges a fault befalls."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.proxy.faults import Fault
from tests.proxy.messages import Message

Fits = Callable[[Message], bool]


def asks(method: str = "", target: str = "", header: str = "", *, at_least: int = 0) -> Fits:
    """Requests of a method (any when ''), whose target fits a regular expression, which have a header, with at least so long a body."""
    pattern = re.compile(target)

    def fits(request: Message) -> bool:
        named = not header or bool(request.header(header))
        return (not method or request.method == method) and bool(pattern.search(request.target)) and named and len(request.body) >= at_least

    return fits


@dataclass
class Rule:
    """A fault for requests that fit: after the first `skip` of them, `times` times (-1: always), then every `every`-th one only."""

    fault: Fault
    fits: Fits = field(default_factory=asks)
    times: int = 1
    skip: int = 0
    every: int = 1
    hits: int = 0
    """How often it has struck."""
    _seen: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def strikes(self, request: Message) -> bool:
        if not self.fits(request):
            return False
        with self._lock:
            self._seen += 1
            due = self._seen > self.skip and (self._seen - self.skip - 1) % self.every == 0 and self.hits != self.times
            self.hits += due
        return due


def decide(rules: Sequence[Rule], request: Message) -> Fault | None:
    """The fault of the first rule that strikes."""
    return next((rule.fault for rule in rules if rule.strikes(request)), None)
