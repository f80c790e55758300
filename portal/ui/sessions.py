"""The sign-in cookie of local accounts: a signed name with an age, HttpOnly, worth nothing without the account behind it."""

from __future__ import annotations

import hashlib
import os
import secrets
from contextlib import suppress
from pathlib import Path

from itsdangerous import BadData, URLSafeTimedSerializer

from portal.durable import sync_folder, write_synced
from portal.settings import Settings
from portal.ui import accounts

COOKIE = "portal_session"
LIFETIME_S = 12 * 3600


def issue(settings: Settings, name: str) -> str:
    """Return the cookie's value for a person who has just proved who they are."""
    return _signer(settings).dumps([name, _fingerprint(settings, name)])


def name_in(settings: Settings, cookie: str) -> str | None:
    """Return whose cookie this is; None when it is forged, too old, or older than the account's password."""
    try:
        name, mark = _signer(settings).loads(cookie, max_age=LIFETIME_S)
    except (BadData, TypeError, ValueError):
        return None
    return name if isinstance(name, str) and secrets.compare_digest(str(mark), _fingerprint(settings, name)) else None


def _fingerprint(settings: Settings, name: str) -> str:
    found = accounts.read(settings).get(name)
    return hashlib.sha256((found.hash if found else secrets.token_hex()).encode()).hexdigest()[:16]


def _signer(settings: Settings) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(_secret(settings.key_pair_dir), salt="portal sign-in")


def _secret(folder: Path) -> str:
    path = folder / "session.key"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = folder / f".session.{secrets.token_hex(6)}"
        write_synced(fresh, secrets.token_hex(32).encode(), mode=0o600)
        with suppress(FileExistsError):
            os.link(fresh, path)
        fresh.unlink()
        sync_folder(folder)
    return path.read_text("ascii")
