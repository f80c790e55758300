"""What a person can do with triggers from the pages. Each action asks for the right itself, then hands over to the book."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from portal.triggers import book
from portal.triggers.trigger import Trigger
from portal.ui import access, state, trigger_rows
from portal.ui.access import Person
from portal.ui.accounts import Role


def _operator(doing: str) -> Person:
    return access.require(state.config(), Role.OPERATOR, doing)


@contextmanager
def _changing() -> Iterator[None]:
    try:
        yield
    finally:
        trigger_rows.forget()


def save(order: Mapping[str, Any], *, new: bool) -> Trigger:
    """Make a trigger, or change the one of its name. Raises AccessRefused, BadParameters, SettingError, TriggerNotFound."""
    who = _operator("change triggers")
    with _changing():
        return book.save(state.config(), Trigger.of(order), who.name, new=new)


def pause(name: str, why: str) -> Trigger:
    """Let it make no more jobs. Raises AccessRefused, TriggerNotFound, BadParameters."""
    who = _operator("pause triggers")
    with _changing():
        return book.pause(state.spool().layout, name, who.name, why)


def resume(name: str) -> Trigger:
    """End a pause. Raises AccessRefused, TriggerNotFound, BadParameters."""
    who = _operator("resume triggers")
    with _changing():
        return book.resume(state.spool().layout, name, who.name)


def run_now(name: str) -> None:
    """Have it run now, once. Raises AccessRefused, TriggerNotFound, BadParameters."""
    who = _operator("run triggers")
    with _changing():
        book.ask(state.spool().layout, name, who.name)


def remove(name: str) -> None:
    """Remove it with its history. Raises AccessRefused, TriggerNotFound."""
    _operator("remove triggers")
    with _changing():
        book.remove(state.spool().layout, name)
