"""Who is at the page and what they may do. Every action asks `require` itself; a hidden button protects nothing."""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import streamlit as st

from portal.errors import PortalError
from portal.settings import Settings
from portal.ui import accounts, provider, sessions
from portal.ui.accounts import Role


class AccessRefused(PortalError):
    """You may not do this."""


class Mode(StrEnum):
    """How people sign in."""

    OIDC = "oidc"
    LOCAL = "local"
    OPEN = "open"
    """Not at all: this machine only."""


@dataclass(frozen=True)
class Person:
    name: str
    role: Role


_guarded: set[Path] = set()
"""Homes for which this process has asked people to sign in: it goes on asking when the file that told it to is gone."""


def mode(settings: Settings) -> Mode:
    """OpenID Connect when .streamlit/secrets.toml has [auth], else local accounts when there are any, else open."""
    if st.secrets.load_if_toml_exists() and "auth" in st.secrets:
        _guarded.add(settings.home)
        return Mode.OIDC
    if accounts.users_file(settings).exists():
        _guarded.add(settings.home)
    return Mode.LOCAL if settings.home in _guarded else Mode.OPEN


def person(settings: Settings) -> Person | None:
    """Return who is signed in, None when nobody is. Roles are read anew each time, so that a change counts at once."""
    how = mode(settings)
    if how is Mode.OIDC:
        return _from_provider(settings)
    if how is Mode.LOCAL:
        name = sessions.name_in(settings, st.context.cookies.get(sessions.COOKIE, ""))
        found = accounts.read(settings).get(name) if name else None
        return Person(found.name, found.role) if found and found.hash else None
    return Person(_login_name(), Role.ADMIN)


def _from_provider(settings: Settings) -> Person | None:
    claims = provider.claims(st.context.cookies)
    if claims is None:
        return None
    mail = claims.get("email") if claims.get("email_verified", True) not in (False, "false") else None
    name = str(mail or claims.get("sub") or "")
    found = accounts.read(settings).get(name)
    return Person(name, found.role if found else Role.VIEWER) if name else None


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "local"


def require(settings: Settings, role: Role, doing: str) -> Person:
    """Return the person if they may do something; called by each action, right where it acts.

    Raises:
        AccessRefused: nobody is signed in, or the role is not enough.
    """
    who = person(settings)
    if who is None:
        raise AccessRefused(f"Sign in to {doing}.", hint="Reload the page: your session has ended.")
    if not who.role.covers(role):
        raise AccessRefused(f"{who.name} is {who.role}; to {doing} takes {role}.", hint="An admin gives roles with `python -m portal.ui.users add`.")
    return who


def may(settings: Settings, role: Role) -> bool:
    """True when the person has the role: for greying out what `require` would refuse."""
    who = person(settings)
    return bool(who and who.role.covers(role))
