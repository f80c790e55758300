"""Named connections to stores and warehouses: which account, which endpoint, which credentials.

Three sources, in this order: what the submitter typed into the form (sealed with the job), `connections.toml` (values may be
`env:NAME`), and one default per kind from the well-known variables in `.env` or the environment. A connection that names no credentials
leaves them to the provider's own default chain.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Self

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from portal.connections_base import AnyConnection
from portal.connections_catalogs import CatalogConnection
from portal.connections_channels import SmtpConnection, WebhookConnection
from portal.connections_kinds import (
    CHANNELS,
    KINDS,
    NEVER_TYPED,
    AdlsConnection,
    Connection,
    LocalConnection,
    S3Connection,
    SnowflakeConnection,
    field_names,
)
from portal.errors import SettingError
from portal.settings import Settings

__all__ = ["CHANNELS", "DEFAULT", "DEFAULT_VARIABLES", "KINDS", "KIND_OF_SCHEME", "NEVER_TYPED", "AdlsConnection", "AnyConnection",
           "CatalogConnection", "Connections", "LocalConnection", "S3Connection", "SmtpConnection", "SnowflakeConnection",
           "WebhookConnection"]  # fmt: skip

DEFAULT = "default"
KIND_OF_SCHEME = {"s3": "s3", "abfss": "adls", "file": "local"}

_ADAPTER: TypeAdapter[Any] = TypeAdapter(Connection)

DEFAULT_VARIABLES: dict[str, dict[str, str]] = {
    "s3": {
        "endpoint_url": "AWS_ENDPOINT_URL", "region": "AWS_REGION", "access_key_id": "AWS_ACCESS_KEY_ID",
        "secret_access_key": "AWS_SECRET_ACCESS_KEY", "session_token": "AWS_SESSION_TOKEN", "profile": "AWS_PROFILE",
        "credentials_file": "AWS_CREDENTIALS_FILE", "role_arn": "AWS_ASSUME_ROLE_ARN", "external_id": "AWS_ASSUME_ROLE_EXTERNAL_ID",
        "role_session_name": "AWS_ASSUME_ROLE_SESSION_NAME", "sts_endpoint_url": "AWS_ENDPOINT_URL_STS",
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
    "catalog": {"uri": "HIVE_METASTORE_URI", "warehouse": "HIVE_WAREHOUSE"},
}  # fmt: skip
"""The variables that make up the default connection of each kind; those that lead to people have none."""

_KINDS_WITH_DEFAULT = tuple(kind for kind in KINDS if kind not in CHANNELS)


@dataclass(frozen=True)
class Connections:
    """All connections that can be named, by name. `default` stands for the default of the kind asked for."""

    named: Mapping[str, AnyConnection]
    defaults: Mapping[str, AnyConnection] = field(default_factory=dict)

    @classmethod
    def load(cls, settings: Settings, typed: Mapping[str, Mapping[str, Any]] | None = None) -> Self:
        """Read `connections.toml` and the default variables; `typed` are the connections that came sealed with a job.

        Raises:
            SettingError: the file cannot be read or a connection in it is wrong; names it and says what to put there.
        """
        variables = settings.variables
        stored = _toml(settings.connections_file)
        named = {name: _connection(name, _filled_in(name, values, variables, settings)) for name, values in stored.items()}
        named.update({name: _typed_connection(name, values) for name, values in (typed or {}).items()})
        return cls(named, {kind: _default(kind, settings, variables) for kind in _KINDS_WITH_DEFAULT})

    def get(self, kind: str, name: str | None = None) -> Any:
        """Return a connection of a kind. Raises SettingError when there is none of that name or it is of another kind."""
        if kind not in KINDS:
            raise SettingError(f"There is no kind of connection {kind!r}.", hint=f"Kinds: {', '.join(KINDS)}.")
        if name in (None, "", DEFAULT) and kind in self.defaults:
            return self.defaults[kind]
        found = self.named.get(str(name))
        if found is None:
            known = ", ".join([*([DEFAULT] if kind in self.defaults else []), *self.names(kind)]) or "none"
            raise SettingError(f"There is no connection {name!r}.", hint=f"Known for {kind}: {known}. Add it to connections.toml.")
        if found.kind != kind:
            raise SettingError(f"The connection {name!r} leads to {found.kind}, not to {kind}.")
        return found

    def channel(self, name: str) -> WebhookConnection | SmtpConnection:
        """Return a connection that leads to people. Raises SettingError when there is none of that name or it is of another kind."""
        found = self.named.get(name)
        if isinstance(found, WebhookConnection | SmtpConnection):
            return found
        known = ", ".join(self.channels()) or "none"
        problem = f"The connection {name!r} leads to {found.kind}, not to people." if found else f"There is no connection {name!r}."
        raise SettingError(problem, hint=f"Known of the kinds {' and '.join(CHANNELS)}: {known}. Add it to connections.toml.")

    def channels(self) -> list[str]:
        """Names of the connections that lead to people."""
        return sorted(name for name, item in self.named.items() if item.kind in CHANNELS)

    def names(self, kind: str) -> list[str]:
        """Names of the connections of a kind, without `default`."""
        return sorted(name for name, item in self.named.items() if item.kind == kind)

    def secrets(self) -> list[str]:
        """Every secret value, for redaction."""
        return [secret for item in (*self.named.values(), *self.defaults.values()) for secret in item.secrets()]


def _toml(path: Path) -> dict[str, dict[str, Any]]:
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise SettingError(f"{path} cannot be read.", hint="It is TOML: one [name] table per connection with a kind.") from error
    for name, values in tables.items():
        if not isinstance(values, dict):
            raise SettingError(f"{path}: {name!r} stands outside of any connection.", hint="Put it below the [name] of its connection.")
        if name == DEFAULT or name in _KINDS_WITH_DEFAULT:
            raise SettingError(f"{path}: no connection can be named {name!r}.", hint="Defaults come from .env; give this one another name.")
    return tables


def _connection(name: str, values: Mapping[str, Any], origins: Mapping[str, str] | None = None) -> Any:
    """Validate a connection; `origins` tell which variable each field came from. Secret values stay out of the message."""
    try:
        return _ADAPTER.validate_python(dict(values))
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        told, hint = _told(problem, values, origins or {})
    raise SettingError(f"The connection {name!r} is wrong{told}.", hint=hint)


_BRING_THEM = "Type in whole credentials, no profile and no file of the worker's, or have the connection added to connections.toml: "


def _typed_connection(name: str, values: Mapping[str, Any]) -> Any:
    """What was typed in must not send the worker's own credentials to an address of the submitter's choice."""
    if name in (DEFAULT, "", *KINDS) or "," in name:
        raise SettingError(f"No connection can be given under the name {name!r}.", hint="Choose another name; it must have no comma.")
    found = _connection(name, values)
    if isinstance(found, LocalConnection):
        hint = "Which of them may be used says PORTAL_LOCAL_ROOTS in .env, and nobody else."
        raise SettingError(f"The connection {name!r} names folders of this machine.", hint=hint)
    if isinstance(found, CatalogConnection):
        hint = "Have it added to connections.toml: a catalog says which files are read and written with the worker's own connections."
        raise SettingError(f"The connection {name!r} is a catalog, and none can be typed in.", hint=hint)
    if found.leads_elsewhere and not found.brings_credentials:
        raise SettingError(
            f"The connection {name!r} names an endpoint of its own, but no credentials of its own.",
            hint=f"{_BRING_THEM}the worker's own go only to what stands there.",
        )
    if getattr(found, "role_arn", "") and not found.brings_credentials:
        raise SettingError(
            f"The connection {name!r} names a role, but no credentials of its own to assume it with.",
            hint=f"{_BRING_THEM}the worker's own assume only roles that stand there.",
        )
    return found


def _told(problem: ErrorDetails, values: Mapping[str, Any], origins: Mapping[str, str]) -> tuple[str, str]:
    """What is wrong with a connection, and what to do."""
    place = ".".join(str(part) for part in problem["loc"][1:])
    known = field_names(values.get("kind"))
    if not known:
        return ": its kind is none that the portal knows", f"Write kind = one of {', '.join(KINDS)}."
    if problem["type"] == "extra_forbidden":
        near = get_close_matches(place, known, 1)
        return f": nobody knows the field {place!r}", f"Did you mean {near[0]}?" if near else f"It can have {', '.join(known)}."
    said = problem["msg"].removeprefix("Value error, ")
    wrong = f" at {place}: {said}" if place else f": {said}"
    named = [origins[field] for field in ([place] if place else known) if field in origins and (place or field in said)]
    return wrong, f"Correct {' or '.join(named)} in .env or the environment." if named else "Correct it in connections.toml or the form."


def _filled_in(name: str, values: Mapping[str, Any], variables: Mapping[str, str], settings: Settings) -> dict[str, Any]:
    return {key: _looked_up(name, key, value, variables, settings) for key, value in values.items()}


def _looked_up(name: str, key: str, value: Any, variables: Mapping[str, str], settings: Settings) -> Any:
    if not (isinstance(value, str) and value.startswith("env:")):
        return value
    variable = value.removeprefix("env:").strip()
    if not variables.get(variable):
        wanted = f"{variable}=…" if variable else "the name of a variable after env:, and the variable"
        hint = f"Put {wanted} into {settings.env_file}."
        raise SettingError(f"The connection {name!r} takes {key} from {variable or 'a variable'}, which is not set.", hint=hint)
    return variables[variable]


def _default(kind: str, settings: Settings, variables: Mapping[str, str]) -> Any:
    if kind == "local":
        return LocalConnection(roots=tuple(str(root) for root in settings.allowed_roots))
    origins = {key: name for key, name in DEFAULT_VARIABLES[kind].items()}
    values = {key: variables[name] for key, name in origins.items() if variables.get(name)}
    return _connection(f"default {kind}", {"kind": kind, **values}, origins)
