"""The box's ADLS as pyiceberg's files: what runs in the box (the REST catalog) reads and writes the metadata of tables there."""

from __future__ import annotations

import io
from typing import Any
from urllib.parse import urlsplit

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.filedatalake import DataLakeFileClient, DataLakeServiceClient
from pyiceberg.io import FileIO, InputFile, OutputFile
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.typedef import EMPTY_DICT, Properties

ENDPOINT, KEY = "box.adls-endpoint", "box.adls-key"
"""Properties: the account's URL, http://127.0.0.1:PORT/ACCOUNT, and its key."""


class BoxIO(FileIO):
    """abfss:// is the box's ADLS, whatever the account's host; everything else is pyarrow's."""

    def __init__(self, properties: Properties = EMPTY_DICT) -> None:
        super().__init__(properties)
        self._arrow = PyArrowFileIO(properties)
        key = properties.get(KEY)
        account = urlsplit(properties.get(ENDPOINT, "")).path.strip("/")
        credential = {"account_name": account, "account_key": key}
        self._adls = DataLakeServiceClient(properties[ENDPOINT], credential=credential) if key else None

    def new_input(self, location: str) -> InputFile:
        client = self._client(location)
        return _Input(location, client) if client else self._arrow.new_input(location)

    def new_output(self, location: str) -> OutputFile:
        client = self._client(location)
        return _Output(location, client) if client else self._arrow.new_output(location)

    def delete(self, location: str | InputFile | OutputFile) -> None:
        client = self._client(location if isinstance(location, str) else location.location)
        if client:
            client.delete_file()
        else:
            self._arrow.delete(location)

    def _client(self, location: str) -> DataLakeFileClient | None:
        if self._adls is None or not location.startswith(("abfs://", "abfss://")):
            return None
        container, _, rest = location.partition("://")[2].partition("@")
        return self._adls.get_file_client(container, rest.partition("/")[2])


class _Input(InputFile):
    def __init__(self, location: str, client: DataLakeFileClient) -> None:
        super().__init__(location)
        self._client = client

    def __len__(self) -> int:
        return int(self._client.get_file_properties().size)

    def exists(self) -> bool:
        return bool(self._client.exists())

    def open(self, seekable: bool = True) -> Any:
        try:
            return io.BytesIO(self._client.download_file().readall())
        except ResourceNotFoundError as error:
            raise FileNotFoundError(self.location) from error


class _Output(OutputFile):
    def __init__(self, location: str, client: DataLakeFileClient) -> None:
        super().__init__(location)
        self._client = client

    def __len__(self) -> int:
        return len(self.to_input_file())

    def exists(self) -> bool:
        return self.to_input_file().exists()

    def to_input_file(self) -> _Input:
        return _Input(self.location, self._client)

    def create(self, overwrite: bool = False) -> Any:
        return _Stream(self._client, overwrite)


class _Stream(io.BytesIO):
    """Goes out when it is closed."""

    def __init__(self, client: DataLakeFileClient, overwrite: bool) -> None:
        super().__init__()
        self._client, self._overwrite = client, overwrite

    def close(self) -> None:
        if not self.closed:
            if not self._overwrite and self._client.exists():
                raise FileExistsError(self._client.path_name)
            self._client.upload_data(self.getvalue(), overwrite=True)
        super().close()
