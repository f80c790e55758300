"""The kinds of connection and their fields: which account, which endpoint, which credentials. Values only."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self
from urllib.parse import parse_qs, quote, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from portal import aws_credentials, clock
from portal.errors import SettingError


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


Endpoint = Annotated[str, AfterValidator(_url)]
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
        return bool(getattr(self, "endpoint_url", "") or getattr(self, "host", ""))

    @property
    def brings_credentials(self) -> bool:
        """True when signing in takes nothing that only the worker's machine or files hold."""
        return bool(AnyConnection.secrets(self))

    @property
    def label(self) -> str:
        """Where the connection leads, for people: never a secret."""
        return self.kind


class S3Connection(AnyConnection):
    kind: Literal["s3"] = "s3"
    endpoint_url: Endpoint = Field("", description="Leave empty for AWS; a URL for a compatible service")
    region: str = Field("", description="Region; empty: the default chain's, else us-east-1")
    access_key_id: str = Field("", description="Access key; empty: the default chain of AWS (profile, role, SSO)")
    secret_access_key: SecretStr = Field(SecretStr(""), description="Secret key")
    session_token: SecretStr = Field(SecretStr(""), description="Session token of temporary credentials")
    expires_at: Moment = Field("", description="When the temporary credentials end (RFC 3339), if known")
    profile: str = Field("", description="Profile of ~/.aws")
    credentials_file: str = Field("", description="JSON file with AccessKeyId, SecretAccessKey, SessionToken (as `aws sts` prints it)")

    @model_validator(mode="after")
    def _both_keys(self) -> Self:
        if bool(self.access_key_id) != bool(self.secret_access_key.get_secret_value()):
            missing = "secret_access_key" if self.access_key_id else "access_key_id"
            raise ValueError(f"{missing} is missing; access_key_id and secret_access_key go together")
        return self

    def secrets(self) -> list[str]:
        """The secret values, those of the credentials file too."""
        return [*super().secrets(), *_secrets_in(self.credentials_file)]

    @property
    def label(self) -> str:
        return self.endpoint_url or f"AWS {self.region}".strip()


def _secrets_in(file: str) -> list[str]:
    if not file:
        return []
    try:
        found = aws_credentials.read(file)
    except SettingError:  # told by whoever opens the connection
        return []
    return [value for value in (found.secret_access_key, found.session_token) if value]


class AdlsConnection(AnyConnection):
    kind: Literal["adls"] = "adls"
    account: str = Field("", description="Storage account")
    endpoint_url: Endpoint = Field("", description="Leave empty for Azure (https://ACCOUNT.dfs.core.windows.net)")
    account_key: SecretStr = Field(SecretStr(""), description="Account key; empty with no SAS: Entra ID")
    sas_token: SecretStr = Field(SecretStr(""), description="Shared access signature, with or without the leading '?'")
    tenant_id: str = Field("", description="Entra ID tenant of a service principal")
    client_id: str = Field("", description="Entra ID application (service principal), or of a managed identity")
    client_secret: SecretStr = Field(SecretStr(""), description="Secret of the service principal")

    def secrets(self) -> list[str]:
        """The secret values, the signature inside the SAS on its own too: the rest of it is no secret and is printed apart."""
        signatures = parse_qs(self.sas_token.get_secret_value().lstrip("?")).get("sig", [])
        return [*super().secrets(), *(form for value in signatures for form in (value, value.replace(" ", "+"), quote(value)))]

    @property
    def label(self) -> str:
        return self.endpoint_url or f"https://{self.account}.dfs.core.windows.net"


class LocalConnection(AnyConnection):
    kind: Literal["local"] = "local"
    roots: tuple[str, ...] = Field((), description="Folders that file:// URLs may name")

    @property
    def label(self) -> str:
        return ", ".join(self.roots)


class SnowflakeConnection(AnyConnection):
    kind: Literal["snowflake"] = "snowflake"
    account: str = Field("", description="Account identifier, e.g. myorg-account1")
    user: str = Field("", description="User")
    password: SecretStr = Field(SecretStr(""), description="Password; key-pair sign-in is the better choice for a service")
    private_key_file: str = Field("", description="PEM file with the private key of key-pair sign-in")
    private_key_passphrase: SecretStr = Field(SecretStr(""), description="Passphrase of the private key")
    role: str = Field("", description="Role")
    warehouse: str = Field("", description="Warehouse")
    database: str = Field("", description="Database")
    schema_name: str = Field("", description="Schema", alias="schema")
    host: str = Field("", description="Leave empty for Snowflake; host of a compatible service")
    port: int = Field(443, ge=1, le=65535, description="Port")
    protocol: Literal["https", "http"] = Field("https", description="http only for a service on this machine")
    login_timeout_s: int = Field(20, ge=1, le=300, description="Seconds until Snowflake counts as unreachable")

    model_config = ConfigDict(populate_by_name=True)

    @property
    def brings_credentials(self) -> bool:
        return bool(self.password.get_secret_value()) and not self.private_key_file

    @property
    def label(self) -> str:
        return f"{self.user}@{self.host or self.account}"


Connection = Annotated[S3Connection | AdlsConnection | LocalConnection | SnowflakeConnection, Field(discriminator="kind")]
KINDS: dict[str, type[AnyConnection]] = {"s3": S3Connection, "adls": AdlsConnection, "local": LocalConnection, "snowflake": SnowflakeConnection}


def field_names(kind: Any) -> list[str]:
    """The fields that a connection of a kind can have, as they are written in connections.toml."""
    model = KINDS.get(kind) if isinstance(kind, str) else None
    return [info.alias or name for name, info in model.model_fields.items()] if model else []
