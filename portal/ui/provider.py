"""Sign-in with OpenID Connect: `[auth]` of Streamlit's secrets.toml, and the cookie that Streamlit signs once the provider has vouched for a person.

The cookie is read here for the gate and for the pages alike, with the age of our own sessions; Streamlit itself would take it for thirty days.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit import auth_util, config
from streamlit.errors import StreamlitAuthError
from streamlit.web.server.server_util import get_cookie_secret
from streamlit.web.server.starlette.starlette_app_utils import decode_signed_value
from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME

from portal.errors import SettingError
from portal.ui import sessions

COOKIE = USER_COOKIE_NAME
PATHS = ("/auth/login", "/auth/logout", "/oauth2callback")
"""Streamlit's own addresses that people who are not signed in need."""

_NAME = "default"
_LIFETIME_DAYS = sessions.LIFETIME_S / 86_400
_SHORTEST_SECRET = 32
_KEYS = ("redirect_uri", "cookie_secret", "client_id", "client_secret", "server_metadata_url")


def check_settings() -> None:
    """Raises SettingError when secrets.toml cannot be read, or its `[auth]` lacks something or would let cookies be guessed."""
    if not st.secrets.load_if_toml_exists():
        unread = [path for path in config.get_option("secrets.files") if Path(path).exists()]
        if unread:  # Streamlit takes such a file for none, which would let everybody in
            raise SettingError(f"{unread[0]} cannot be read.", hint="Correct it: it is a TOML file that this user may read.")
        return
    if "auth" not in st.secrets:
        return
    given = auth_util.get_secrets_auth_section()
    missing = [key for key in _KEYS if not given.get(key)]
    if missing:
        raise SettingError(f"[auth] in secrets.toml lacks {', '.join(missing)}.", hint="docs/operation.md shows a whole one.")
    if len(given["cookie_secret"]) < _SHORTEST_SECRET:
        raise SettingError(
            f"cookie_secret in secrets.toml has fewer than {_SHORTEST_SECRET} characters.",
            hint='Make one with `python -c "import secrets; print(secrets.token_hex(32))"`.',
        )
    if auth_util.get_validated_redirect_uri() is None:
        raise SettingError("redirect_uri in secrets.toml is wrong.", hint="It is the address of this launcher, ending with /oauth2callback.")


def start_url() -> str:
    """Return the address that sends a browser on to the provider; good for two minutes."""
    return "/auth/login?provider=" + auth_util.encode_provider_token(_NAME)


def claims(cookies: Mapping[str, str]) -> dict[str, Any] | None:
    """Return what the provider says of the person; None when the cookie is missing, forged, for another address, or too old."""

    def signed(name: str) -> bytes | None:
        value = cookies.get(name)
        return decode_signed_value(get_cookie_secret(), name, value, max_age_days=_LIFETIME_DAYS) if value else None

    try:
        found = json.loads(auth_util.get_cookie_with_chunks(signed, COOKIE) or "null")
        expected = auth_util.get_origin_from_redirect_uri()
    except (StreamlitAuthError, ValueError):
        return None
    fits = isinstance(found, dict) and found.get("is_logged_in") is True and found.get("origin") == expected
    return found if fits else None
