"""A forked child that is traced: it does one action, once, or again and again as long as it is told to."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.faults import kernel
from tests.faults.calls import NUMBERS, Stops
from tests.faults.decoding import Decoder

Answer = tuple[Any, tuple[tuple[str, ...], str, str] | None]
"""What an action returned, or what it raised: the names of its classes, the text, the traceback."""


class Child:
    """Stands still before its action, and after it, until it is told to go on.

    Args:
        stops: at which calls it stops.
        again: it does the action once more whenever it goes on.
    """

    def __init__(self, action: Callable[[], Any], within: str | None, *, stops: Stops, again: bool = False) -> None:
        self.action, self.stops, self.again = action, stops, again
        self._answer, self._memory = os.memfd_create("answer"), -1
        self.pid = os.fork()
        if self.pid == 0:
            self._live()
        try:
            assert self.wait() == signal.SIGSTOP
            kernel.watch(self.pid)
            self._memory = os.open(f"/proc/{self.pid}/mem", os.O_RDONLY)
            self.decoder = Decoder(self.pid, self._memory, within)
            if stops != "all":
                self.pass_over()  # it sets up its filter
        except BaseException:
            self.end()
            raise

    def _live(self) -> None:
        """The child."""
        try:
            kernel.trace_me()
            self._stop()
            if self.stops != "all":
                kernel.stop_only_at(NUMBERS[self.stops])
                self._stop()
            while True:
                answer = self._act()
                self._stop()  # the tracer lets go here
                os.ftruncate(self._answer, 0)
                os.pwrite(self._answer, pickle.dumps(answer), 0)
                if not self.again:
                    break
                self._stop()
        finally:
            os._exit(0)

    def _stop(self) -> None:
        os.kill(os.getpid(), signal.SIGSTOP)

    def _act(self) -> Answer:
        try:
            return self.action(), None
        except BaseException as error:
            names = tuple(kind.__name__ for kind in type(error).__mro__)
            return None, (names, str(error), "".join(traceback.format_exception(error)))

    def wait(self) -> int | None:
        """Wait for the next stop and return its signal, with the event above it; None when the child has ended."""
        _, status = os.waitpid(self.pid, kernel.WAIT_ALL)
        if not os.WIFSTOPPED(status):
            self.pid = 0
            return None
        return status >> 8

    def pass_over(self) -> None:
        """Let it go on, whatever it does, until it stands still by itself or has ended."""
        kernel.go_on(self.pid, to_system_call=False)
        while self.wait() not in (None, signal.SIGSTOP):
            kernel.go_on(self.pid, to_system_call=False)

    def answer(self) -> Answer | None:
        """What became of the action; None when it did not come to its end. To be asked when the child has passed over what follows it."""
        data = os.pread(self._answer, os.fstat(self._answer).st_size, 0)
        return pickle.loads(data) if data else None

    def end(self) -> None:
        """Kill it if it lives."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, kernel.WAIT_ALL)
            self.pid = 0
        for descriptor in {self._answer, self._memory} - {-1}:
            os.close(descriptor)
        self._answer = self._memory = -1


@contextmanager
def child(action: Callable[[], Any], within: str | None, *, stops: Stops, again: bool = False) -> Iterator[Child]:
    """A child that is killed in the end."""
    made = Child(action, within, stops=stops, again=again)
    try:
        yield made
    finally:
        made.end()
