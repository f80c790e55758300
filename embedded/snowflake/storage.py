"""The storage accounts that the box's Snowflake was let into, and the files in them.

STORAGE_FILE under the server's root tells them: `{"ACCOUNT": {"url": "http://127.0.0.1:PORT/ACCOUNT", "key": "base64"}}`. It is read each time,
so that an account may be let in while the server runs: what an administrator does at Azure with the consent URL.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from azure.core.exceptions import AzureError, ResourceNotFoundError
from azure.storage.blob import BlobServiceClient

from embedded.snowflake.answers import ACCESS_DENIED, Refused

STORAGE_FILE = "storage.json"
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Place:
    """Where something is on Azure, however its URL is written: azure://, abfss:// or https://."""

    account: str
    container: str
    path: str

    @classmethod
    def parse(cls, url: str) -> Place:
        """Raises ValueError."""
        parts = urlsplit(url.replace("%", "%25").replace("?", "%3F").replace("#", "%23"))
        path = url.partition("://")[2].partition("/")[2]
        if parts.scheme in ("abfss", "abfs") and parts.username:
            return cls(str(parts.hostname).partition(".")[0], parts.username, path)
        if parts.scheme == "azure" and parts.hostname:
            container, _, rest = path.partition("/")
            return cls(parts.hostname.partition(".")[0], container, rest)
        raise ValueError(f"{url} is not on Azure")

    def within(self, other: Place) -> bool:
        base = f"{other.path.rstrip('/')}/" if other.path.strip("/") else ""
        return (self.account, self.container) == (other.account, other.container) and self.path.startswith(base)


class Storage:
    """The accounts of one server."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def lets_in(self, account: str) -> bool:
        return account in self._accounts()

    def open(self, place: Place) -> BlobFile:
        """Open a file to read. Raises FileNotFoundError, Refused (no access)."""
        client = self._container(place).get_blob_client(place.path)
        try:
            return BlobFile(client, int(client.get_blob_properties().size))
        except ResourceNotFoundError as error:
            raise FileNotFoundError(place.path) from error
        except AzureError as error:
            raise _denied(place.account) from error

    def list(self, place: Place) -> Iterator[tuple[str, str]]:
        """Yield the paths and ETags of the files below a place. Raises Refused (no access)."""
        try:
            for blob in self._container(place).list_blobs(name_starts_with=place.path):
                if (blob.get("metadata") or {}).get("hdi_isfolder") != "true" and blob.size:
                    yield blob.name, str(blob.etag)
        except AzureError as error:
            raise _denied(place.account) from error

    def _container(self, place: Place) -> Any:
        known = self._accounts().get(place.account)
        if known is None:
            raise _denied(place.account)
        credential: Any = {"account_name": place.account, "account_key": known["key"]}
        return BlobServiceClient(known["url"], credential=credential, retry_total=0).get_container_client(place.container)

    def _accounts(self) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = json.loads(self.file.read_text("utf-8")) if self.file.exists() else {}
        return found


def _denied(account: str) -> Refused:
    return Refused(ACCESS_DENIED, f"Failed to access remote file: access denied to the storage account {account}. Please check your credentials")


class BlobFile(io.RawIOBase):
    """A blob, read by ranges as long as they are asked for: put a buffer around it."""

    def __init__(self, client: Any, size: int) -> None:
        self._client, self.size, self._at = client, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        length = min(len(buffer), self.size - self._at)
        if length <= 0:
            return 0
        piece = self._client.download_blob(self._at, length).readall()
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)


def buffered(file: BlobFile) -> io.BufferedReader:
    return io.BufferedReader(file, _BLOCK)
