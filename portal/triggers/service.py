"""The service: one process for all triggers of a queue, `python -m portal.triggers.service`.

Workers start it and keep it running (`portal.triggers.starting`). It holds the lock of queue/triggers/; a second one ends at once. It ends, too,
when its standard input does, which its worker holds, and when there is nothing to look at any more. It may be killed at any moment.
"""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress

from portal import clock, durable, processes, settings
from portal.errors import PortalError, explain
from portal.inotify import Inotify
from portal.settings import Settings
from portal.spool import Spool
from portal.spool.locks import Lock
from portal.triggers import kinds
from portal.triggers.places import SERVICE_LOCK
from portal.triggers.rounds import Item, Rounds
from portal.triggers.serving import Serving
from portal.triggers.standing import STATUS
from portal.triggers.watching import Context, Looker

log = logging.getLogger("portal.triggers")

LOCKED_OUT = 3
"""Exit code when another service serves this queue."""

_LOCK_PATIENCE_S, _STOP_PATIENCE_S = 1.0, 3.0
_STATUS_EVERY_S, _IDLE_S = 5.0, 10.0


class Service:
    """The loop around everything that is looked at.

    Args:
        alive: a descriptor that ends when the service is not wanted any more; None: it serves until `stop`.
    """

    def __init__(self, config: Settings, alive: int | None = None) -> None:
        self.ctx = Context(config, Spool(config))
        self.layout = self.ctx.spool.layout
        self._alive = alive
        self._read, self._write = os.pipe()
        for descriptor in (self._read, self._write):
            os.set_blocking(descriptor, False)
        self.rounds = Rounds(kinds.THREADS, self.ring)
        self.serving = Serving(self.ctx, self.rounds)
        self._bell = self._listen()
        self._rung = True
        self._told_at = self._scan_at = 0.0
        self._needed_at = time.monotonic()

    def _listen(self) -> Inotify | None:
        with suppress(OSError):  # a bell is a hint: without it triggers are looked at every second
            return Inotify(self.layout.triggers)
        return None

    def ring(self) -> None:
        with suppress(BlockingIOError):
            os.write(self._write, b"!")

    def stop(self) -> None:
        self.ctx.stop.set()
        self.ring()

    def run(self) -> None:
        """Serve until `stop`, until `alive` ends, or until nothing has been needed for a while."""
        for name, make in kinds.ALWAYS.items():
            self.rounds.add(_always(name, make, self.ctx))
        while not self.ctx.stop.is_set():
            self._scan()
            due_s = self.rounds.turn()
            self._tell()
            if self._is_idle():
                log.info("no triggers are left to serve")
                return
            until_scan_s = self._scan_at - time.monotonic()
            self._wait(max(0.0, until_scan_s if due_s is None else min(until_scan_s, due_s)))

    def _scan(self) -> None:
        if self._rung or time.monotonic() >= self._scan_at:
            self._rung = False
            began = time.monotonic()
            try:
                self.serving.scan()
            except OSError as error:  # what is served already goes on
                log.error("queue/triggers/ cannot be looked at: %s", explain(error))
            # Where looking for changes takes long, because there are tens of thousands, it is done less often.
            self._scan_at = time.monotonic() + max(1.0, 20 * (time.monotonic() - began))

    def _is_idle(self) -> bool:
        now = time.monotonic()
        if self.serving.needed():
            self._needed_at = now
        return now - self._needed_at > _IDLE_S

    def _wait(self, seconds: float) -> None:
        poll = select.poll()
        bell = self._bell.descriptor if self._bell else -1
        for descriptor in (self._read, *([bell] if self._bell else ()), *([] if self._alive is None else [self._alive])):
            poll.register(descriptor, select.POLLIN)
        for descriptor in self.rounds.descriptors():
            poll.register(descriptor, select.POLLIN)
        for descriptor, _ in poll.poll(seconds * 1000 + 1):
            if descriptor == self._read:
                os.read(self._read, 4096)
            elif descriptor == self._alive:
                self._heard_of_worker()
            elif descriptor == bell and self._bell:
                self._bell.read()
                self._rung = True
            else:
                self.rounds.hear(descriptor)

    def _heard_of_worker(self) -> None:
        if self._alive is not None and not os.read(self._alive, 4096):
            log.info("the triggers' service ends with its worker")
            self.stop()

    def _tell(self) -> None:
        """Write down now and then that this goes on, and which looks take long."""
        now = time.monotonic()
        if now - self._told_at < _STATUS_EVERY_S:
            return
        self._told_at = now
        slow = {name: round(seconds) for name, seconds in self.rounds.busy().items() if seconds > 2 * _STATUS_EVERY_S}
        told = {**processes.identity(), "beat_at": clock.iso(clock.now_ms()), "triggers": len(self.serving), "slow": slow}
        path = self.layout.triggers / STATUS
        with suppress(OSError):  # on a full disk triggers go on as well as they can
            fresh = path.with_name(f"{STATUS}.fresh")
            fresh.write_text(json.dumps(told) + "\n", "utf-8")
            fresh.replace(path)

    def leave(self) -> None:
        """Let looks that go on end, for a short while."""
        self.ctx.stop.set()
        until = time.monotonic() + _STOP_PATIENCE_S
        while self.rounds.busy() and time.monotonic() < until:
            time.sleep(0.01)
            self.rounds.collect()
        (self.layout.triggers / STATUS).unlink(missing_ok=True)


def _always(name: str, make: Callable[[Context], Looker], ctx: Context) -> Item:
    looker = make(ctx)

    def look() -> float:
        try:
            return looker.look(clock.now_ms())
        except Exception as error:
            log.error("%s: %s", name, explain(error), exc_info=not isinstance(error, PortalError | OSError))
            raise

    return Item(name, "always", look, lambda: looker.descriptors, looker.close)


def _lock(service: Service) -> Lock | None:
    until = time.monotonic() + _LOCK_PATIENCE_S
    while (lock := Lock.take(service.layout.triggers / SERVICE_LOCK)) is None and time.monotonic() < until:
        time.sleep(0.05)  # somebody may only have been looking whether it is held
    return lock


def main() -> int:
    """Serve the triggers of PORTAL_HOME; `--quiet` says only what went wrong."""
    logging.basicConfig(level=logging.WARNING if "--quiet" in sys.argv[1:] else logging.INFO, format="%(asctime)s %(levelname)-5s %(message)s")
    try:
        service = Service(settings.load(), alive=sys.stdin.fileno() if sys.stdin else None)
    except (PortalError, OSError) as error:
        print(f"triggers: {explain(error)}", file=sys.stderr)
        return 1
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: service.stop())
    if _lock(service) is None:
        return LOCKED_OUT
    service.run()
    service.leave()
    return 0


if __name__ == "__main__":
    durable.keep_from_others()
    code = main()
    sys.stderr.flush()
    os._exit(code)  # and not sys.exit, which would wait for a look that hangs
