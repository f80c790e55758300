"""Run the jobs of a queue: `python worker.py`. Any number of workers may share one queue folder on one machine.

SIGTERM (or Ctrl-C) stops the claiming and leaves what runs to its runners, which the next worker takes over; a second one within two
seconds, or SIGQUIT at any time, ends the running jobs too, to be run again later.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import time
from types import FrameType

from portal import durable, settings
from portal.errors import PortalError, explain
from portal.waking import Alarm
from portal.worker import Worker

_LINGER_S = 2.0


class Stop:
    """How often the operator asked to stop."""

    def __init__(self) -> None:
        self.asked = 0
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, self._ask)

    def _ask(self, number: int, _: FrameType | None) -> None:
        self.asked += 2 if number == signal.SIGQUIT else 1


def main(engines: str = "engines") -> int:
    parser = argparse.ArgumentParser(prog="worker.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slots", type=int, metavar="N", help="jobs that run at a time (default: PORTAL_SLOTS)")
    parser.add_argument("--drain", "--once", action="store_true", help="take jobs until none is queued, running or waiting for its next "
                        "attempt, then end (another thing: `python -m portal workers --drain NAME` lets a worker take no more)")  # fmt: skip
    parser.add_argument("--name", help="name of this worker (default: the host's name and the first free number)")
    parser.add_argument("--quiet", action="store_true", help="say only what went wrong")
    arguments = parser.parse_args()
    if arguments.slots is not None and arguments.slots < 1:
        parser.error("--slots must be 1 or more")
    logging.basicConfig(level=logging.WARNING if arguments.quiet else logging.INFO, format="%(asctime)s %(levelname)-5s %(message)s")
    logging.getLogger("watchfiles").setLevel(logging.WARNING)
    stop = Stop()
    try:
        worker = Worker(settings.load(), slots=arguments.slots, name=arguments.name, engines=engines)
    except (PortalError, OSError) as error:
        print(f"worker: {explain(error)}", file=sys.stderr)
        return 1
    alarm = Alarm(worker.layout.queue, worker.layout.cancel, worker.layout.delayed, hear=worker.hear)
    try:
        work(worker, alarm, stop, drain=arguments.drain)
    finally:
        worker.leave()
        alarm.stop()
    return 0


def work(worker: Worker, alarm: Alarm, stop: Stop, *, drain: bool) -> None:
    logging.info("worker %s serves %s with %d slots", worker.name, worker.layout.queue, worker.registration.info.slots)
    while not stop.asked:
        idle = worker.turn().idle
        if idle and drain and worker.empty():
            return
        if idle and worker.drained():
            logging.info("worker %s has run out of jobs, as it was asked to", worker.name)
            return
        alarm.wait(worker.rest_s() if idle else 0, worker.endings())
    running = worker.mine()
    if not running:
        return
    logging.info("stopping; %d running jobs stay with their runners (stop again within %g s to end them)", len(running), _LINGER_S)
    until = time.monotonic() + _LINGER_S
    while stop.asked < 2 and (left := until - time.monotonic()) > 0:
        alarm.wait(left)
    if stop.asked >= 2:
        logging.info("ending %d running jobs; they will run again", len(running))
        patience = time.monotonic() + worker.settings.kill_after_s + 10
        while worker.mine() and time.monotonic() < patience:
            worker.end_running()  # each time: a runner that was just started may not have said yet who it is
            worker.turn(claim=False)
            alarm.wait(0.2, worker.endings())


if __name__ == "__main__":
    durable.keep_from_others()
    sys.exit(main())
