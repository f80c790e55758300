"""The kinds of connection and their fields: which account, which endpoint, which credentials. Values only."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self
from urllib.parse import parse_qs, quote

from pydantic import ConfigDict, Field, SecretStr, model_validator

from portal import aws_credentials
from portal.connections_base import AnyConnection, Endpoint, Moment, Role
from portal.connections_catalogs import CatalogConnection
from portal.connections_channels import SmtpConnection, WebhookConnection
from portal.errors import SettingError


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
    role_arn: Role = Field("", description="Role to assume with these credentials, e.g. arn:aws:iam::123456789012:role/NAME")
    external_id: str = Field("", description="External id that the role's trust policy asks for, if it does")
    role_session_name: str = Field("", description="Name of the role's session in CloudTrail; empty: data-operations-portal")
    sts_endpoint_url: Endpoint = Field("", description="STS that gives the role; empty: AWS's, or the endpoint of a compatible service")

    @model_validator(mode="after")
    def _role_first(self) -> Self:
        for name in ("external_id", "role_session_name"):
            if getattr(self, name) and not self.role_arn:
                raise ValueError(f"{name} belongs to a role, and role_arn is missing")
        return self

    @model_validator(mode="after")
    def _both_keys(self) -> Self:
        if bool(self.access_key_id) != bool(self.secret_access_key.get_secret_value()):
            missing = "secret_access_key" if self.access_key_id else "access_key_id"
            raise ValueError(f"{missing} is missing; access_key_id and secret_access_key go together")
        if self.session_token.get_secret_value() and not self.access_key_id:
            raise ValueError("access_key_id and secret_access_key are missing; a session_token is good only with the keys that it came with")
        return self

    def secrets(self) -> list[str]:
        """The secret values, those of the credentials file too."""
        return [*super().secrets(), *_secrets_in(self.credentials_file)]

    @property
    def brings_credentials(self) -> bool:
        """A profile and a credentials file are the worker's; without both keys the default chain signs in."""
        return bool(self.access_key_id and self.secret_access_key.get_secret_value()) and not (self.profile or self.credentials_file)

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

    @model_validator(mode="after")
    def _whole_principal(self) -> Self:
        missing = [name for name in ("tenant_id", "client_id") if not getattr(self, name)]
        if self.client_secret.get_secret_value() and missing:
            are = "are" if len(missing) > 1 else "is"
            raise ValueError(f"{' and '.join(missing)} {are} missing; tenant_id, client_id and client_secret of a service principal go together")
        return self

    def secrets(self) -> list[str]:
        """The secret values, the signature inside the SAS on its own too: the rest of it is no secret and is printed apart."""
        signatures = parse_qs(self.sas_token.get_secret_value().lstrip("?")).get("sig", [])
        return [*super().secrets(), *(form for value in signatures for form in (value, value.replace(" ", "+"), quote(value)))]

    @property
    def brings_credentials(self) -> bool:
        """Without a key, a SAS or a whole service principal, the worker's own Entra ID identity signs in."""
        return any(item.get_secret_value() for item in (self.account_key, self.sas_token, self.client_secret))

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
        """A key file is the worker's, and its passphrase alone signs nobody in."""
        return bool(self.password.get_secret_value()) and not self.private_key_file

    @property
    def label(self) -> str:
        return f"{self.user}@{self.host or self.account}"


Connection = Annotated[
    S3Connection | AdlsConnection | LocalConnection | SnowflakeConnection | CatalogConnection | WebhookConnection | SmtpConnection,
    Field(discriminator="kind"),
]
KINDS: dict[str, type[AnyConnection]] = {
    "s3": S3Connection, "adls": AdlsConnection, "local": LocalConnection, "snowflake": SnowflakeConnection, "catalog": CatalogConnection,
    "webhook": WebhookConnection, "smtp": SmtpConnection,
}  # fmt: skip
CHANNELS = ("webhook", "smtp")
"""The kinds that lead to people, not to data. None has a default, so each is named."""
NEVER_TYPED = ("local", "catalog")
"""The kinds that nobody types into a form: they say what of the worker's own is used."""


def field_names(kind: Any) -> list[str]:
    """The fields that a connection of a kind can have, as they are written in connections.toml."""
    model = KINDS.get(kind) if isinstance(kind, str) else None
    return [info.alias or name for name, info in model.model_fields.items()] if model else []
