"""What the tests of Azure's ends share: a container of the box, and ends that lead to it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from azure.storage.blob import generate_container_sas

from portal.connections import AdlsConnection
from portal.stores.checksums import crc64
from portal.stores.opening import open_account
from portal.stores.url import StoreURL
from portal.wire.azure_access import access
from portal.wire.blob_end import BlobEnd
from portal.wire.dfs_end import DfsEnd
from portal.wire.ends import About, Access, Block, Written
from tests.servers import ADLS_ACCOUNT, ADLS_KEY, Server

Ends = BlobEnd | DfsEnd
KINDS: dict[str, type[BlobEnd] | type[DfsEnd]] = {"blob": BlobEnd, "dfs": DfsEnd}


def connection_to(server: Server, **options: Any) -> AdlsConnection:
    return AdlsConnection(**{"account": ADLS_ACCOUNT, "endpoint_url": f"{server.url}/{ADLS_ACCOUNT}", "account_key": ADLS_KEY, **options})


def make_container(server: Server, name: str) -> None:
    account = open_account(connection_to(server))
    account.create_container(name)
    account.close()  # type: ignore[attr-defined]


def access_to(server: Server, container: str, kind: str = "blob", **options: Any) -> Access:
    return access(StoreURL("abfss", container, ADLS_ACCOUNT), connection_to(server, **options), kind)  # type: ignore[arg-type]


def end_to(server: Server, container: str, kind: str = "blob", **options: Any) -> Ends:
    return KINDS[kind](access_to(server, container, kind, **options))


def put(end: Ends, key: str, data: bytes, about: About | None = None, *, overwrite: bool = False, md5: bytes = b"") -> Written:
    return end.put(key, memoryview(data), about or About(), overwrite=overwrite, crc64=crc64(data), md5=md5)


def stage(end: Ends, key: str, upload: str, number: int, start: int, data: bytes) -> Block:
    return Block(number, len(data), crc64(data), end.put_block(key, upload, number, start, memoryview(data), crc64=crc64(data)))


def container_sas(container: str, permission: str) -> str:
    expiry = datetime.now(UTC) + timedelta(hours=1)
    token: str = generate_container_sas(ADLS_ACCOUNT, container, account_key=ADLS_KEY, permission=permission, expiry=expiry)
    return token
