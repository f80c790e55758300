"""Triggers as rows of the live table, filtered and a page at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import streamlit as st

from portal.errors import PortalError, TriggerNotFound, explain
from portal.spool.layout import Layout
from portal.triggers import book, cron, history, telling
from portal.triggers import state as states
from portal.triggers.state import State
from portal.triggers.telling import Standing
from portal.triggers.trigger import Trigger
from portal.ui import trigger_words, wording

PAGE_SIZE = 50


@dataclass(frozen=True)
class Filters:
    """What a person asked for; the empty value of each asks for everything."""

    text: str = ""
    kinds: tuple[str, ...] = ()
    standings: tuple[Standing, ...] = ()


@dataclass(frozen=True)
class Known:
    """A trigger and how it is."""

    trigger: Trigger
    state: State

    @property
    def standing(self) -> Standing:
        return telling.standing(self.trigger, self.state)


@dataclass(frozen=True)
class Look:
    """Every trigger, at one moment."""

    known: tuple[Known, ...]
    damaged: Mapping[str, str]
    """Why the definitions that cannot be read cannot, by name."""

    @property
    def active(self) -> bool:
        return any(item.trigger.paused is None for item in self.known)


def look(layout: Layout) -> Look:
    """Return every trigger as it was at most two seconds ago, whatever number of pages looks."""
    return _looked(str(layout.triggers), layout)


def forget() -> None:
    """Have the next look be a fresh one: somebody has just changed a trigger."""
    _looked.clear()


@st.cache_resource(ttl=2, max_entries=4, show_spinner=False)
def _looked(place: str, _layout: Layout) -> Look:
    known, damaged = [], {}
    for name in book.names(_layout):
        try:
            known.append(Known(book.load(_layout, name), states.state(_layout, name)))
        except TriggerNotFound:
            continue  # removed meanwhile
        except PortalError as error:
            damaged[name] = explain(error)
    return Look(tuple(known), damaged)


def fitting(found: Sequence[Known], filters: Filters) -> list[Known]:
    """Return those that fit; what needs a look comes first."""
    chosen = [item for item in found if _fits(item, filters)]
    return sorted(chosen, key=lambda item: (item.standing != "problem", item.trigger.name))


def _fits(item: Known, filters: Filters) -> bool:
    if (filters.kinds and item.trigger.kind not in filters.kinds) or (filters.standings and item.standing not in filters.standings):
        return False
    trigger = item.trigger
    searched = (trigger.name, trigger.engine, telling.waits(trigger), telling.does(trigger), trigger.by, trigger.job_name)
    return not filters.text or filters.text.casefold() in "\n".join(searched).casefold()


def rows(layout: Layout, shown: Sequence[Known], *, may_act: bool) -> list[dict[str, Any]]:
    """Return the rows of `portal.ui.components.trigger_table`."""
    return [_row(layout, item, may_act) for item in shown]


def _row(layout: Layout, item: Known, may_act: bool) -> dict[str, Any]:
    trigger, standing = item.trigger, item.standing
    last = next(iter(history.events(layout, trigger.name)), None)
    due = next_due(trigger, item.state)
    return {
        "name": trigger.name, "kind": trigger_words.SHORT_KINDS[trigger.kind], "waits": telling.waits(trigger), "does": telling.does(trigger),
        "state": standing, "state_word": trigger_words.STANDINGS[standing], "note": note(item), "paused": trigger.paused is not None,
        "last": trigger_words.OUTCOMES[last.outcome] if last else wording.NONE, "last_job": (last.job or "") if last else "",
        "last_at": wording.moment(last.at) if last else "", "last_reason": last.reason if last else "",
        "next": trigger_words.ahead(due) if due else wording.NONE, "next_at": trigger_words.local(due) if due else "",
        "asked": book.is_asked(layout, trigger.name), "enabled": may_act,
    }  # fmt: skip


def note(item: Known) -> str:
    """Why it is as it is, in a line."""
    if item.trigger.paused:
        return item.trigger.paused.why or f"by {item.trigger.paused.by}"
    return item.state.problem.text.partition("\n")[0] if item.state.problem else ""


def next_due(trigger: Trigger, now: State) -> datetime | None:
    """When a schedule is due next, in its zone; also while no service has written it down."""
    if trigger.kind != "cron" or trigger.paused:
        return None
    try:
        return cron.next_times(trigger, 1, datetime.now(UTC))[0]
    except (PortalError, IndexError):
        return None
