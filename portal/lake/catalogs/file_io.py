"""The files of tables as pyiceberg wants them: over the portal's own stores, so that there is no second set of credentials."""

from __future__ import annotations

import io
from typing import Any, Self, cast

from pyiceberg.io import FileIO, InputFile, OutputFile
from pyiceberg.typedef import EMPTY_DICT, Properties

from portal.errors import AccessDenied, AlreadyExists, NotFound
from portal.lake.catalogs.files import Files
from portal.stores.base import ObjectInfo, Writer

_BLOCK_BYTES = 4 << 20


class PortalIO(FileIO):
    """Reads and writes through `Files`. Errors are Python's, as pyiceberg expects: FileNotFoundError, PermissionError, FileExistsError."""

    def __init__(self, files: Files, properties: Properties = EMPTY_DICT) -> None:
        super().__init__(properties)
        self.files = files

    def new_input(self, location: str) -> _Input:
        return _Input(self.files, location)

    def new_output(self, location: str) -> _Output:
        return _Output(self.files, location)

    def delete(self, location: str | InputFile | OutputFile) -> None:
        store, key = self.files.place(location if isinstance(location, str) else location.location)
        store.delete(key)


class _Input(InputFile):
    def __init__(self, files: Files, location: str) -> None:
        super().__init__(location)
        self._files = files
        self._info: ObjectInfo | None = None

    def _stat(self) -> ObjectInfo:
        if self._info is None:
            try:
                self._info = self._files.stat(self.location)
            except NotFound as error:
                raise FileNotFoundError(str(error)) from error
            except AccessDenied as error:
                raise PermissionError(str(error)) from error
        return self._info

    def __len__(self) -> int:
        return self._stat().size_bytes

    def exists(self) -> bool:
        try:
            return not self._stat().is_folder
        except FileNotFoundError:
            return False

    def open(self, seekable: bool = True) -> Any:
        return self._files.open_at(self.location, self._stat())


class _Output(OutputFile):
    def __init__(self, files: Files, location: str) -> None:
        super().__init__(location)
        self._files = files

    def __len__(self) -> int:
        return len(self.to_input_file())

    def exists(self) -> bool:
        return self.to_input_file().exists()

    def to_input_file(self) -> _Input:
        return _Input(self._files, self.location)

    def create(self, overwrite: bool = False) -> Any:
        store, key = self._files.place(self.location)
        try:
            return cast(Any, _Stream(store.open_write(key, overwrite=overwrite)))
        except AlreadyExists as error:
            raise FileExistsError(str(error)) from error


class _Stream(io.RawIOBase):
    """A write that appears whole when it is closed, and not at all when something goes wrong before."""

    def __init__(self, writer: Writer) -> None:
        self._writer: Writer | None = writer
        self._position = 0
        self._waiting = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        if self._writer is None:
            raise ValueError("the file is closed")
        self._waiting += data
        self._position += len(data)
        if len(self._waiting) >= _BLOCK_BYTES:
            self._send(self._writer)
        return len(data)

    def _send(self, writer: Writer) -> None:
        """Avro is written a few bytes at a time, and each block may be a request."""
        block, self._waiting = bytes(self._waiting), bytearray()
        if block:
            writer.write(block)

    def tell(self) -> int:
        return self._position

    def close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            with writer:
                try:
                    self._send(writer)
                    writer.commit()
                except AlreadyExists as error:
                    raise FileExistsError(str(error)) from error
        super().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is not None and self._writer is not None:
            writer, self._writer = self._writer, None
            writer.abort()
        self.close()
