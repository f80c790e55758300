"""Which parameters of a trigger's job come from the event: chosen by name, with the form and the shift of moments."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from portal.catalog import FieldSpec
from portal.errors import BadParameters
from portal.triggers import events

_WIDTHS = [1.5, 2, 0.7, 0.7]


def split(params: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the parameters that are fixed, and those that quote the event anywhere in them."""
    quoted = {name: value for name, value in params.items() if any(events.quotes(value))}
    return {name: value for name, value in params.items() if name not in quoted}, quoted


def show(kind: str, fields: Sequence[FieldSpec], old: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Show the choice; return the parameters that quote, by name.

    Args:
        old: what quotes to begin with. What is more than a quote by itself, like a list with one in it, is shown as JSON.

    Raises:
        BadParameters: what was typed is not JSON.
    """
    titles = {item.name: item.title for item in fields}
    simple = [name for name in old if name in titles and events.is_quote(old[name])]
    chosen = st.multiselect(
        "Taken from the event", list(titles), simple, format_func=titles.__getitem__, key=f"{prefix}.quoted", placeholder="None",
        help="Parameters that are another value for each event, like a folder with the day in its name", persist_state="session",
    )  # fmt: skip
    found = {name: _one(kind, titles[name], old.get(name), f"{prefix}.quoted.{name}") for name in chosen}
    rest = {name: value for name, value in old.items() if name not in simple}
    return {**_as_json(rest, f"{prefix}.quoted.rest"), **found} if rest else found


def _one(kind: str, title: str, old: Any, key: str) -> dict[str, Any]:
    start: Mapping[str, Any] = old if events.is_quote(old) else {}
    facts = events.FACTS[kind]
    columns = st.columns(_WIDTHS, vertical_alignment="bottom")
    named = str(start.get(events.QUOTE, "")).removeprefix("/")
    place = list(facts).index(named) if named in facts else 0
    fact = columns[0].selectbox(f"{title} is", list(facts), place, format_func=facts.__getitem__, key=f"{key}.fact", persist_state="session")
    made: dict[str, Any] = {events.QUOTE: f"/{fact}"}
    if fact not in events.MOMENTS:
        return made
    form = columns[1].text_input(
        "written as", str(start.get("format", "")), key=f"{key}.format", placeholder="s3://sales/%Y/%m/%d/", persist_state="session",
        help="%Y %m %d %H %M are year, month, day, hour, minute in the trigger's time zone; empty: the whole moment",
    )  # fmt: skip
    made |= {"format": form} if form else {}
    for column, unit in zip(columns[2:], ("days", "hours"), strict=True):
        shift = column.number_input(f"± {unit}", -10_000, 10_000, int(start.get(unit, 0)), key=f"{key}.{unit}", persist_state="session")
        made |= {unit: shift} if shift else {}
    return made


def _as_json(rest: Mapping[str, Any], key: str) -> dict[str, Any]:
    text = st.text_area("Others that quote the event, as JSON", json.dumps(rest, indent=1), key=key, height=120, persist_state="session")
    try:
        values = json.loads(text or "{}")
    except ValueError as error:
        raise BadParameters(f"What quotes the event is not JSON: {error}.") from None
    if not isinstance(values, dict):
        raise BadParameters("What quotes the event is no JSON object.", hint='Write {"keys": [{"$event": "/name"}]}.')
    return values
