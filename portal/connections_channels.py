"""The kinds of connection that lead to people: a webhook, and a mail server. Values only."""

from __future__ import annotations

import base64
import binascii
from email.errors import MessageError
from email.headerregistry import Address
from email.utils import parseaddr
from ipaddress import ip_address
from typing import Any, Literal, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import ConfigDict, Field, SecretStr, field_validator, model_validator

from portal.connections_base import AnyConnection

_SECRET_PREFIX = "whsec_"  # noqa: S105 - what a signing secret begins with, no secret
_SECRET_BYTES = range(24, 65)
_SHORTEST_PATH = 16
"""Of a URL whose path may be a secret on its own; a shorter one would blank ordinary words in logs."""
_MOST_RECIPIENTS = 50
_USUAL_PORT = {"starttls": 587, "tls": 465, "none": 25}


def is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _split(url: str) -> SplitResult:
    """Raises ValueError with no part of the URL in it: the whole of it is a secret."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or any(character.isspace() or not character.isprintable() for character in url):
        raise ValueError("it must be a URL that begins with https:// (or http:// on this machine)")
    return parts


class WebhookConnection(AnyConnection):
    kind: Literal["webhook"] = "webhook"
    url: SecretStr = Field(description="Address that the message is posted to; it is kept as secret as a password")
    format: Literal["json", "slack"] = Field("json", description="Body: json (Standard Webhooks), or slack (Slack, Mattermost, Rocket.Chat)")
    signing_secret: SecretStr = Field(SecretStr(""), description="Secret that messages are signed with: whsec_ and 24 to 64 bytes in base64")
    previous_signing_secret: SecretStr = Field(SecretStr(""), description="The one before, while receivers change over: both sign")
    bearer_token: SecretStr = Field(SecretStr(""), description="Token for an Authorization header, if the receiver wants one")
    timeout_s: float = Field(15.0, ge=1, le=120, description="Seconds until the receiver counts as unreachable")
    ca_file: str = Field("", description="PEM file of the authority that signed the receiver's certificate; empty: the system's")
    plain_http: bool = Field(False, description="Allow http:// to another machine, where everybody on the way can read the message")

    @field_validator("url")
    @classmethod
    def _usable(cls, value: SecretStr) -> SecretStr:
        _split(value.get_secret_value())
        return value

    @field_validator("signing_secret", "previous_signing_secret")
    @classmethod
    def _key(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value():
            signing_key(value.get_secret_value())
        return value

    @field_validator("bearer_token")
    @classmethod
    def _one_word(cls, value: SecretStr) -> SecretStr:
        if not all("!" <= character <= "~" for character in value.get_secret_value()):
            raise ValueError("it must be one word of letters, digits and signs (no header can hold anything else)")
        return value

    @model_validator(mode="after")
    def _encrypted(self) -> Self:
        parts = _split(self.url.get_secret_value())
        if parts.scheme == "http" and not self.plain_http and not is_this_machine(parts.hostname or ""):
            raise ValueError("its url begins with http://, which everybody on the way can read; use https://, or say plain_http = true")
        return self

    def secrets(self) -> list[str]:
        """The secret values; of the URL what is behind the host, too, and the signing secrets without their beginning."""
        parts = _split(self.url.get_secret_value())
        behind = parts._replace(scheme="", netloc="", fragment="").geturl()
        keys = [value.removeprefix(_SECRET_PREFIX) for value in self.signing_secrets()]
        return [*super().secrets(), *([behind] if len(behind) >= _SHORTEST_PATH else []), *([parts.password] if parts.password else []), *keys]

    def signing_secrets(self) -> list[str]:
        """The secrets that sign, the current one first."""
        return [value for item in (self.signing_secret, self.previous_signing_secret) if (value := item.get_secret_value())]

    @property
    def host(self) -> str:
        return _split(self.url.get_secret_value()).hostname or ""

    @property
    def leads_elsewhere(self) -> bool:
        return True

    @property
    def brings_credentials(self) -> bool:
        """Nothing of the worker's own is ever sent to it."""
        return True

    @property
    def label(self) -> str:
        return f"{_split(self.url.get_secret_value()).scheme}://{self.host} ({self.format}{', signed' if self.signing_secrets() else ''})"


def signing_key(secret: str) -> bytes:
    """Return the key in a signing secret of Standard Webhooks. Raises ValueError."""
    try:
        key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) not in _SECRET_BYTES:
        raise ValueError(f"it must be {_SECRET_PREFIX} and 24 to 64 bytes in base64; `openssl rand -base64 32` makes such bytes")
    return key


def mail_address(text: str) -> Address:
    """Return a mail address, with a name or without. Raises ValueError."""
    name, spec = parseaddr(text)
    try:
        if not spec or not text.isprintable() or "=?" in text:  # an encoded word (RFC 2047) would be decoded, line breaks and all
            raise ValueError
        found = Address(name, addr_spec=spec)
        if not found.username or not found.domain.encode("idna"):
            raise ValueError
        return found
    except (ValueError, IndexError, MessageError):
        raise ValueError(f"{text!r} is no mail address; write it like ops@example.com, or Data team <ops@example.com>") from None


class SmtpConnection(AnyConnection):
    kind: Literal["smtp"] = "smtp"
    host: str = Field(min_length=1, description="Mail server")
    port: int = Field(0, ge=0, le=65535, description="Port; 0: the usual one (587; 465 with tls, 25 with none)")
    security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="starttls: encrypted after a greeting; tls: from the start; none: only for a server nearby that asks for no password"
    )
    user: str = Field("", description="User; empty: no sign-in")
    password: SecretStr = Field(SecretStr(""), description="Password of the user")
    sender: str = Field(min_length=1, alias="from", description="Address that mails come from, e.g. Portal <portal@example.com>")
    to: tuple[str, ...] = Field(min_length=1, max_length=_MOST_RECIPIENTS, description="Addresses that mails go to")
    timeout_s: float = Field(30.0, ge=1, le=300, description="Seconds until the server counts as unreachable")
    ca_file: str = Field("", description="PEM file of the authority that signed the server's certificate; empty: the system's")

    model_config = ConfigDict(populate_by_name=True)

    @field_validator("to", mode="before")
    @classmethod
    def _list(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("sender", "to")
    @classmethod
    def _addresses(cls, value: Any) -> Any:
        for text in (value,) if isinstance(value, str) else value:
            mail_address(text)
        return value

    @model_validator(mode="after")
    def _signs_in_safely(self) -> Self:
        password = bool(self.password.get_secret_value())
        if password != bool(self.user):
            raise ValueError(f"{'user' if password else 'password'} is missing; user and password go together")
        if password and self.security == "none" and not is_this_machine(self.host):
            raise ValueError("a password does not travel unencrypted; say security = starttls or tls")
        return self

    @property
    def port_number(self) -> int:
        return self.port or _USUAL_PORT[self.security]

    @property
    def brings_credentials(self) -> bool:
        """Nothing of the worker's own is ever sent to it."""
        return True

    @property
    def label(self) -> str:
        shown = ", ".join(self.to[:2]) + (f" and {len(self.to) - 2} more" if len(self.to) > 2 else "")
        return f"{shown} by {self.host}:{self.port_number}"
