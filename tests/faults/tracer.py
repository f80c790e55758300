"""Watching an action in a forked child, system call by system call, and interfering with one of them.

The child is a fork of this process, which must have a single thread: whatever the action needs is imported and prepared before.
It stops at the entry and at the exit of every system call; what it changes is real.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from tests.faults import kernel
from tests.faults.calls import Call, Stops
from tests.faults.child import Child, child

Action = Callable[[], Any]
Select = Callable[[Call], bool]
Moment = Literal["before", "after"]
Folder = str | os.PathLike[str] | None
Watch = Callable[[Call, Moment], None]
SHORT_WRITE: Literal["short"] = "short"
Lie = int | Literal["short"]
"""An errno, or that only half is written."""


class ActionFailed(AssertionError):
    """The action raised in the child; the text is its traceback."""


@dataclass(frozen=True)
class Outcome:
    """What became of an action: the calls that were seen, and how it ended.

    Attributes:
        calls: all that were asked for; of an action that was interfered with, those with which it was, if it came back from them.
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


def trace(action: Action, *, within: Folder = None, stops: Stops = "all", watch: Watch | None = None) -> list[Call]:
    """Do something in a child and return its calls of the kinds in `calls.KNOWN`, in their order. Raises ActionFailed.

    Args:
        within: only calls about paths in this folder, and those that reach other processes.
        stops: at which calls it is stopped; those that only look are told with `all` and `known`.
        watch: called while the child stands still, before and after each state-changing call.
    """
    outcome = _Watched(watch=watch).once(action, within, stops=stops)
    _refuse_error(outcome)
    return outcome.calls


def kill_at(
    action: Action, n: int, when: Moment = "before", *, within: Folder = None, stops: Stops = "all", select: Select = changing,
) -> Call | None:  # fmt: skip
    """Kill the child before or after its n-th state-changing call (from 1); None when it never got that far. Raises ActionFailed."""
    outcome = _Watched(select, n, kill=when).once(action, within, stops=stops)
    _refuse_error(outcome)
    return outcome.killed_at


def inject(
    action: Action, n: int, error: Lie, *, within: Folder = None, stops: Stops = "all", select: Select = changing,
    lasting: bool = False,
) -> Outcome:  # fmt: skip
    """Make the n-th selected call (from 1) fail with an errno without being done, or write only half of its bytes.

    Args:
        lasting: every later selected call of the same name fails too.

    Returns:
        What became of it; `injected_at` is None when it never got that far, or when a call cannot be cut short.
    """
    return _Watched(select, n, error=error, lasting=lasting).once(action, within, stops=stops)


@contextlib.contextmanager
def injecting(action: Action, *, within: Folder, stops: Stops = "all", select: Select = changing) -> Iterator[Callable[[int, Lie], Outcome]]:
    """The same for one action many times, each time from a folder that was put back meanwhile: one child does it again and again.

    What it remembers of the runs before must not matter.
    """
    with child(action, None if within is None else os.fspath(within), stops=stops, again=True) as made:

        def inject_next(n: int, error: Lie) -> Outcome:
            with kernel.on_one_processor(made.pid):
                return _Watched(select, n, error=error).run(made)

        yield inject_next


def _refuse_error(outcome: Outcome) -> None:
    if outcome.error:
        raise ActionFailed(outcome.error[2])


class _Watched:
    """One run of an action in a traced child."""

    def __init__(
        self, select: Select = changing, n: int = 0, *, kill: Moment | None = None, error: Lie | None = None, lasting: bool = False,
        watch: Watch | None = None,
    ) -> None:  # fmt: skip
        self.select, self.left, self.kill, self.error, self.lasting, self.watch = select, n, kill, error, lasting, watch
        self.calls: list[Call] = []
        self.killed_at: Call | None = None
        self.injected_at: Call | None = None
        self._info = kernel.SyscallInfo()
        self._lie: int | None = None
        self._last = False
        self._all, self._met = not n, False

    def once(self, action: Action, within: Folder, *, stops: Stops) -> Outcome:
        """Let a child of its own do the action."""
        with kernel.on_one_processor(), child(action, None if within is None else os.fspath(within), stops=stops) as made:
            return self.run(made)

    def run(self, traced: Child) -> Outcome:
        """Follow a child that stands before its action until it has done it."""
        self.child = traced
        self._step()
        answer = None if self.killed_at else traced.answer()
        if answer is None and self.killed_at is None:
            raise ActionFailed(f"The child ended without a word after {len(self.calls)} calls: {self.calls[-1:]}")
        value, error = answer or (None, None)
        return Outcome(self.calls, self.killed_at, self.injected_at, value, error)

    def _step(self) -> None:
        traced, info, entered, number, past = self.child, self._info, None, 0, False
        while True:
            kernel.go_on(traced.pid, number, to_system_call=not past and (traced.stops == "all" or entered is not None))
            stop = traced.wait()
            if stop is None:
                return
            if stop == signal.SIGSTOP:  # the action has ended
                traced.pass_over()
                return
            number = 0 if stop in (kernel.SYSCALL_STOP, kernel.FILTER_STOP) else stop & 0xFF
            if number or past:
                continue
            kernel.look(traced.pid, info)
            if info.op != kernel.EXIT:
                entered = traced.decoder.entered(info.values)
                if entered is not None and self._meets(entered):
                    return
                if not (self._all or self._met):
                    entered = None
            elif entered is not None:
                self._leaves(entered, info.values[0])
                entered = None
                if self.killed_at:
                    return
                past = not (self._all or self.lasting)

    # One call

    def _meets(self, call: Call) -> bool:
        """Interfere at the entry; True when the child is to be killed now. `_met` tells whether it was interfered with."""
        self._met = False
        if self.watch and call.changes:
            self.watch(call, "before")
        if not self.left or not self.select(call):
            if self.lasting and self.injected_at and call.name == self.injected_at.name and self.select(call):
                self._met = True
                self._fail(call)
            return False
        self.left -= 1
        if self.left:
            return False
        self._met = True
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
                kernel.skip_call(self.child.pid)
            self._lie = -self.error
        elif call.name in ("write", "pwrite") and call.numbers[2] > 1:
            kernel.set_third(self.child.pid, call.numbers[2] // 2)
        else:
            return
        self.injected_at = self.injected_at or call

    def _leaves(self, call: Call, result: int) -> None:
        if self._lie is not None:
            result, self._lie = self._lie, None
            kernel.set_result(self.child.pid, result)
        call = self.child.decoder.left(call, result)
        self.calls.append(call)
        if self.watch and call.changes:
            self.watch(call, "after")
        if self._last:
            self.killed_at = call
