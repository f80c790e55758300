"""A process that moves objects: `python -m portal.movers.process --fd N`, where N is a socket to the parent.

It is told everything over that socket, ends when the socket ends, and says nothing anywhere else. It imports no SDK: it is there in a tenth
of a second.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys
import threading
import time

from portal.errors import Cancelled
from portal.movers import blocks, small
from portal.movers.messages import Channel, Item, Renewed, Setup, Stop, Unit, keep_secret
from portal.movers.mover import Mover
from portal.movers.pace import Crew
from portal.movers.shared import Shared

_REPORT_EVERY_S = 0.1
_LOOK_EVERY_S = 0.3
_END_WITHIN_S = 0.5
_THREADS_FOR_BLOCKS = 4


class Process:
    """The threads of a process, and what drives them."""

    def __init__(self, channel: Channel, setup: Setup) -> None:
        keep_secret(setup.source, setup.target)
        self._channel = channel
        self._shared = Shared(setup, channel)
        self._crew = Crew(setup.options.threads)
        self._threads: list[threading.Thread] = []
        self._sizing = threading.Lock()
        self._size = 0
        self._processors = 1
        """That this process can keep busy: blocks are moved without Python's lock, small objects mostly with it."""
        self._resize(self._crew.size if setup.options.adapts else setup.options.threads)
        threading.Thread(target=self._tick, daemon=True).start()

    def take(self, message: object) -> None:
        if isinstance(message, list):
            self._processors = 1
            for item in message:
                self._shared.work.put(Item(*item))
        elif isinstance(message, Unit):
            self._take_unit(message)
        elif isinstance(message, Renewed):
            keep_secret(message.source, message.target)
            self._shared.renew(message)
        elif isinstance(message, Stop):
            self._stop()

    def _take_unit(self, unit: Unit) -> None:
        self._processors = os.cpu_count() or 1
        if self._shared.options.adapts:
            self._resize(self._crew.at_least(_THREADS_FOR_BLOCKS))
        self._shared.work.put(unit)

    def _stop(self) -> None:
        """Give threads that are about to finish something the time for it, report and end."""
        self._shared.stopped.set()
        for _ in self._threads:
            self._shared.work.put(None)
        until = time.monotonic() + _END_WITHIN_S
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        self._shared.outbox.flush()
        os._exit(0)

    def _resize(self, size: int) -> None:
        with self._sizing:
            for _ in range(self._size, size):
                self._threads.append(threading.Thread(target=self._serve, daemon=True))
                self._threads[-1].start()
            for _ in range(size, self._size):
                self._shared.work.put(None)
            self._size = self._shared.outbox.threads = size

    def _serve(self) -> None:
        shared = self._shared
        mover = Mover(shared)
        while (work := shared.work.get()) is not None and not shared.stopped.is_set():
            mover.renew()
            try:
                if isinstance(work, Unit):
                    blocks.take(mover, work)
                else:
                    shared.outbox.moved(small.move(mover, work))
            except Cancelled:
                break
        mover.close()

    def _tick(self) -> None:
        looked, cpu, done = time.monotonic(), time.process_time(), 0.0
        while True:
            time.sleep(_REPORT_EVERY_S)
            self._shared.outbox.flush()
            now = time.monotonic()
            if now - looked < _LOOK_EVERY_S or not self._shared.options.adapts:
                continue
            used, did, passed = time.process_time() - cpu, self._shared.outbox.done - done, now - looked
            looked, cpu, done = now, cpu + used, done + did
            self._resize(self._crew.look(now, busy=used / passed / self._processors, rate=did / passed, all_at_work=not self._shared.work.empty()))


def main(descriptor: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the memory holds credentials
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, signal.SIG_IGN)  # the parent decides how to end
    channel = Channel(socket.socket(fileno=descriptor))
    process: Process | None = None
    while (messages := channel.received()) is not None:
        for message in messages:
            if process is None:
                process = Process(channel, message)
            else:
                process.take(message)
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[sys.argv.index("--fd") + 1]))
