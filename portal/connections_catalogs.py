"""The kind of connection that leads to tables: a Hive Metastore or an Iceberg catalog. Values only."""

from __future__ import annotations

import re
from typing import Literal, Self
from urllib.parse import unquote

from pydantic import Field, SecretStr, field_validator, model_validator

from portal.connections_base import AnyConnection, Endpoint
from portal.stores.url import StoreURL

_SECRET_WORDS = re.compile(r"(?i)token|secret|passw|passphrase|pwd|credential|key|signature|\b(?:pass|sig)\b")
_QUERY_NAME = re.compile(r"([^&;?#=]+)=")
_SCHEMES = {"hive": ("thrift",), "rest": ("https", "http"), "hadoop": ()}


class CatalogConnection(AnyConnection):
    kind: Literal["catalog"] = "catalog"
    type: Literal["hive", "rest", "sql", "hadoop"] = Field(
        "hive", description="hive (a Hive Metastore), rest (Iceberg REST), sql (a database of pyiceberg's), hadoop (metadata beside the data)"
    )
    uri: str = Field("", description="thrift://HOST:9083 (several: separated by commas), https://… of REST, sqlite:////… or postgresql+psycopg2://…")
    warehouse: str = Field("", description="URL of the folder that new tables go to: abfss://container@account/prefix, s3://…, file:///…")
    user: str = Field("", description="User of the database (sql)")
    password: SecretStr = Field(SecretStr(""), description="Password of that user")
    token: SecretStr = Field(SecretStr(""), description="Bearer token (rest)")
    credential: SecretStr = Field(SecretStr(""), description="CLIENT_ID:CLIENT_SECRET for OAuth 2 (rest)")
    oauth2_server_uri: Endpoint = Field("", description="Where the token is got (rest); empty: the catalog itself")
    scope: str = Field("", description="Scope of the token (rest)")
    kerberos: bool = Field(False, description="The metastore wants Kerberos: sign in with the ticket of the worker's user (hive)")
    kerberos_service: str = Field("hive", description="First part of the metastore's principal (hive)")
    s3_connection: str = Field("", description="Connection that the tables' files in S3 are reached with; empty: the default")
    adls_connection: str = Field("", description="Connection that the tables' files in ADLS are reached with; empty: the default")
    properties: dict[str, str] = Field(default_factory=dict, description="Further properties, as pyiceberg and Spark name them; none is a secret")

    @field_validator("warehouse")
    @classmethod
    def _a_place(cls, value: str) -> str:
        return str(StoreURL.parse(value)).rstrip("/") if value else ""

    @field_validator("properties")
    @classmethod
    def _no_secret(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if _SECRET_WORDS.search(name):
                raise ValueError(f"{name} looks like a secret: those stand in password, token or credential, which are never shown")
        return value

    @model_validator(mode="after")
    def _leads_somewhere(self) -> Self:
        for each in self.uris:
            schemes = _SCHEMES.get(self.type)
            if schemes is not None and each.partition("://")[0].lower() not in schemes:
                wanted = " or ".join(f"{one}://" for one in schemes)
                raise ValueError(f"the uri of a {self.type} catalog begins with {wanted}" if wanted else f"a {self.type} catalog has no uri")
            _refuse_secrets(each)
        if self.type == "hadoop" and not self.warehouse:
            raise ValueError("warehouse is missing: a hadoop catalog is the folder that its tables are in")
        return self

    @property
    def uris(self) -> list[str]:
        """The addresses, of which any will do; only a metastore has several."""
        parts = self.uri.split(",") if self.type == "hive" else [self.uri]
        return [part.strip() for part in parts if part.strip()]

    @property
    def label(self) -> str:
        return f"{self.type} {self.uri or self.warehouse}".strip()


def _refuse_secrets(uri: str) -> None:
    """Raises ValueError for a uri that may hold a user, a password or a token.

    What reads it later (SQLAlchemy, thrift, requests) does not agree on where a password ends that has , / # or @ in it: so no @ is let pass but
    in the path of a local file, and whatever could be the name in a query is looked at, also in one that is written within another."""
    rest = uri.split("://", 1)[-1]
    if "@" in rest and not rest.startswith("/"):
        raise ValueError("no user or password belongs into the uri, which is shown: put them into user and password (and no other @ either)")
    query = unquote(unquote(re.split(r"[?#]", rest, maxsplit=1)[-1])) if re.search(r"[?#]", rest) else ""
    if any(_SECRET_WORDS.search(name) for name in _QUERY_NAME.findall(query)):
        raise ValueError("what follows the ? of the uri looks like a secret, and the uri is shown: secrets stand in password, token or credential")
