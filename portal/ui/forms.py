"""The parameters of any engine as a form: made from its field specifications alone, so that a new engine needs no page of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from datetime import date
from typing import Any

import streamlit as st

from portal.catalog import FieldSpec
from portal.errors import BadParameters

Connect = Callable[[FieldSpec, str, Any, str], str]
"""Shows the choice of a connection (field, label, value, key) and returns the name chosen."""

Needs = Mapping[str, Mapping[str, tuple[Any, ...]]]
"""By the name of a field: others that it needs, and with which values of those it means nothing. Not set (nothing, '', off) is always one."""

_FEW = 8
"""More advanced fields than that are shown under headings."""
_BLANKS = {"": "(empty)", " ": "(space)", "\t": "(tab)"}
"""What a blank value is called where one is chosen."""
_NARROW = ("integer", "number", "boolean", "choice", "date")


@dataclass
class Form:
    """One form being shown.

    `values` are JSON values to begin with, where they differ from the defaults; `prefix` that of the widgets' keys, one for each form that is
    filled in; `own` shows the fields that a page has better means for, and returns what they give; `given` is what was given so far.
    """

    values: Mapping[str, Any]
    prefix: str
    connect: Connect
    own: Mapping[str, Callable[[FieldSpec], Mapping[str, Any]]] = dataclass_field(default_factory=dict)
    given: dict[str, Any] = dataclass_field(default_factory=dict)
    needs: Needs = dataclass_field(default_factory=dict)
    """Fields that mean nothing by what others are set to: they are shown only when they do, and otherwise have their defaults."""

    def show(self, specs: Iterable[FieldSpec]) -> dict[str, Any]:
        """Show the fields by group, advanced ones folded away; return what they hold by parameter name."""
        groups: dict[str, list[FieldSpec]] = {}
        for item in specs:
            groups.setdefault("Advanced" if item.advanced else item.group, []).append(item)
        advanced = groups.pop("Advanced", [])
        for name, members in groups.items():
            if len(groups) > 1 and not all(map(self._is_idle, members)):
                st.markdown(f"**{name}**")
            self._group(members)
        if advanced:
            changed = sum(1 for item in advanced if item.name in self.values and not self._is_idle(item))
            count = sum(1 for item in advanced if not self._is_idle(item))
            with st.expander(f"Advanced ({count})" + (f", {changed} set" if changed else ""), icon=":material/tune:"):
                self._advanced(advanced)
        return self.given

    def _advanced(self, members: Sequence[FieldSpec]) -> None:
        """Many fields keep the headings of their groups."""
        for name in dict.fromkeys(item.group for item in members):
            group = [item for item in members if item.group == name]
            if len(members) > _FEW and not all(map(self._is_idle, group)):
                st.markdown(f"**{name}**")
            self._group(group)

    def _group(self, members: Sequence[FieldSpec]) -> None:
        """Narrow fields stand two in a row; one that needs another begins a row, so that it knows whether that is set."""
        row: list[FieldSpec] = []
        for item in members:
            if item.kind not in _NARROW or len(row) == 2 or any(other.name in self.needs.get(item.name, ()) for other in row):
                self._row(row)
                row = []
            if self._is_idle(item):
                self.given[item.name] = None
                continue
            row.append(item)
            if item.kind not in _NARROW:
                self._row(row)
                row = []
        self._row(row)

    def _is_idle(self, item: FieldSpec) -> bool:
        needs = self.needs.get(item.name, {}).items()
        return any((value := self.given.get(name)) in (None, "", False) or value in idle for name, idle in needs)

    def _row(self, items: Sequence[FieldSpec]) -> None:
        if not items:
            return
        for column, item in zip(st.columns(len(items), vertical_alignment="bottom"), items, strict=True):
            with column:
                if item.name in self.own:
                    self.given.update(self.own[item.name](item))
                else:
                    self.given[item.name] = field(item, self.values.get(item.name, item.default), f"{self.prefix}.{item.name}", self.connect)


def field(item: FieldSpec, value: Any, key: str, connect: Connect) -> Any:
    """Show one field; return its raw value (None: not given)."""
    label = item.title + (f" [{item.unit}]" if item.unit else "") + (" *" if item.required else "")
    return _WIDGETS.get(item.kind, _text)(item, label, value, key, connect)


def _text(item: FieldSpec, label: str, value: Any, key: str, connect: Connect) -> Any:
    shown = "" if value is None else str(value)
    if item.multiline:
        return st.text_area(label, shown, key=key, help=item.help, placeholder=item.placeholder, persist_state="session")
    return st.text_input(label, shown, key=key, help=item.help, placeholder=item.placeholder, persist_state="session")


def _number(item: FieldSpec, label: str, value: Any, key: str, connect: Connect) -> Any:
    kind: type[int] | type[float] = int if item.kind == "integer" else float
    low, high = (None if bound is None else kind(bound) for bound in (item.minimum, item.maximum))
    return st.number_input(
        label, low, high, None if value is None else kind(value), step=kind(1) if kind is int else None, key=key, help=item.help,
        placeholder=item.placeholder or ("not set" if item.optional else ""), persist_state="session",
    )  # fmt: skip


def _boolean(item: FieldSpec, label: str, value: Any, key: str, connect: Connect) -> Any:
    return st.toggle(label, bool(value), key=key, help=item.help, persist_state="session")


def _choice(item: FieldSpec, label: str, value: Any, key: str, connect: Connect) -> Any:
    options = list(item.choices)
    place = options.index(str(value)) if str(value) in options else None
    return st.selectbox(
        label, options, index=place, key=key, help=item.help, placeholder=item.placeholder or "Choose", persist_state="session",
        format_func=lambda name: {**_BLANKS, "": "none"}.get(name, name),
    )  # fmt: skip


def _connection(item: FieldSpec, label: str, value: Any, key: str, connect: Connect) -> Any:
    return connect(item, label, value, key)


def _list(item: FieldSpec, label: str, value: Any, key: str, connect: Connect) -> Any:
    chosen = [str(entry) for entry in value or ()]
    if item.choices:
        return st.multiselect(
            label, list(item.choices), chosen, key=key, help=item.help, placeholder=item.placeholder or "Any", persist_state="session"
        )
    if item.multiline:
        text = st.text_area(label, "\n".join(chosen), key=key, help=f"{item.help} One per line.", height=80, persist_state="session")
        return [line.strip() for line in (text or "").splitlines() if line.strip()]
    return st.multiselect(
        label, chosen, chosen, key=key, help=f"{item.help} Type one and press Enter.", placeholder=item.placeholder or "None",
        accept_new_options=True, persist_state="session", format_func=lambda name: _BLANKS.get(name, name),
    )  # fmt: skip


def _date(item: FieldSpec, label: str, value: Any, key: str, connect: Connect) -> Any:
    start = date.fromisoformat(str(value)) if value else None
    chosen = st.date_input(
        label, start, min_value=date(1900, 1, 1), max_value=date(2200, 1, 1), key=key, help=item.help, format="YYYY-MM-DD", persist_state="session"
    )
    return chosen.isoformat() if isinstance(chosen, date) else None


def _json(item: FieldSpec, label: str, value: Any, key: str, connect: Connect) -> Any:
    shown = json.dumps(value, ensure_ascii=False, indent=1) if value else ""
    return st.text_area(label, shown, key=key, help=item.help, placeholder=item.placeholder or "{}", height=80, persist_state="session") or None


_WIDGETS: dict[str, Callable[[FieldSpec, str, Any, str, Connect], Any]] = {
    "integer": _number, "number": _number, "boolean": _boolean, "choice": _choice, "connection": _connection, "list": _list,
    "date": _date, "json": _json,
}  # fmt: skip


def parameters(specs: Iterable[FieldSpec], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return raw values as parameters for `catalog.validate`: what was left empty is left out, so that defaults stay defaults.

    Raises:
        BadParameters: a field that takes JSON holds none.
    """
    params: dict[str, Any] = {}
    for item in specs:
        value = given.get(item.name)
        if isinstance(value, str):
            value = value if item.multiline else value.strip()
        if value is None or (value == "" and not item.default):
            continue
        if item.kind == "json" and isinstance(value, str):
            value = _parsed(item, value)
        if value != item.default:
            params[item.name] = value
    return params


def _parsed(item: FieldSpec, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise BadParameters(f"{item.title} is not JSON: {error}.", hint='Write an object like {"name": "value"}.') from None
