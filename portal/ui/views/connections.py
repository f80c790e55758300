"""Connections: where each leads and whether it works; never what they keep secret."""

from __future__ import annotations

from typing import Any

import streamlit as st
from pydantic import SecretStr

from portal.connections import CHANNELS, DEFAULT_VARIABLES, KINDS, Connections
from portal.errors import PortalError
from portal.ui import access, actions, boxes, state
from portal.ui.accounts import Role
from portal.ui.places import KIND_WORDS
from portal.ui.wording import plain

_WORDS = {**KIND_WORDS, "snowflake": "Snowflake", "webhook": "Webhook", "smtp": "E-mail"}
_TELLS = "Sends a test message to whoever listens there"
_RESULTS = "_probes"
_EXAMPLE = """[lake_prod]
kind = "adls"
account = "mylake"
account_key = "env:LAKE_PROD_KEY"   # the value stands in .env, or in the environment

[partner_bucket]
kind = "s3"
region = "eu-central-1"
profile = "partner"

[ops-slack]                         # where notifications go
kind = "webhook"
format = "slack"
url = "env:OPS_SLACK_URL"
"""


def show() -> None:
    config = state.config()
    st.title("Connections")
    st.caption("Where jobs may read and write, and whom they tell. Secrets are never shown; a job can also bring its own, typed into its form.")
    try:
        found = Connections.load(config)
    except PortalError as problem:
        boxes.error(problem)
        return
    entries: list[tuple[str, str, Any]] = [(kind, "", item) for kind, item in found.defaults.items()]
    entries += [(kind, name, found.named[name]) for kind in KINDS for name in found.names(kind)]
    may_test = access.may(config, Role.OPERATOR)
    _header()
    for kind, name, item in entries:
        _row(kind, name, item, may_test)
    _how()


_WIDTHS = [1.0, 1.0, 2.4, 1.5, 0.6, 2.4]


def _header() -> None:
    for column, title in zip(st.columns(_WIDTHS), ("Name", "Kind", "Leads to", "Signs in with", "", "Result"), strict=True):
        column.caption(f"**{title}**" if title else "")


def _row(kind: str, name: str, item: Any, may_test: bool) -> None:
    columns = st.columns(_WIDTHS, vertical_alignment="center")
    columns[0].markdown(f"**{plain(name or 'default')}**")
    columns[1].markdown(_WORDS.get(kind, kind))
    columns[2].text(_leads_to(kind, item))
    columns[3].markdown(plain(_signs_in(kind, item)))
    results: dict[str, Any] = st.session_state.setdefault(_RESULTS, {})
    key = f"{kind}.{name}"
    if columns[4].button("Test", key=f"test.{key}", disabled=not may_test, help=_TELLS if kind in CHANNELS else None):
        with columns[5], st.spinner("Testing…"):
            results[key] = _tested(kind, name)
    with columns[5]:
        if key in results:
            _answer(results[key])


def _leads_to(kind: str, item: Any) -> str:
    configured = kind in ("s3", "local") or any(getattr(item, name, "") for name in ("account", "host", "endpoint_url"))
    return str(item.label) if configured else "not configured"


def _signs_in(kind: str, item: Any) -> str:
    """How, in words; which fields hold a value, never the value."""
    ways = (
        ("role_arn", "role"), ("session_token", "temporary key"), ("access_key_id", "access key"), ("profile", "profile"),
        ("credentials_file", "credentials file"), ("account_key", "account key"),
        ("sas_token", "SAS"), ("client_secret", "service principal"), ("private_key_file", "key pair"), ("password", "password"),
        ("bearer_token", "token"), ("url", "a secret URL"),
    )  # fmt: skip
    for field, words in ways:
        if _is_set(getattr(item, field, None)):
            return words
    return {"local": "this machine's files", "s3": "AWS default chain", "adls": "Entra ID"}.get(kind, "nothing")


def _is_set(value: Any) -> bool:
    return bool(value.get_secret_value()) if isinstance(value, SecretStr) else bool(value)


def _tested(kind: str, name: str) -> Any:
    try:
        return actions.test_connection(kind, name)
    except PortalError as problem:
        return problem


def _answer(result: Any) -> None:
    if isinstance(result, PortalError):
        boxes.error(result)
    elif result.ok:
        st.success(plain(result.text), icon=":material/check_circle:")
    else:
        st.error(plain(f"{result.text}\n{result.hint}".strip()), icon=":material/error:")


def _how() -> None:
    with st.expander("How to add a connection", icon=":material/add:"):
        st.markdown("Write it into `connections.toml` in the portal's home folder; the next job can use it.")
        st.markdown("Values that start with `env:` are looked up in `.env`.")
        st.code(_EXAMPLE, language="toml")
        st.markdown("The **default** connection of each kind comes from these variables, in `.env` or in the environment:")
        for kind, variables in DEFAULT_VARIABLES.items():
            st.markdown(f"- {_WORDS[kind]}: " + ", ".join(f"`{name}`" for name in variables.values()))
