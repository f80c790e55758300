"""Choosing a connection by name, or typing credentials in for this one job.

What is typed in stays in the session's memory until it is sealed into the job; no file, log or address ever holds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from portal.connections import KINDS, Connections
from portal.errors import PortalError
from portal.ui import boxes, listing, state
from portal.ui.drafts import Draft

_TYPE_IN = "\0type in"
_FEWER = ("expires_at", "credentials_file", "private_key_file", "profile", "roots", "kind")
"""What names a file or a profile of the server is no business of a form."""


def known(draft: Draft) -> Connections:
    """All connections this draft may use. Raises SettingError."""
    return Connections.load(state.config(), draft.typed)


def choose(draft: Draft, kind: str, label: str, value: Any, key: str, *, help_text: str = "") -> str:
    """Show the connections of a kind and return the name chosen ('' for the default)."""
    names = known(draft).names(kind)
    missing = [str(value)] if value and str(value) not in names and str(value) in draft.needs else []
    options = ["", *names, *missing, *([_TYPE_IN] if kind != "local" else [])]
    place = options.index(str(value or "")) if str(value or "") in options else 0
    chosen = st.selectbox(
        label,
        options,
        index=place,
        key=f"{key}.{kind}",
        help=help_text or None,
        format_func=lambda name: _label(draft, name),
        persist_state="session",
    )
    if chosen == _TYPE_IN or chosen in missing:
        _form(draft, kind, key, chosen if chosen in missing else f"typed-{kind}")
        return missing[0] if missing else ""
    return chosen or ""


def waits(draft: Draft, kind: str, key: str) -> bool:
    """True while credentials are being typed in."""
    return st.session_state.get(f"{key}.{kind}") == _TYPE_IN


def _label(draft: Draft, name: str) -> str:
    if name == _TYPE_IN:
        return "Type in credentials…"
    if name in draft.typed:
        return f"{name} (this job only)"
    return name or "default"


def _form(draft: Draft, kind: str, key: str, name: str) -> None:
    fields = {field: info for field, info in KINDS[kind].model_fields.items() if field not in _FEWER}
    with st.form(f"{key}.{kind}.form", border=True):
        st.caption(":material/lock: For this job only: kept in memory, then sealed so that only the worker can read them.")
        for field, info in fields.items():
            _input(info, field, f"{key}.{kind}.typed.{field}")
        st.form_submit_button("Use for this job", on_click=_take, args=(draft, kind, key, name, list(fields)), width="stretch")
    if problem := st.session_state.pop(f"{key}.problem", None):
        boxes.error(problem)


def _input(info: FieldInfo, field: str, key: str) -> None:
    secret = info.annotation is SecretStr
    label = field.replace("_", " ").capitalize().replace("Sas", "SAS").replace("id", "ID" if field.endswith("_id") else "id").replace("url", "URL")
    default = "" if secret or info.default is None else str(info.default)
    st.text_input(label, default, key=key, type="password" if secret else "default", help=info.description, autocomplete="off")


def _take(draft: Draft, kind: str, key: str, name: str, fields: list[str]) -> None:
    model = KINDS[kind].model_fields
    values = {
        model[field].alias or field: given for field in fields if (given := str(st.session_state.get(f"{key}.{kind}.typed.{field}", "")).strip())
    }
    try:
        Connections.load(state.config(), {**draft.typed, name: {"kind": kind, **values}})
    except PortalError as problem:
        st.session_state[f"{key}.problem"] = problem
        return
    draft.typed[name] = {"kind": kind, **values}
    st.session_state[f"{key}.{kind}"] = name
    listing.forget()


def used(draft: Draft, params: Mapping[str, Any], then_uses: Mapping[str, Any] | None = None) -> dict[str, dict[str, Any]]:
    """The typed-in connections that these parameters name: only those are sealed into the job."""
    named = {value for value in (*params.values(), *(then_uses or {}).values()) if isinstance(value, str)}
    return {name: values for name, values in draft.typed.items() if name in named}
