"""Store URLs: `s3://bucket/prefix`, `abfss://container@account/prefix`, `file:///dir`, parsed once into a value."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Self
from urllib.parse import unquote

from pydantic_core import core_schema

from portal.redact import Redactor

SCHEMES = ("s3", "abfss", "file")

_SIGNED = re.compile(r"(?i)[?&](?:sig|x-amz-signature|x-amz-security-token)=")
_SHAPES = "Write it as s3://bucket/prefix, abfss://container@account/prefix or file:///folder."


@dataclass(frozen=True, slots=True)
class StoreURL:
    """Where something is in a store. `key` is an object's key or a prefix, without a leading slash; keys are taken literally, never
    percent-decoded."""

    scheme: str
    container: str
    """Bucket, container (file system), or '' for local files."""
    account: str = ""
    """Storage account of ADLS, as given (`name` or `name.dfs.core.windows.net`)."""
    key: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError, saying what is wrong and how to write it; never with a signature or password in it."""
        _refuse_signed(text)
        shown = repr(Redactor()(text))
        scheme, separator, rest = text.partition("://")
        if not separator or scheme not in SCHEMES:
            raise ValueError(f"{shown} is not a store URL. {_SHAPES}")
        if scheme == "file":
            if not rest.startswith("/"):
                raise ValueError(f"{shown} has no absolute path. Write file:///folder, with three slashes.")
            return cls("file", "", "", rest[1:])
        place, _, key = rest.partition("/")
        container, at, account = place.partition("@")
        if not container:
            raise ValueError(f"{shown} names no {'bucket' if scheme == 's3' else 'container'}. {_SHAPES}")
        if (scheme == "abfss") != bool(at and account):
            wrong = "must name container@account" if scheme == "abfss" else "has an '@', which a bucket cannot have"
            raise ValueError(f"{shown} {wrong}. {_SHAPES}")
        return cls(scheme, container, account, key)

    @property
    def root(self) -> StoreURL:
        return replace(self, key="")

    def at(self, key: str) -> StoreURL:
        """The URL of another key in the same container."""
        return replace(self, key=key)

    def __str__(self) -> str:
        place = f"{self.container}@{self.account}" if self.scheme == "abfss" else self.container
        return f"{self.scheme}://{place}/{self.key}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        def read(value: Any) -> StoreURL:
            return value if isinstance(value, cls) else cls.parse(value) if isinstance(value, str) else cls.parse(repr(value))

        return core_schema.no_info_plain_validator_function(
            read, serialization=core_schema.to_string_ser_schema(), json_schema_input_schema=core_schema.str_schema()
        )


def _refuse_signed(text: str) -> None:
    """Raises ValueError for a URL with a signature: what is typed as a URL is kept, in the job's file, plan and ledger."""
    if _SIGNED.search(unquote(unquote(text))):
        where = "a SAS into AZURE_STORAGE_SAS_TOKEN in .env or into the connection's sas_token, keys of S3 into the connection"
        raise ValueError(f"The URL has a signature in it, behind its '?', where it is kept. Leave it out, and put it where it is safe: {where}.")
