"""Choosing a connection by name, or typing credentials in for this one job.

What is typed in stays in the session's memory until it is sealed into the job; no file, log or address ever holds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from portal.connections import KINDS, NEVER_TYPED, Connections
from portal.errors import PortalError
from portal.ui import boxes, listing, state
from portal.ui.drafts import Draft

_TYPE_IN = "\0type in"
_FEWER = ("expires_at", "credentials_file", "role_session_name", "sts_endpoint_url", "private_key_file", "profile", "roots", "kind")
"""What names a file or a profile of the server is no business of a form."""


def known(draft: Draft) -> Connections:
    """All connections this draft may use. Raises SettingError."""
    return Connections.load(state.config(), draft.typed)


def choose(draft: Draft, kind: str, label: str, value: Any, key: str, *, help_text: str = "") -> str:
    """Show the connections of a kind and return the name chosen ('' for the default). `ask` belongs below it."""
    names = known(draft).names(kind)
    options = ["", *names, *_missing(draft, names, value), *([_TYPE_IN] if kind not in NEVER_TYPED and not draft.named_only else [])]
    place = options.index(str(value or "")) if str(value or "") in options else 0
    chosen = st.selectbox(
        label,
        options,
        index=place,
        key=f"{key}.{kind}",
        help=help_text or None,
        persist_state="session",
        format_func=lambda name: _label(draft, name),
    )
    return "" if chosen in (None, _TYPE_IN) else str(chosen)


def _missing(draft: Draft, names: list[str], value: Any) -> list[str]:
    """The connection that was typed in for the job before this one, and has to be typed in again."""
    return [str(value)] if value and str(value) not in names and str(value) in draft.needs else []


def ask(draft: Draft, kind: str, key: str) -> bool:
    """Show the form for credentials when it is wanted; return whether it still waits for them."""
    chosen = str(st.session_state.get(f"{key}.{kind}") or "")
    again = chosen in draft.needs and chosen not in draft.typed
    if chosen != _TYPE_IN and not again:
        return False
    _form(draft, kind, key, chosen if again else f"typed-{kind}")
    return True


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
        columns = st.columns(2)
        for place, (field, info) in enumerate(fields.items()):
            with columns[place % 2]:
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
