"""How Spark is told of a catalog. Values only; what is secret is told apart, for it must not stand in the configuration of the whole application."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit

from portal.connections import CatalogConnection
from portal.errors import SettingError

_IMPLEMENTATION = "org.apache.iceberg.spark.SparkCatalog"


class SparkConf(NamedTuple):
    """`spark.sql.catalog.NAME…` of one catalog."""

    conf: dict[str, str]
    secrets: dict[str, str]
    """To be set on the session alone, once it runs (`spark.conf.set`), before the catalog is used for the first time."""


def spark_conf(name: str, connection: CatalogConnection) -> SparkConf:
    """Return what makes an Iceberg catalog known to Spark under a name. Raises SettingError for one that Spark cannot reach."""
    told = {"type": connection.type, **connection.properties}
    if connection.uri:
        told["uri"] = connection.uri
    if connection.warehouse:
        told["warehouse"] = connection.warehouse
    if connection.type == "sql":
        told = {**told, **_jdbc(connection)}
        del told["type"]
    elif connection.type == "rest":
        told |= {name: value for name, value in (("oauth2-server-uri", connection.oauth2_server_uri), ("scope", connection.scope)) if value}
    secrets = {"token": connection.token, "credential": connection.credential, "jdbc.password": connection.password}
    hidden = {key: value.get_secret_value() for key, value in secrets.items() if value.get_secret_value()}
    prefix = f"spark.sql.catalog.{name}"
    return SparkConf(
        {prefix: _IMPLEMENTATION, **{f"{prefix}.{key}": value for key, value in told.items()}},
        {f"{prefix}.{key}": value for key, value in hidden.items()},
    )


def _jdbc(connection: CatalogConnection) -> dict[str, str]:
    """SQLAlchemy's `postgresql+psycopg2://host/db` is `jdbc:postgresql://host/db`; a catalog's name in the database matters to both."""
    kind = urlsplit(connection.uri).scheme.partition("+")[0]
    if kind == "sqlite":
        hint = "Use a hive, rest or hadoop catalog with Spark, or one in PostgreSQL or MySQL whose JDBC driver Spark has."
        raise SettingError(f"Spark does not reach the catalog {connection.uri}: it is a file of pyiceberg's.", hint=hint)
    address = connection.uri.partition("://")[2]
    told = {"catalog-impl": "org.apache.iceberg.jdbc.JdbcCatalog", "uri": f"jdbc:{kind}://{address}"}
    return {**told, **({"jdbc.user": connection.user} if connection.user else {})}
