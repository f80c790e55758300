"""The names of types, as people write them and schema documents keep them: `parse` and `name_of` are each other's inverse."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from portal.errors import ConversionFailed
from portal.tabular.columns import column_types
from portal.tabular.columns.column_types import ColumnType, Kind, list_of, struct
from portal.tabular.columns.formats import EPOCH, RFC_2822, date_form, timestamp_form

NAMES = (
    "string", "boolean", "int8", "int16", "int32", "int64", "float32", "float64", "decimal(P,S)", "date", "date(FORM)", "timestamp",
    "timestamp(UNIT, FORM)", "timestamp[ZONE]", "json", "struct<NAME: TYPE, …>", "list<TYPE>",
)  # fmt: skip
"""What may stand in `types`. UNIT: ms, us, ns. FORM: DD.MM.YYYY, MM/DD/YYYY 12h, rfc2822, YYYYMMDD, epoch_ms … ZONE: UTC, an offset like
+02:00, or a name like Europe/Berlin."""

_ALIASES = {
    "text": "string", "str": "string", "utf8": "string", "bool": "boolean", "int": "int64", "integer": "int64", "bigint": "int64",
    "double": "float64", "float": "float64", "number": "float64", "datetime": "timestamp", "date32": "date",
}  # fmt: skip
_PLAIN: dict[str, ColumnType] = {
    "string": column_types.TEXT, "json": column_types.JSON_TEXT, "boolean": column_types.BOOLEAN, "float64": column_types.FLOAT,
    "float32": ColumnType("float", pa.float32()), "binary": ColumnType("other", pa.binary()),
    **{str(kind.arrow): kind for kind in column_types.INTEGERS},
    **{str(kind): ColumnType("integer", kind) for kind in (pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())},
    **{f"time({kind.unit})": ColumnType("other", kind) for kind in (pa.time32("ms"), pa.time64("us"), pa.time64("ns"))},
    **{f"duration({unit})": ColumnType("other", pa.duration(unit)) for unit in ("s", "ms", "us", "ns")},
}  # fmt: skip
_PLAIN_NAMES = {(kind.kind, kind.arrow): name for name, kind in _PLAIN.items()}
_DEEPEST = 100
_WORD = re.compile(r"\s*([A-Za-z][A-Za-z0-9_]*)\s*(?:\(([^()]*)\))?\s*(?:\[([^\[\]]*)\])?")
_QUOTED = re.compile(r'\s*"(?:[^"\\]|\\.)*"')
_IDENTIFIER = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)")
_ZONE = re.compile(r"UTC|[+-](?:[01]\d|2[0-3]):[0-5]\d|[A-Za-z]+(?:/[A-Za-z0-9_+-]+)*")


def parse(name: str, column: str) -> ColumnType:
    """Return the type of a name. Raises ConversionFailed, naming the column, when nobody knows it."""
    try:
        reader = _Reader(name)
        kind = reader.type(0)
        reader.expect("")
    except _Unknown as unknown:
        raise ConversionFailed(
            f"Column {column!r} shall have the type {name!r}, which nobody knows{unknown.why}.", hint=f"Types: {', '.join(NAMES)}."
        ) from None
    return kind


def name_of(kind: ColumnType) -> str:
    """Return the name by which `parse` gives the type back."""
    if kind.kind == "struct":
        return f"struct<{', '.join(f'{_field(name)}: {name_of(inner)}' for name, inner in kind.fields)}>"
    if kind.kind == "list" and kind.element:
        return f"list<{name_of(kind.element)}>"
    if kind.kind == "decimal":
        return f"decimal({kind.arrow.precision},{kind.arrow.scale})"
    if kind.kind == "date":
        return f"date({kind.form})" if kind.form else "date"
    return _timestamp_name(kind) if kind.kind == "timestamp" else _other_name(kind.kind, kind.arrow)


def named(kind: Any) -> str:
    """Return the name of an Arrow type for a message: ours where there is one."""
    try:
        return name_of(column_types.of_arrow(kind))
    except ConversionFailed:
        return str(kind)


def _timestamp_name(kind: ColumnType) -> str:
    unit = kind.arrow.unit
    if kind.form in EPOCH:
        return f"timestamp({kind.form})"
    words = ", ".join(filter(None, [unit if unit != "us" else "", kind.form]))
    return f"timestamp{f'({words})' if words else ''}{f'[{kind.arrow.tz}]' if kind.arrow.tz else ''}"


def _other_name(kind: Kind, arrow: Any) -> str:
    if pa.types.is_fixed_size_binary(arrow):
        return f"binary({arrow.byte_width})"
    if pa.types.is_map(arrow):
        key, item = column_types.of_arrow(arrow.key_type), column_types.of_arrow(arrow.item_type)
        return f"map<{name_of(key)}, {name_of(item)}>"
    return _PLAIN_NAMES.get((kind, arrow), str(arrow))


def _field(name: str) -> str:
    return name if (found := _IDENTIFIER.match(name)) and found[1] == name else json.dumps(name, ensure_ascii=False)


class _Unknown(Exception):
    def __init__(self, why: str = "") -> None:
        self.why = f": {why}" if why else ""


class _Reader:
    """Reads one type after another from a text, left to right."""

    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0

    def type(self, depth: int) -> ColumnType:
        if depth > _DEEPEST:
            raise _Unknown(f"it is nested more than {_DEEPEST} deep")
        found = _WORD.match(self._text, self._at)
        if not found:
            raise _Unknown(f"a type is missing at {self._text[self._at :][:20]!r}")
        self._at = found.end()
        word = found[1].lower()
        if word in ("struct", "list", "map") and self._next("<"):
            return self._nested(word, depth)
        return _simple(_ALIASES.get(word, word), found[2], found[3])

    def _nested(self, word: str, depth: int) -> ColumnType:
        kind = {"struct": self._struct, "list": self._list, "map": self._map}[word](depth + 1)
        self.expect(">")
        return kind

    def _list(self, depth: int) -> ColumnType:
        return list_of(self.type(depth))

    def _map(self, depth: int) -> ColumnType:
        key = self.type(depth)
        self.expect(",")
        return ColumnType("other", pa.map_(key.arrow, self.type(depth).arrow))

    def _struct(self, depth: int) -> ColumnType:
        fields: dict[str, ColumnType] = {}
        while not fields or self._next(","):
            name = self._name()
            if name in fields:
                raise _Unknown(f"it has the name {name!r} twice")
            self.expect(":")
            fields[name] = self.type(depth)
        return struct(tuple(fields.items()))

    def _name(self) -> str:
        if found := _QUOTED.match(self._text, self._at):
            self._at = found.end()
            try:
                return str(json.loads(found[0]))
            except ValueError:
                raise _Unknown(f"the name {found[0].strip()} is no JSON string") from None
        if found := _IDENTIFIER.match(self._text, self._at):
            self._at = found.end()
            return found[1]
        raise _Unknown(f"a name is missing at {self._text[self._at :][:20]!r}")

    def _next(self, mark: str) -> bool:
        """Pass over a mark if it is next."""
        rest = self._text[self._at :].lstrip()
        if not rest.startswith(mark):
            return False
        self._at = len(self._text) - len(rest) + len(mark)
        return True

    def expect(self, mark: str) -> None:
        """Pass over a mark; '' is the end of the text."""
        if not self._next(mark) or (not mark and self._text[self._at :].strip()):
            raise _Unknown(f"{mark or 'the end'} is missing before {self._text[self._at :].strip()[:20]!r}")


def _simple(word: str, words: str | None, zone: str | None) -> ColumnType:
    if word == "timestamp":
        return _timestamp([item.strip() for item in (words or "").split(",")], zone)
    if zone is not None:
        raise _Unknown()
    if words is None and word in _PLAIN:
        return _PLAIN[word]
    if words is not None and (simple := _with_words(word, words)):
        return simple
    if word == "date":
        return column_types.date(_form(words or "", date_form))
    raise _Unknown()


def _with_words(word: str, words: str) -> ColumnType | None:
    if (plain := f"{word}({words.strip().lower()})") in _PLAIN:
        return _PLAIN[plain]
    numbers = [int(item) for item in words.split(",") if re.fullmatch(r"\s*\d{1,9}\s*", item, re.ASCII)]
    if word == "decimal" and len(numbers) == 2 and 1 <= numbers[0] <= 76 and numbers[1] <= numbers[0]:
        return column_types.decimal(*numbers)
    if word == "binary" and len(numbers) == 1:
        return ColumnType("other", pa.binary(numbers[0]))
    return None


def _timestamp(words: list[str], zone: str | None) -> ColumnType:
    unit = words.pop(0).lower() if words[0].lower() in ("ms", "us", "ns") else ""
    form = _form(", ".join(filter(None, words)), timestamp_form)
    if form in EPOCH:
        if unit or zone:
            raise _Unknown("an epoch has a unit and is UTC already")
        return column_types.timestamp(EPOCH[form], "UTC", form)
    if zone is not None and not _ZONE.fullmatch(zone := zone.upper() if zone.upper() == "UTC" else zone):
        raise _Unknown(f"{zone!r} is no time zone")
    if zone == "-00:00":
        raise _Unknown("an offset of -00:00 says that the zone is unknown")
    return column_types.timestamp(unit or "us", "UTC" if zone == "+00:00" or (form == RFC_2822 and not zone) else zone, form)


def _form(words: str, known: Callable[[str], str | None]) -> str:
    form = known(words)
    if form is None:
        raise _Unknown(f"{words!r} is no form of it")
    return form
