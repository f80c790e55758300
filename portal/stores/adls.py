"""Azure Data Lake Storage Gen2, on azure-storage-file-datalake. Accounts have a hierarchical namespace: folders are real."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from azure.core import MatchConditions
from azure.core.exceptions import ResourceExistsError
from azure.storage.filedatalake import DataLakeFileClient, DataLakeServiceClient, FileSystemClient

from portal.connections import AdlsConnection
from portal.errors import AlreadyExists, NotFound, SourceChanged
from portal.stores import adls_client
from portal.stores.adls_errors import ConditionFailed, NoContainer, code_of, translated
from portal.stores.adls_write import AdlsWriter, md5_hex, renamed
from portal.stores.base import ObjectInfo, Page
from portal.stores.partial import is_partial
from portal.stores.url import StoreURL

_FOLDER_MARK = "hdi_isfolder"


class AdlsReader:
    """An open read; see `portal.stores.base.Reader`. The SDK fetches 8 MiB at a time, each range pinned to the first one's ETag."""

    def __init__(self, store: AdlsStore, key: str, stream: Any, info: ObjectInfo) -> None:
        self._store, self._key, self._stream, self.info = store, key, stream, info

    def read(self, size: int = -1, /) -> bytes:
        if size == 0 or self._stream is None:
            return b""
        try:
            with self._store.translated("Reading", self._key):
                block: bytes = self._stream.read(size)
        except (ConditionFailed, NotFound) as error:
            raise self._store.changed(self._key, error) from error.__cause__
        return block

    def close(self) -> None:
        self._stream = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /) -> None:
        self.close()


class AdlsStore:
    """One container (file system). Safe for use from many threads."""

    def __init__(self, url: StoreURL, service: DataLakeServiceClient) -> None:
        self.url, self._service = url.root, service
        self.client: FileSystemClient = service.get_file_system_client(url.container)

    def translated(self, what: str, key: str = "") -> AbstractContextManager[None]:
        return translated(what, container=self.url.container, account=self.url.account, key=key)

    def _file(self, key: str) -> DataLakeFileClient:
        if not key:
            raise NotFound(f"{self.url} is a container, not an object.")
        return self.client.get_file_client(key)

    def changed(self, key: str, error: Exception) -> SourceChanged:
        what = "deleted" if isinstance(error, NotFound) else "replaced"
        return SourceChanged(f"{self.url.at(key)} was {what} after it was listed.", hint="Run the job again to take what is there now.")

    def list_page(self, prefix: str = "", *, recursive: bool = True, continuation: str | None = None, limit: int = 1000) -> Page:
        """List in name order within each folder. The service lists folders, so a prefix that ends within a name is filtered here."""
        folder = prefix.rpartition("/")[0]
        try:
            with self.translated("Listing", folder):
                pages = self.client.get_paths(path=folder or None, recursive=recursive, max_results=min(limit, 5000)).by_page(continuation)
                found = [_listed(item) for item in next(pages, ())]
        except NoContainer:
            raise
        except NotFound:
            return Page(())
        kept = [info for info in found if info.key.startswith(prefix) and not is_partial(info.key)]
        objects = tuple(info for info in kept if recursive or not info.is_folder)
        prefixes = () if recursive else tuple(f"{info.key}/" for info in kept if info.is_folder)
        return Page(objects, prefixes, pages.continuation_token or None)  # type: ignore[attr-defined]

    def stat(self, key: str) -> ObjectInfo:
        with self.translated("Looking at", key):
            return _described(key, self._file(key).get_file_properties())

    def open_read(self, key: str, *, start: int = 0, length: int | None = None, pin: ObjectInfo | None = None) -> AdlsReader:
        info = self._pinned(key, pin)
        if start >= info.size_bytes or length == 0:
            return AdlsReader(self, key, None, info)
        condition: dict[str, Any] = {"etag": f'"{info.etag}"', "match_condition": MatchConditions.IfNotModified}
        wanted = min(length, info.size_bytes - start) if length is not None else info.size_bytes - start
        try:
            with self.translated("Reading", key):
                # Not unpacked: a file with Content-Encoding: gzip is copied as it is stored.
                stream = self._file(key).download_file(offset=start, length=wanted, decompress=False, **condition)
        except (ConditionFailed, NotFound) as error:
            raise self.changed(key, error) from error.__cause__
        return AdlsReader(self, key, stream, info)

    def _pinned(self, key: str, pin: ObjectInfo | None) -> ObjectInfo:
        try:
            info = self.stat(key)
        except NoContainer:
            raise
        except NotFound as error:
            if pin is None:
                raise
            raise self.changed(key, error) from None
        if info.is_folder:
            raise NotFound(f"{self.url.at(key)} is a folder.")
        if pin and pin.etag and pin.etag != info.etag:
            raise self.changed(key, ConditionFailed())
        return info

    def open_write(
        self, key: str, *, overwrite: bool = False, size_bytes: int | None = None, content_type: str = "", metadata: Mapping[str, str] | None = None
    ) -> AdlsWriter:
        try:
            existing = self.stat(key)
        except NoContainer:
            raise
        except NotFound:
            existing = None
        if existing and (existing.is_folder or not overwrite):
            what = "a folder" if existing.is_folder else "a file"
            raise AlreadyExists(f"{self.url.at(key)} exists already, as {what}.", hint="Choose another name or allow overwriting.")
        return AdlsWriter(self, key, overwrite=overwrite, content_type=content_type, metadata=metadata or {})

    def rename(self, key: str, new_key: str, *, overwrite: bool = False, durable: bool = True) -> None:
        renamed(self, key, new_key, overwrite=overwrite)

    def delete(self, key: str) -> None:
        try:
            with self.translated("Deleting", key):
                self._file(key).delete_file()
        except NotFound:
            return

    def close(self) -> None:
        self._service.close()


class AdlsAccount:
    """The containers of a storage account."""

    def __init__(self, connection: AdlsConnection) -> None:
        self._service = adls_client.client(connection)
        self._account = connection.account

    def containers(self) -> list[str]:
        with translated("Listing the containers of", container="", account=self._account):
            return [item.name for item in self._service.list_file_systems()]

    def create_container(self, name: str) -> None:
        with translated("Creating", container=name, account=self._account):
            try:
                self._service.create_file_system(name)
            except ResourceExistsError as error:
                if not code_of(error).endswith("AlreadyExists"):
                    raise

    def store(self, container: str) -> AdlsStore:
        return AdlsStore(StoreURL("abfss", container, self._account), self._service)

    def close(self) -> None:
        self._service.close()


def open_store(url: StoreURL, connection: AdlsConnection) -> AdlsStore:
    return AdlsStore(url, adls_client.client(connection, url.account))


def open_account(connection: AdlsConnection) -> AdlsAccount:
    return AdlsAccount(connection)


def _listed(item: Any) -> ObjectInfo:
    etag = (item.etag or "").strip('"')
    size = 0 if item.is_directory else int(item.content_length or 0)
    return ObjectInfo(item.name, size, etag=etag, modified=_utc(item.last_modified), is_folder=bool(item.is_directory))


def _described(key: str, found: Any) -> ObjectInfo:
    metadata = dict(found.metadata or {})
    folder = metadata.pop(_FOLDER_MARK, "").lower() == "true"
    md5 = md5_hex(found.content_settings.content_md5)
    return ObjectInfo(
        key, 0 if folder else int(found.size), etag=found.etag.strip('"'), modified=_utc(found.last_modified), is_folder=folder,
        content_type=found.content_settings.content_type or "", checksums={"md5": md5} if md5 else {}, metadata=metadata,
    )  # fmt: skip


def _utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment
