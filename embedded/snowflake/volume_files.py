"""pyiceberg's way to a table's files through an external volume: what lies outside of the volume cannot be read, as at Snowflake."""

from __future__ import annotations

from typing import Any

from pyiceberg.io import FileIO, InputFile, OutputFile
from pyiceberg.typedef import EMPTY_DICT, Properties

from embedded.snowflake.answers import CANNOT_READ, Refused
from embedded.snowflake.storage import Place, Storage, buffered


class VolumeFiles(FileIO):
    """Reads files of one volume; `outside` names what a table led to that lies outside of it."""

    def __init__(self, storage: Storage, base: Place, properties: Properties = EMPTY_DICT) -> None:
        super().__init__(properties)
        self._storage, self._base = storage, base

    def new_input(self, location: str) -> _File:
        place = Place.parse(location)
        if not place.within(self._base):
            raise Refused(CANNOT_READ, f"The file {location} is not in a storage location of the external volume.")
        return _File(location, self._storage, place)

    def new_output(self, location: str) -> OutputFile:
        raise NotImplementedError("the box's Snowflake writes no files")

    def delete(self, location: str | InputFile | OutputFile) -> None:
        raise NotImplementedError("the box's Snowflake deletes no files")


class _File(InputFile):
    def __init__(self, location: str, storage: Storage, place: Place) -> None:
        super().__init__(location)
        self._storage, self._place = storage, place

    def __len__(self) -> int:
        return self._storage.open(self._place).size

    def exists(self) -> bool:
        try:
            self._storage.open(self._place)
        except FileNotFoundError:
            return False
        return True

    def open(self, seekable: bool = True) -> Any:
        return buffered(self._storage.open(self._place))
