"""Local accounts: `users.toml` in the portal's home, one `[[user]]` with name, role and argon2 hash each.

With OpenID Connect the same file gives roles to the names that the provider vouches for; such an entry has no hash.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from portal.durable import write_durably
from portal.errors import SettingError
from portal.settings import Settings

USERS_FILE = "users.toml"
SHORTEST_PASSWORD = 10

_HASHER = PasswordHasher()
_NOBODY = _HASHER.hash("nobody has this password")
"""Checked when the name is unknown, so that the answer takes as long."""


class Role(StrEnum):
    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def covers(self, wanted: Role) -> bool:
        """True when this role may do all that the wanted one may."""
        order = list(Role)
        return order.index(self) >= order.index(wanted)


@dataclass(frozen=True)
class Account:
    """One entry of users.toml."""

    name: str
    role: Role
    hash: str = ""


def users_file(settings: Settings) -> Path:
    return settings.home / USERS_FILE


def read(settings: Settings) -> dict[str, Account]:
    """Return the accounts by name; none when there is no file. Raises SettingError, naming what is wrong."""
    path = users_file(settings)
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise SettingError(f"{path} cannot be read.", hint="Restore it, or make it anew with `python -m portal.ui.users add NAME`.") from error
    try:
        return {item["name"]: Account(item["name"], Role(item["role"]), item.get("hash", "")) for item in data.get("user", ())}
    except (KeyError, TypeError, ValueError) as error:
        raise SettingError(f"An account in {path} is wrong.", hint=f"Each [[user]] has name, role ({', '.join(Role)}) and hash.") from error


def write(settings: Settings, accounts: Iterable[Account]) -> None:
    """Replace users.toml, readable by its owner only."""
    blocks = [
        "[[user]]\n"
        + "".join(f"{key} = {json.dumps(value)}\n" for key, value in (("name", item.name), ("role", item.role.value), ("hash", item.hash)) if value)
        for item in sorted(accounts, key=lambda item: item.name)
    ]
    write_durably(users_file(settings), "\n".join(blocks).encode(), mode=0o600)


def hashed(password: str) -> str:
    """Return the argon2id hash of a new password. Raises SettingError when it is too short."""
    if len(password) < SHORTEST_PASSWORD:
        raise SettingError(f"The password has {len(password)} characters.", hint=f"Choose one of {SHORTEST_PASSWORD} or more.")
    return _HASHER.hash(password)


def check(settings: Settings, name: str, password: str) -> Account | None:
    """Return the account when name and password fit; takes as long when they do not."""
    found = read(settings).get(name)
    try:
        _HASHER.verify(found.hash if found and found.hash else _NOBODY, password)
    except (VerificationError, InvalidHashError):
        return None
    return found if found and found.hash else None
