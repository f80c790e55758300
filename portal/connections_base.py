"""What every kind of connection has in common. Values only."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, SecretStr

from portal import clock


def _url(value: str) -> str:
    if value and (urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).hostname):
        raise ValueError("it must be a URL that begins with https:// (or http:// on this machine)")
    if "@" in value or "?" in value or "#" in value:
        raise ValueError("user names, passwords and signatures do not belong into the endpoint, which is shown; put them into the other fields")
    return value.rstrip("/")


def _moment(value: str) -> str:
    if value:
        clock.parse_ms(value)
    return value


def _role(value: str) -> str:
    if value and (not value.startswith("arn:") or "role/" not in value):
        raise ValueError("it must be the ARN of a role, as arn:aws:iam::123456789012:role/NAME")
    return value


Endpoint = Annotated[str, AfterValidator(_url)]
Role = Annotated[str, AfterValidator(_role)]
Moment = Annotated[str, AfterValidator(_moment)]


class AnyConnection(BaseModel):
    """What every kind has in common."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True, hide_input_in_errors=True)

    kind: str

    def secrets(self) -> list[str]:
        """The secret values, for redaction."""
        return [value.get_secret_value() for _, value in self if isinstance(value, SecretStr) and value.get_secret_value()]

    @property
    def leads_elsewhere(self) -> bool:
        """True when it names its own address instead of the provider's."""
        return any(getattr(self, name, "") for name in ("endpoint_url", "host", "sts_endpoint_url"))

    @property
    def brings_credentials(self) -> bool:
        """True when signing in takes nothing that only the worker's machine or files hold; a kind that can be sure of that says so itself."""
        return False

    @property
    def label(self) -> str:
        """Where the connection leads, for people: never a secret."""
        return self.kind
