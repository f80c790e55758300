"""Who may sign in: the password, or the JWT of key-pair sign-in (https://docs.snowflake.com/en/developer-guide/sql-api/authenticating)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization

WRONG_PASSWORD = ("390100", "Incorrect username or password was specified.")
WRONG_TOKEN = ("390144", "JWT token is invalid.")
NO_SUCH_WAY = ("390190", "The authenticator of this login is not supported here: use a password or a key pair.")

_ALGORITHMS = ["RS256", "ES256", "ES384", "ES512"]


@dataclass
class Accounts:
    """Who may sign in: upper-cased user names with a password, a public key, or both."""

    passwords: Mapping[str, str]
    keys: Mapping[str, Any] = field(default_factory=dict)

    def refusal(self, login: Mapping[str, Any]) -> tuple[str, str] | None:
        """Return the code and message that refuse a login, or None when it is right."""
        user = str(login.get("LOGIN_NAME", "")).upper()
        way = str(login.get("AUTHENTICATOR") or "SNOWFLAKE").upper()
        if way == "SNOWFLAKE_JWT":
            return None if self._token_is_right(user, login) else WRONG_TOKEN
        if way != "SNOWFLAKE":
            return NO_SUCH_WAY
        given, right = str(login.get("PASSWORD", "")), self.passwords.get(user)
        known = right is not None and hmac.compare_digest(given.encode(), right.encode())
        return None if known else WRONG_PASSWORD

    def _token_is_right(self, user: str, login: Mapping[str, Any]) -> bool:
        key = self.keys.get(user)
        if key is None:
            return False
        try:
            claims = jwt.decode(str(login.get("TOKEN", "")), key, algorithms=_ALGORITHMS, options={"require": ["exp", "iss", "sub"]})
        except jwt.InvalidTokenError:
            return False
        subject = f"{str(login.get('ACCOUNT_NAME', '')).upper()}.{user}"
        return claims["sub"] == subject and claims["iss"] == f"{subject}.{_fingerprint(key)}"


def _fingerprint(key: Any) -> str:
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return "SHA256:" + base64.b64encode(hashlib.sha256(der).digest()).decode()
