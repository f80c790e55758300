"""Keys from a template: `{layer}/{source}/{format}/{dataset}/{yyyy}/{mm}/{dd}/{filename}`. A value; asks nobody.

The text is cut at its '/' into parts. A part that only names what is empty for a file (`{folder}` of one that lies in no folder) is left out.
`{{` and `}}` stand for braces.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import cached_property
from string import Formatter
from typing import NamedTuple

from portal.planning.formats import format_of

DEFAULT = "{layer}/{source}/{format}/{dataset}/{yyyy}/{mm}/{dd}/{filename}"

FIELDS: Mapping[str, str] = {
    "layer": "the parameter layer",
    "source": "the parameter source_name",
    "format": "CSV (.tsv too), JSON (.ndjson, .jsonl too) or PARQUET, else the ending in capitals, OTHER without one",
    "dataset": "the parameter dataset; empty: the first folder that the file lies in below the source, else its name without endings",
    "yyyy": "year", "yy": "year, two digits", "mm": "month", "dd": "day", "hh": "hour", "min": "minute", "ss": "second",
    "date": "2026-11-21", "week": "week of ISO 8601: 2026-W47",
    "filename": "name of the file",
    "stem": "the same without its endings",
    "ext": "its endings with their dots, e.g. .csv.gz",
    "folder": "folders that the file lies in below the source, empty when in none",
    "path": "folders and name",
}  # fmt: skip
"""What a template may name, and what it stands for."""

TELLING = ("filename", "stem", "path")
"""Without one of these, all files would have one key."""
_DATES: Mapping[str, str] = {
    "yyyy": "%Y", "yy": "%y", "mm": "%m", "dd": "%d", "hh": "%H", "min": "%M", "ss": "%S", "date": "%Y-%m-%d", "week": "%G-W%V",
}  # fmt: skip
_PACKED = (".gz", ".zst", ".bz2", ".xz", ".zip")
_ENDING_MAX_CHARACTERS = 8


class _Piece(NamedTuple):
    literal: str
    field: str
    """'': none follows the literal."""


def parsed(text: str) -> list[list[_Piece]]:
    """Return the pieces of each part. Raises ValueError, saying what is wrong."""
    if not text or text.startswith("/") or text.endswith("/") or "//" in text:
        raise ValueError("a template neither begins nor ends with '/', and has no '//' in it")
    parts = [_pieces(part) for part in text.split("/")]
    if not any(piece.field in TELLING for part in parts for piece in part):
        raise ValueError(f"one of {', '.join(f'{{{name}}}' for name in TELLING)} must be in a template: without it all files have one key")
    if any(part in (".", "..") for part in text.split("/")):
        raise ValueError("a template has no '.' or '..' between two '/'")
    return parts


def _pieces(part: str) -> list[_Piece]:
    try:
        found = list(Formatter().parse(part))
    except ValueError:
        raise ValueError(f"a brace is not closed, or not opened, in {part!r} (write {{{{ for a brace itself)") from None
    for _, name, form, conversion in found:
        if name is not None and (name not in FIELDS or form or conversion):
            written = f"{{{name}{f'!{conversion}' if conversion else ''}{f':{form}' if form else ''}}}"
            raise ValueError(f"nobody knows {written}. Known: {', '.join(f'{{{each}}}' for each in FIELDS)}")
    return [_Piece(literal, name or "") for literal, name, _, _ in found]


def refuse_folders(value: str) -> str:
    """Return a value that may stand in a key and have folders in it. Raises ValueError."""
    if value and any(part in ("", ".", "..") for part in value.split("/")):
        raise ValueError("it neither begins nor ends with '/', and has no '//', '.' or '..' in it")
    return value


def stem_and_ending(filename: str) -> tuple[str, str]:
    """Part a name: 'sales.2026.csv.gz' is ('sales.2026', '.csv.gz'), '.profile' has no ending. Both together are the name."""
    packed = next((ending for ending in _PACKED if filename.lower().endswith(ending) and len(filename) > len(ending)), "")
    name = filename[: len(filename) - len(packed)]
    stem, dot, ending = name.rpartition(".")
    if not stem.strip(".") or not ending or len(ending) > _ENDING_MAX_CHARACTERS or not ending.isalnum():
        return name, filename[len(name) :]
    return stem, dot + filename[len(stem) + 1 :]


def format_name(filename: str) -> str:
    """Return what a file is, as a folder of a lake is called: CSV, JSON, PARQUET, or its ending."""
    known = format_of(filename)
    if known != "other":
        return known.upper()
    ending = stem_and_ending(filename)[1]
    return ending.split(".")[1].upper() if ending else "OTHER"


@dataclass(frozen=True)
class Template:
    """Makes keys. `text` must be one that `parsed` takes."""

    text: str
    moment: datetime
    """That date parts are of, in their zone."""
    layer: str = "Raw"
    source: str = "Local"
    dataset: str = ""
    of_file: bool = False
    """Date parts are of each file's own time instead."""

    def key(self, name: str, modified: str) -> str:
        """Return the key of a file.

        Arguments:
            name: its path below the source, with '/'
            modified: its time, RFC 3339; '' unknown
        """
        folder, _, filename = name.rpartition("/")
        made = {field: self._value(field, name, folder, filename) for field in self._fields}
        made |= _dates(datetime.fromisoformat(modified), self._zone) if self.of_file and modified else self._dates
        parts = ["".join(piece.literal + made.get(piece.field, "") for piece in part) for part in self._parts]
        return "/".join(part for part in parts if part)

    __call__ = key

    def _value(self, field: str, name: str, folder: str, filename: str) -> str:
        return _VALUES[field](self, name, folder, filename)

    def data_set(self, folder: str, filename: str) -> str:
        return self.dataset or (folder.partition("/")[0] if folder else stem_and_ending(filename)[0])

    @cached_property
    def _parts(self) -> list[list[_Piece]]:
        return parsed(self.text)

    @cached_property
    def _fields(self) -> list[str]:
        return [name for name in dict.fromkeys(piece.field for part in self._parts for piece in part) if name in _VALUES]

    @cached_property
    def _dates(self) -> dict[str, str]:
        return _dates(self.moment, self._zone)

    @property
    def _zone(self) -> tzinfo | None:
        return self.moment.tzinfo


def _dates(moment: datetime, zone: tzinfo | None) -> dict[str, str]:
    local = moment.astimezone(zone)
    return {name: local.strftime(form) for name, form in _DATES.items()}


_VALUES: Mapping[str, Callable[[Template, str, str, str], str]] = {
    "layer": lambda template, name, folder, filename: template.layer,
    "source": lambda template, name, folder, filename: template.source,
    "format": lambda template, name, folder, filename: format_name(filename),
    "dataset": lambda template, name, folder, filename: template.data_set(folder, filename),
    "filename": lambda template, name, folder, filename: filename,
    "stem": lambda template, name, folder, filename: stem_and_ending(filename)[0],
    "ext": lambda template, name, folder, filename: stem_and_ending(filename)[1],
    "folder": lambda template, name, folder, filename: folder,
    "path": lambda template, name, folder, filename: name,
}
