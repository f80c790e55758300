"""The parameters of an engine with the pages' own means: a place in a store is chosen, a connection is picked by its name."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st

from portal.catalog import EngineSpec, FieldSpec
from portal.connections import KIND_OF_SCHEME, KINDS
from portal.notifying import wish
from portal.ui import credentials, form_needs, forms, notify_option, places, table_picker
from portal.ui.drafts import Draft

_QUEUES = ("queue", "notices", "dead_letters")
"""Parameters that name an SQS queue: they are reached as S3 is."""


def show(draft: Draft, spec: EngineSpec, specs: Sequence[FieldSpec], given: dict[str, Any], prefix: str) -> None:
    """Show fields of an engine; what they hold is added to `given` by parameter name.

    Args:
        given: what was given before, by other means than these fields.
        prefix: that of the widgets' keys.
    """
    names = {item.name for item in specs}
    pairs = {item.name for item in specs if item.kind == "url" and f"{item.name}_connection" in names}

    def connect(item: FieldSpec, label: str, value: Any, key: str) -> str:
        if spec.name == wish.ENGINE:
            return notify_option.channel(label, str(value or ""), f"{key}.channel", item.help)
        kind = _kind_of(item, given)
        name = credentials.choose(draft, kind, label, value, key, help_text=item.help)
        credentials.ask(draft, kind, key)
        return name

    own: dict[str, Callable[[FieldSpec], Mapping[str, Any]]] = dict.fromkeys(pairs, functools.partial(_pair, draft, spec))
    if table_picker.is_for(spec):
        own["tables"] = lambda item: table_picker.show(spec, item, draft.values.get(item.name), given, f"{prefix}.tables")
    form = forms.Form(draft.values, prefix, connect, own, given, form_needs.needs_of(spec))
    form.show(item for item in specs if item.name.removesuffix("_connection") not in pairs or item.name in pairs)


def _pair(draft: Draft, spec: EngineSpec, item: FieldSpec) -> dict[str, Any]:
    """A URL and its connection."""
    place = places.choose(draft, item, f"{item.name}_connection", places.kinds(spec.name, item.name), narrow=True)
    if place is None or place.base is None:
        return {item.name: None}
    start = places.prefix_of(place.base, draft.values.get(item.name))
    prefix = st.text_input(
        f"{item.title}: path", start, key=f"{draft.id}.{item.name}.below.{place.mark}", placeholder=_path_hint(item), persist_state="session",
        help="The folder or object in it; empty: the top",
    )  # fmt: skip
    return {item.name: str(place.below((prefix or "").strip())), f"{item.name}_connection": place.connection_name}


def _path_hint(item: FieldSpec) -> str:
    return item.placeholder.partition("://")[2].partition("/")[2] or "raw_data/2026/"


def _kind_of(item: FieldSpec, given: dict[str, Any]) -> str:
    """The kind of connection a field wants: that of the URL it belongs to, or what its name says."""
    if item.name.endswith("catalog"):
        return "catalog"
    base = item.name.removesuffix("_connection").removesuffix("connection").strip("_")
    scheme = str(given.get(base) or "").partition("://")[0]
    return KIND_OF_SCHEME.get(scheme) or (base if base in KINDS else "s3" if base in _QUEUES else "snowflake")
