"""Named connections to stores and warehouses: which account, which endpoint, which credentials.

Three sources, in this order: what the submitter typed into the form (sealed with the job), `connections.toml` (values may be
`env:NAME`), and one default per kind from the well-known variables in `.env` or the environment. A connection that names no credentials
leaves them to the provider's own default chain.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError

from portal.errors import SettingError
from portal.settings import Settings

DEFAULT = "default"


class _Connection(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def secrets(self) -> list[str]:
        """The secret values, for redaction."""
        return [value.get_secret_value() for _, value in self if isinstance(value, SecretStr) and value.get_secret_value()]

    @property
    def label(self) -> str:
        """Where the connection leads, for people: never a secret."""
        return str(self.kind)  # type: ignore[attr-defined]


class S3Connection(_Connection):
    kind: Literal["s3"] = "s3"
    endpoint_url: str = Field("", description="Leave empty for AWS; an URL for a compatible service")
    region: str = Field("", description="Region; empty: the default chain's, else us-east-1")
    access_key_id: str = Field("", description="Access key; empty: the default chain of AWS (profile, role, SSO)")
    secret_access_key: SecretStr = Field(SecretStr(""), description="Secret key")
    session_token: SecretStr = Field(SecretStr(""), description="Session token of temporary credentials")
    expires_at: str = Field("", description="When the temporary credentials end (RFC 3339), if known")
    profile: str = Field("", description="Profile of ~/.aws")
    credentials_file: str = Field("", description="JSON file with AccessKeyId, SecretAccessKey, SessionToken (as `aws sts` prints it)")

    @property
    def label(self) -> str:
        return self.endpoint_url or f"AWS {self.region}".strip()


class AdlsConnection(_Connection):
    kind: Literal["adls"] = "adls"
    account: str = Field("", description="Storage account")
    endpoint_url: str = Field("", description="Leave empty for Azure (https://ACCOUNT.dfs.core.windows.net)")
    account_key: SecretStr = Field(SecretStr(""), description="Account key; empty with no SAS: Entra ID")
    sas_token: SecretStr = Field(SecretStr(""), description="Shared access signature, with or without the leading '?'")
    tenant_id: str = Field("", description="Entra ID tenant of a service principal")
    client_id: str = Field("", description="Entra ID application (service principal), or of a managed identity")
    client_secret: SecretStr = Field(SecretStr(""), description="Secret of the service principal")

    @property
    def label(self) -> str:
        return self.endpoint_url or f"https://{self.account}.dfs.core.windows.net"


class LocalConnection(_Connection):
    kind: Literal["local"] = "local"
    roots: tuple[str, ...] = Field((), description="Folders that file:// URLs may name")

    @property
    def label(self) -> str:
        return ", ".join(self.roots)


class SnowflakeConnection(_Connection):
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
    port: int = Field(443, description="Port")
    protocol: Literal["https", "http"] = Field("https", description="http only for a service on this machine")
    login_timeout_s: int = Field(20, ge=1, le=300, description="Seconds until Snowflake counts as unreachable")

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    @property
    def label(self) -> str:
        return f"{self.user}@{self.host or self.account}"


Connection = Annotated[S3Connection | AdlsConnection | LocalConnection | SnowflakeConnection, Field(discriminator="kind")]
KINDS: dict[str, type[_Connection]] = {"s3": S3Connection, "adls": AdlsConnection, "local": LocalConnection, "snowflake": SnowflakeConnection}
KIND_OF_SCHEME = {"s3": "s3", "abfss": "adls", "file": "local"}

_ADAPTER: TypeAdapter[Any] = TypeAdapter(Connection)

DEFAULT_VARIABLES: dict[str, dict[str, str]] = {
    "s3": {
        "endpoint_url": "AWS_ENDPOINT_URL", "region": "AWS_REGION", "access_key_id": "AWS_ACCESS_KEY_ID",
        "secret_access_key": "AWS_SECRET_ACCESS_KEY", "session_token": "AWS_SESSION_TOKEN", "profile": "AWS_PROFILE",
        "credentials_file": "AWS_CREDENTIALS_FILE",
    },
    "adls": {
        "account": "AZURE_STORAGE_ACCOUNT", "endpoint_url": "AZURE_STORAGE_ENDPOINT", "account_key": "AZURE_STORAGE_KEY",
        "sas_token": "AZURE_STORAGE_SAS_TOKEN", "tenant_id": "AZURE_TENANT_ID", "client_id": "AZURE_CLIENT_ID",
        "client_secret": "AZURE_CLIENT_SECRET",
    },
    "snowflake": {
        "account": "SNOWFLAKE_ACCOUNT", "user": "SNOWFLAKE_USER", "password": "SNOWFLAKE_PASSWORD",
        "private_key_file": "SNOWFLAKE_PRIVATE_KEY_FILE", "private_key_passphrase": "SNOWFLAKE_PRIVATE_KEY_PASSPHRASE",
        "role": "SNOWFLAKE_ROLE", "warehouse": "SNOWFLAKE_WAREHOUSE", "database": "SNOWFLAKE_DATABASE", "schema": "SNOWFLAKE_SCHEMA",
        "host": "SNOWFLAKE_HOST", "port": "SNOWFLAKE_PORT", "protocol": "SNOWFLAKE_PROTOCOL",
        "login_timeout_s": "SNOWFLAKE_LOGIN_TIMEOUT_S",
    },
}  # fmt: skip
"""The variables that make up the default connection of each kind."""


@dataclass(frozen=True)
class Connections:
    """All connections that can be named, by name. `default` stands for the default of the kind asked for."""

    named: Mapping[str, _Connection]
    defaults: Mapping[str, _Connection] = field(default_factory=dict)

    @classmethod
    def load(cls, settings: Settings, typed: Mapping[str, Mapping[str, Any]] | None = None) -> Self:
        """Read `connections.toml` and the default variables; `typed` are the connections that came sealed with a job.

        Raises:
            SettingError: the file cannot be read or a connection in it is wrong; names it and says what to put there.
        """
        named = {name: _connection(name, values, settings) for name, values in _toml(settings.connections_file).items()}
        named.update({name: _connection(name, values, settings) for name, values in (typed or {}).items()})
        return cls(named, {kind: _default(kind, settings) for kind in KINDS})

    def get(self, kind: str, name: str | None = None) -> Any:
        """Return a connection of a kind. Raises SettingError when there is none of that name or it is of another kind."""
        if name in (None, "", DEFAULT):
            return self.defaults[kind]
        found = self.named.get(str(name))
        if found is None:
            known = ", ".join([DEFAULT, *self.names(kind)])
            raise SettingError(f"There is no connection {name!r}.", hint=f"Known for {kind}: {known}. Add it to connections.toml.")
        if found.kind != kind:  # type: ignore[attr-defined]
            raise SettingError(f"The connection {name!r} leads to {found.kind}, not to {kind}.")  # type: ignore[attr-defined]
        return found

    def names(self, kind: str) -> list[str]:
        """Names of the connections of a kind, without `default`."""
        return sorted(name for name, item in self.named.items() if item.kind == kind)  # type: ignore[attr-defined]

    def secrets(self) -> list[str]:
        """Every secret value, for redaction."""
        return [secret for item in (*self.named.values(), *self.defaults.values()) for secret in item.secrets()]


def _toml(path: Path) -> dict[str, dict[str, Any]]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise SettingError(f"{path} cannot be read.", hint="It is TOML: one [name] table per connection with a kind.") from error


def _connection(name: str, values: Mapping[str, Any], settings: Settings) -> Any:
    try:
        return _ADAPTER.validate_python({key: _looked_up(name, key, value, settings) for key, value in values.items()})
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in problem["loc"][1:] or problem["loc"])
        raise SettingError(f"The connection {name!r} is wrong at {place or 'kind'}: {problem['msg']}.", hint=f"Kinds: {', '.join(KINDS)}.") from None


def _looked_up(name: str, key: str, value: Any, settings: Settings) -> Any:
    if not (isinstance(value, str) and value.startswith("env:")):
        return value
    variable = value.removeprefix("env:")
    if variable not in settings.variables:
        raise SettingError(f"The connection {name!r} takes {key} from {variable}, which is not set.", hint=f"Put {variable}=… into .env.")
    return settings.variables[variable]


def _default(kind: str, settings: Settings) -> Any:
    if kind == "local":
        return LocalConnection(roots=tuple(str(root) for root in settings.allowed_roots))
    variables = DEFAULT_VARIABLES[kind]
    values = {key: settings.variables[name] for key, name in variables.items() if settings.variables.get(name)}
    return _connection(f"default {kind}", {"kind": kind, **values}, settings)
