"""Watching an action in a forked child, system call by system call, and interfering with one of them.

The child is a fork of this process, which must have a single thread: whatever the action needs is imported and prepared before.
It stops at the entry and at the exit of every system call; what it changes is real.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from tests.faults import kernel
from tests.faults.calls import NUMBERS, Call
from tests.faults.decoding import Decoder

Action = Callable[[], Any]
Select = Callable[[Call], bool]
Moment = Literal["before", "after"]
Folder = str | os.PathLike[str] | None
Watch = Callable[[Call, Moment], None]
SHORT_WRITE: Literal["short"] = "short"

class ActionFailed(AssertionError):
    """The action raised in the child; the text is its traceback."""


@dataclass(frozen=True)
class Outcome:
    """What became of an action: the calls that were seen, and how it ended.

    Attributes:
        killed_at: the call at which it was killed, or None.
        injected_at: the call that was made to fail, or None.
        value: what the action returned (pickled on the way); None when it raised or was killed.
        error: the exception it raised, as (names of its classes, text, traceback), or None.
    """

    calls: list[Call]
    killed_at: Call | None = None
    injected_at: Call | None = None
    value: Any = None
    error: tuple[tuple[str, ...], str, str] | None = None


def changing(call: Call) -> bool:
    return call.changes


def trace(action: Action, *, within: Folder = None, alone: bool = False, watch: Watch | None = None) -> list[Call]:
    """Do something in a child and return its calls of the kinds in `calls.KNOWN`, in their order. Raises ActionFailed.

    Args:
        within: only calls about paths in this folder, and those that reach other processes.
        alone: the action starts no process; then it is stopped only at calls that can change something, which is several times faster.
        watch: called while the child stands still, before and after each state-changing call.
    """
    outcome = _Watched(action, within, alone=alone, watch=watch).run()
    _refuse_error(outcome)
    return outcome.calls


def kill_at(
    action: Action, n: int, when: Moment = "before", *, within: Folder = None, alone: bool = False, select: Select = changing,
) -> Call | None:  # fmt: skip
    """Kill the child before or after its n-th state-changing call (from 1); None when it never got that far. Raises ActionFailed."""
    outcome = _Watched(action, within, select, n, kill=when, alone=alone).run()
    _refuse_error(outcome)
    return outcome.killed_at


def inject(
    action: Action, n: int, error: int | Literal["short"], *, within: Folder = None, alone: bool = False, select: Select = changing,
    lasting: bool = False,
) -> Outcome:  # fmt: skip
    """Make the n-th selected call (from 1) fail with an errno without being done, or write only half of its bytes.

    Args:
        lasting: every later selected call of the same name fails too.

    Returns:
        What became of it; `injected_at` is None when it never got that far, or when a call cannot be cut short.
    """
    return _Watched(action, within, select, n, error=error, lasting=lasting, alone=alone).run()


def _refuse_error(outcome: Outcome) -> None:
    if outcome.error:
        raise ActionFailed(outcome.error[2])


class _Watched:
    """One run of an action in a traced child."""

    def __init__(
        self, action: Action, within: Folder, select: Select = changing, n: int = 0, *, kill: Moment | None = None,
        error: int | Literal["short"] | None = None, lasting: bool = False, alone: bool = False, watch: Watch | None = None,
    ) -> None:  # fmt: skip
        self.action, self.within, self.select, self.left = action, None if within is None else os.fspath(within), select, n
        self.kill, self.error, self.lasting, self.alone, self.watch = kill, error, lasting, alone, watch
        self.calls: list[Call] = []
        self.killed_at: Call | None = None
        self.injected_at: Call | None = None
        self._info = kernel.SyscallInfo()
        self._lie: int | None = None
        self._last = False

    def run(self) -> Outcome:
        self._answer = os.memfd_create("answer")
        try:
            with kernel.on_one_processor():
                self.pid = os.fork()
                if self.pid == 0:
                    self._act()
                try:
                    self._follow()
                finally:
                    self._end()
            return self._outcome()
        finally:
            os.close(self._answer)

    def _act(self) -> None:
        """The child."""
        try:
            kernel.trace_me()
            os.kill(os.getpid(), signal.SIGSTOP)
            if self.alone:
                kernel.stop_only_at(NUMBERS)
            try:
                answer = (self.action(), None)
            except BaseException as error:
                names = tuple(kind.__name__ for kind in type(error).__mro__)
                answer = (None, (names, str(error), "".join(traceback.format_exception(error))))
            os.kill(os.getpid(), signal.SIGSTOP)  # the tracer lets go here
            os.pwrite(self._answer, pickle.dumps(answer), 0)
        finally:
            os._exit(0)

    def _outcome(self) -> Outcome:
        data = os.pread(self._answer, os.fstat(self._answer).st_size, 0)
        value, error = pickle.loads(data) if data else (None, None)
        if not data and self.killed_at is None:
            raise ActionFailed(f"The child ended without a word after {len(self.calls)} calls: {self.calls[-1:]}")
        return Outcome(self.calls, self.killed_at, self.injected_at, value, error)

    def _follow(self) -> None:
        assert self._wait() == signal.SIGSTOP
        kernel.watch(self.pid)
        memory = os.open(f"/proc/{self.pid}/mem", os.O_RDONLY)
        self._decoder = Decoder(self.pid, memory, self.within)
        try:
            self._step()
        finally:
            os.close(memory)

    def _wait(self) -> int | None:
        """Wait for the next stop and return its signal, with the event above it; None when the child has ended."""
        _, status = os.waitpid(self.pid, kernel.WAIT_ALL)
        if not os.WIFSTOPPED(status):
            self.pid = 0
            return None
        return status >> 8

    def _end(self) -> None:
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, kernel.WAIT_ALL)

    def _step(self) -> None:
        pid, info, entered, number = self.pid, self._info, None, 0
        while True:
            kernel.go_on(pid, number, to_system_call=not self.alone or entered is not None)
            stop = self._wait()
            if stop is None:
                return
            number = 0
            if stop == signal.SIGSTOP:  # the action has ended
                kernel.go_on(pid, to_system_call=False)
                while self._wait() is not None:
                    kernel.go_on(pid, to_system_call=False)
                return
            if stop not in (kernel.SYSCALL_STOP, kernel.FILTER_STOP):
                number = stop & 0xFF
                continue
            kernel.look(pid, info)
            if info.op != kernel.EXIT:
                entered = self._decoder.entered(info.values)
                if entered is not None and self._meets(entered):
                    return
            elif entered is not None:
                self._leaves(entered, info.values[0])
                entered = None
                if self.killed_at:
                    return

    # One call

    def _meets(self, call: Call) -> bool:
        """Interfere at the entry; True when the child is to be killed now."""
        if self.watch and call.changes:
            self.watch(call, "before")
        if not self.left or not self.select(call):
            if self.lasting and self.injected_at and call.name == self.injected_at.name and self.select(call):
                self._fail(call)
            return False
        self.left -= 1
        if self.left:
            return False
        if self.kill == "before":
            self.killed_at = call
            return True
        if self.error is not None:
            self._fail(call)
        self._last = self.kill == "after"
        return False

    def _fail(self, call: Call) -> None:
        if isinstance(self.error, int):
            if call.name != "close":  # a close that fails closes all the same, see close(2)
                kernel.skip_call(self.pid)
            self._lie = -self.error
        elif call.name in ("write", "pwrite") and call.numbers[2] > 1:
            kernel.set_third(self.pid, call.numbers[2] // 2)
        else:
            return
        self.injected_at = self.injected_at or call

    def _leaves(self, call: Call, result: int) -> None:
        if self._lie is not None:
            result, self._lie = self._lie, None
            kernel.set_result(self.pid, result)
        call = self._decoder.left(call, result)
        self.calls.append(call)
        if self.watch and call.changes:
            self.watch(call, "after")
        if self._last:
            self.killed_at = call
