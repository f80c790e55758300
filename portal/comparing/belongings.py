"""What a conversion puts beside its results: the schema of a file (`_NAME.schema.json`), and the parts of a folder that `_SUCCESS` stands for.

Such objects have no source of their own. In the order of their joined names they come right behind the result that they belong to.
"""

from __future__ import annotations

from typing import Literal

from portal.tabular.options import DATA_SET_MARK

Converted = Literal["none", "parquet", "folders"]
"""What conversions made of a file: nothing, a file, or a folder of files."""
_MARK = f"/{DATA_SET_MARK}"
_BEGIN, _END = "_", ".schema.json"


def joined_name(key: str, converted: Converted) -> str:
    """Return the name by which an object of either side is put beside the other's: its key, but for the schema of a file, and the mark of a
    folder, which is called like the folder."""
    if converted == "folders" and key.endswith(_MARK):
        return key.removesuffix(DATA_SET_MARK)
    if converted == "parquet" and key.endswith(_END):
        folder, slash, name = key.rpartition("/")
        if name.startswith(_BEGIN):
            return f"{folder}{slash}{name[len(_BEGIN) : -len(_END)]}\0"
    return key


def is_folder_of_parts(key: str) -> bool:
    """Tell whether the target of a conversion is a folder, by the key that its plan has."""
    return key.endswith(_MARK)


class Belongings:
    """Tells of names, which come in order, whether they belong to a result of a conversion."""

    def __init__(self) -> None:
        self._file = ""
        self._folders: list[str] = []

    def paired(self, name: str) -> None:
        """The result of a conversion has this joined name."""
        if name.endswith("/"):
            self._folders.append(name)
        else:
            self._file = name

    def have(self, name: str) -> bool:
        while self._folders and not name.startswith(self._folders[-1]):
            self._folders.pop()
        return bool(self._folders) or (bool(self._file) and name == f"{self._file}\0")
