"""How a Snowflake connection signs in: the connector's arguments, made without the connector."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import load_pem_private_key

from portal.connections import SnowflakeConnection
from portal.errors import SettingError


def arguments(connection: SnowflakeConnection, query_tag: str) -> dict[str, Any]:
    """Return the connector's arguments for a connection, `query_tag` and UTC set for the session. Raises SettingError.

    A quoted name means itself, whatever the account or the user has set: else "a" and "A" would be one.
    """
    _refuse_incomplete(connection)
    session: dict[str, Any] = {"TIMEZONE": "UTC", "QUOTED_IDENTIFIERS_IGNORE_CASE": False, **({"QUERY_TAG": query_tag} if query_tag else {})}
    how: dict[str, Any] = {
        "account": connection.account, "user": connection.user, "role": connection.role, "warehouse": connection.warehouse,
        "database": connection.database, "schema": connection.schema_name, "host": connection.host,
    }  # fmt: skip
    how = {name: value for name, value in how.items() if value}
    if connection.host:
        session["CLIENT_OUT_OF_BAND_TELEMETRY_ENABLED"] = False
        session["CLIENT_TELEMETRY_ENABLED"] = False
        how |= {"port": connection.port, "protocol": connection.protocol, "platform_detection_timeout_seconds": 0.0}
    if connection.private_key_file:
        how["private_key"] = _private_key(connection)
    else:
        how["password"] = connection.password.get_secret_value()
    return {**how, "session_parameters": session, "application": "data-operations-portal", "client_session_keep_alive": False}


def _refuse_incomplete(connection: SnowflakeConnection) -> None:
    needed = {"account": ("SNOWFLAKE_ACCOUNT", connection.account), "user": ("SNOWFLAKE_USER", connection.user)}
    for name, (variable, value) in needed.items():
        if not value:
            raise SettingError(f"The Snowflake connection names no {name}.", hint=f"Put {variable}=… into .env, or {name} into connections.toml.")
    if not connection.private_key_file and not connection.password.get_secret_value():
        raise SettingError(
            "The Snowflake connection has neither a private key nor a password.",
            hint="Put SNOWFLAKE_PRIVATE_KEY_FILE=… (better) or SNOWFLAKE_PASSWORD=… into .env.",
        )


def _private_key(connection: SnowflakeConnection) -> Any:
    path, phrase = Path(connection.private_key_file).expanduser(), connection.private_key_passphrase.get_secret_value()
    try:
        return load_pem_private_key(path.read_bytes(), phrase.encode() or None)
    except TypeError:
        missing = "is encrypted and no passphrase is set" if not phrase else "is not encrypted, yet a passphrase is set"
        raise SettingError(f"The private key {path} {missing}.", hint="Correct SNOWFLAKE_PRIVATE_KEY_PASSPHRASE (private_key_passphrase).") from None
    except OSError as error:
        raise SettingError(f"The private key {path} cannot be read.", hint="SNOWFLAKE_PRIVATE_KEY_FILE names the PEM file.") from error
    except ValueError as error:
        hint = "It must be PEM (PKCS#8); a wrong SNOWFLAKE_PRIVATE_KEY_PASSPHRASE looks the same."
        raise SettingError(f"The private key {path} cannot be opened.", hint=hint) from error
