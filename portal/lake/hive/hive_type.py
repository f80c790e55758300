"""Hive's types as values, read from and written to the text that a metastore holds: `map<string,array<decimal(18,4)>>`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn, Self

PRIMITIVES = (
    "tinyint", "smallint", "int", "bigint", "boolean", "float", "double", "string", "binary", "date", "timestamp",
    "timestamp with local time zone", "interval_year_month", "interval_day_time", "void",
)  # fmt: skip
"""The types without anything in brackets, as Hive's metastore spells them."""

_OTHERWISE = {"integer": "int", "timestamplocaltz": "timestamp with local time zone", "long": "bigint", "null": "void"}
_SIZED = {"decimal": (2, (10, 0)), "char": (1, None), "varchar": (1, None)}
"""Types with numbers in round brackets: how many, and what stands for them where they are left out."""
_MAX_PRECISION, _MAX_CHAR, _MAX_VARCHAR = 38, 255, 65535
_MAX_DEPTH = 100

_SPACE = re.compile(r"\s*")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LOCAL = re.compile(r"(?i)\s+with\s+local\s+time\s+zone")
_NUMBERS = re.compile(r"\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)")
_FIELD = re.compile(r"`((?:[^`]|``)*)`|([^:<>,`]+)")
_COMMENT = re.compile(r"(?i)comment\s+(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")")
_PLAIN_FIELD = re.compile(r"[^:<>,`\s](?:[^:<>,`]*[^:<>,`\s])?")


@dataclass(frozen=True, slots=True)
class HiveType:
    """A type: a primitive, decimal, char or varchar with its `numbers`, or array, map, struct or uniontype of its `children`."""

    name: str
    numbers: tuple[int, ...] = ()
    children: tuple[HiveType, ...] = ()
    fields: tuple[str, ...] = ()
    """Of a struct: the names of its children."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError, saying where the text stops being a type."""
        reader = _Reader(text)
        found = reader.type()
        reader.end()
        return cls(found.name, found.numbers, found.children, found.fields)

    def __str__(self) -> str:
        """The text of it that a metastore would hold."""
        if self.name == "struct":
            inside = ",".join(f"{_quoted(field)}:{child}" for field, child in zip(self.fields, self.children, strict=True))
            return f"struct<{inside}>"
        if self.children:
            return f"{self.name}<{','.join(map(str, self.children))}>"
        return f"{self.name}({','.join(map(str, self.numbers))})" if self.numbers else self.name


def _quoted(field: str) -> str:
    return field if _PLAIN_FIELD.fullmatch(field) else "`" + field.replace("`", "``") + "`"


class _Reader:
    """Reads a type from the left; recursion is as deep as the type, and no deeper than a hundred."""

    def __init__(self, text: str) -> None:
        self.text, self.place, self.depth = text, 0, 0

    def type(self) -> HiveType:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise ValueError(f"a type inside of {_MAX_DEPTH} others: {self.text[:100]!r}…")
        found = self._type()
        self.depth -= 1
        return found

    def _type(self) -> HiveType:
        word = (self.take(_WORD) or self.refuse("a type"))[0].lower()
        name = _OTHERWISE.get(word, word)
        if name in _SIZED:
            return self.sized(name)
        if name == "timestamp" and (found := _LOCAL.match(self.text, self.place)):
            self.place = found.end()
            return HiveType("timestamp with local time zone")
        if name in PRIMITIVES:
            return HiveType(name)
        if name in ("array", "map", "uniontype"):
            return self.nested(name)
        if name == "struct":
            return self.struct()
        self.refuse("a type of Hive's", back=len(word))

    def sized(self, name: str) -> HiveType:
        count, default = _SIZED[name]
        found = self.take(_NUMBERS)
        given = tuple(int(number) for number in found.groups() if number) if found else default
        if given is None or len(given) > count:
            self.refuse(f"the length of {name}")
        numbers = (given[0], 0) if count == 2 and len(given) == 1 else given
        if not _fits(name, numbers):
            self.refuse(f"a size that {name} can have", back=len(found[0]) if found else 0)
        return HiveType(name, numbers)

    def nested(self, name: str) -> HiveType:
        self.expect("<")
        children = [self.type()]
        while self.skip(","):
            children.append(self.type())
        self.expect(">")
        wanted = {"array": 1, "map": 2}.get(name, len(children))
        if len(children) != wanted:
            self.refuse(f"{wanted} types in {name}")
        return HiveType(name, (), tuple(children))

    def struct(self) -> HiveType:
        self.expect("<")
        names: list[str] = []
        children: list[HiveType] = []
        while not names or self.skip(","):
            names.append(self.field())
            self.expect(":")
            children.append(self.type())
            self.take(_COMMENT)
        self.expect(">")
        return HiveType("struct", (), tuple(children), tuple(names))

    def field(self) -> str:
        found = self.take(_FIELD)
        if not found or not (name := found[1].replace("``", "`") if found[1] is not None else found[2].strip()):
            self.refuse("the name of a field")
        return name

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        place = self._after_space()
        found = pattern.match(self.text, place)
        if found:
            self.place = found.end()
        return found

    def skip(self, mark: str) -> bool:
        place = self._after_space()
        if there := self.text.startswith(mark, place):
            self.place = place + 1
        return there

    def expect(self, mark: str) -> None:
        if not self.skip(mark):
            self.refuse(repr(mark))

    def end(self) -> None:
        if self._after_space() < len(self.text):
            self.refuse("the end")

    def refuse(self, wanted: str, back: int = 0) -> NoReturn:
        rest = self.text[self.place - back :]
        raise ValueError(f"{self.text!r} is not a type of Hive: expected {wanted} at {rest[:40]!r}.")

    def _after_space(self) -> int:
        found = _SPACE.match(self.text, self.place)
        return found.end() if found else self.place


def _fits(name: str, numbers: tuple[int, ...]) -> bool:
    if name == "decimal":
        return 1 <= numbers[0] <= _MAX_PRECISION and 0 <= numbers[1] <= numbers[0]
    return 1 <= numbers[0] <= (_MAX_CHAR if name == "char" else _MAX_VARCHAR)
