"""Kinds of random columns: what `NAME:KIND[:ARGUMENT][:nulls=PERCENT]` means, and how a chunk of each is made. No loop over values."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from portal.errors import BadParameters

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_NULLS = re.compile(r"nulls=(\d+(?:\.\d+)?)%?")
_RANGE = re.compile(r"(-?\d+(?:\.\d+)?)\.\.(-?\d+(?:\.\d+)?)")
_LONGEST_TEXT = 10_000
_MOST_DIGITS, _MOST_PLACES = 18, 6
_DAY_US = 86_400_000_000
_MOMENT = pa.timestamp("us", tz="UTC")
AWKWARD = ("", " ", 'say "no"', "a,b;c\td", "two\nlines", "back\\slash", "Zoë Müller", "日本語", "🚀", "=1+1", "NULL", "007", "1e5", "'quoted'")
"""Texts that careless readers and writers of tables get wrong."""


class Chunk(NamedTuple):
    """Which rows are made: `height` from number `first` on, of `rows` in all, over the period from `start` to before `end`."""

    first: int
    height: int
    rows: int
    start: date
    end: date


Make = Callable[[Any, Chunk], Any]
"""Makes the values of a chunk with a random generator (numpy's), as an Arrow array without nulls."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column: `width` is about the bytes that a value takes in memory, `nulls` the share of empty values, 0 to 1."""

    name: str
    type: Any
    make: Make
    width: int = 8
    nulls: float = 0.0

    def values(self, random: Any, chunk: Chunk) -> Any:
        made = self.make(random, chunk)
        return pc.if_else(pa.array(random.random(chunk.height) >= self.nulls), made, None) if self.nulls else made


def column(text: str) -> Column:
    """Read the description of one column. Raises BadParameters, which says what the kind takes."""
    name, _, rest = text.partition(":")
    kind, _, rest = rest.partition(":")
    argument, nulls = _without_nulls(rest)
    if not _NAME.fullmatch(name):
        raise BadParameters(f"{text!r} names no column.", hint="Write NAME:KIND, the name of letters, digits and '_', e.g. amount:decimal:10,2.")
    if kind not in _KINDS:
        raise BadParameters(f"The column {name!r} has no kind that is known: {kind!r}.", hint=f"Kinds: {HELP}.")
    try:
        made_type, make, width = _KINDS[kind][1](argument)
    except ValueError as error:
        why = f": {error}" if str(error) else ""
        raise BadParameters(f"The column {text!r} cannot be made{why}.", hint=f"It is written {name}:{_KINDS[kind][0]}.") from None
    if nulls >= 1:
        raise BadParameters(f"The column {text!r} would hold nothing.", hint="nulls= is a percentage below 100.")
    return Column(name, made_type, make, width, nulls)


def _without_nulls(rest: str) -> tuple[str, float]:
    before, colon, last = rest.rpartition(":")
    found = _NULLS.fullmatch(last)
    return (before, float(found[1]) / 100) if found else (before + colon + last, 0.0)


Read = tuple[Any, Make, int]


def _index(argument: str) -> Read:
    _nothing(argument)
    return _MOMENT, moments, 8


def moments(_: Any, chunk: Chunk) -> Any:
    """Return moments that are evenly spread over the period, the chunk's part of all rows."""
    start, end = _period_us(chunk)
    step, rest = divmod(end - start, chunk.rows)
    place = np.arange(chunk.first, chunk.first + chunk.height, dtype=np.int64)
    return pa.array(start + place * step + place * rest // chunk.rows, pa.int64()).cast(_MOMENT)


def _period_us(chunk: Chunk) -> tuple[int, int]:
    first = date(1970, 1, 1)
    return (chunk.start - first).days * _DAY_US, (chunk.end - first).days * _DAY_US


def _serial(argument: str) -> Read:
    begins = _whole(argument or "1")
    return pa.int64(), lambda _, chunk: pa.array(np.arange(begins + chunk.first, begins + chunk.first + chunk.height, dtype=np.int64)), 8


def _integer(argument: str) -> Read:
    low, high = (_whole(part) for part in _range(argument or "0..1000000"))
    return pa.int64(), lambda random, chunk: pa.array(random.integers(low, high, chunk.height, dtype=np.int64, endpoint=True)), 8


def _float(argument: str) -> Read:
    if not argument:
        return pa.float64(), lambda random, chunk: pa.array(random.standard_normal(chunk.height)), 8
    low, high = (float(part) for part in _range(argument))
    return pa.float64(), lambda random, chunk: pa.array(low + (high - low) * random.random(chunk.height)), 8


def _decimal(argument: str) -> Read:
    digits, _, places = (argument or "10,2").partition(",")
    precision, scale = _whole(digits), _whole(places or "0")
    if not (1 <= precision <= _MOST_DIGITS and 0 <= scale <= min(precision, _MOST_PLACES)):
        raise ValueError(f"at most {_MOST_DIGITS} digits, {_MOST_PLACES} of them after the point")
    made_type, most = pa.decimal128(precision, scale), 10**precision - 1

    def make(random: Any, chunk: Chunk) -> Any:
        values = random.integers(-most, most, chunk.height, dtype=np.int64, endpoint=True)
        halves = np.stack([values, values >> 63], axis=1)  # 128 bits, the sign carried on
        return pa.Array.from_buffers(made_type, chunk.height, [None, pa.py_buffer(np.ascontiguousarray(halves))])

    return made_type, make, 16


def _boolean(argument: str) -> Read:
    share = float(argument or "0.5")
    if not 0 <= share <= 1:
        raise ValueError("the share of true values is from 0 to 1")
    return pa.bool_(), lambda random, chunk: pa.array(random.random(chunk.height) < share), 1


def _date(argument: str) -> Read:
    _nothing(argument)

    def make(random: Any, chunk: Chunk) -> Any:
        start, end = (moment // _DAY_US for moment in _period_us(chunk))
        return pa.array(random.integers(start, end, chunk.height, dtype=np.int32)).cast(pa.date32())

    return pa.date32(), make, 4


def _timestamp(argument: str) -> Read:
    _nothing(argument)
    return _MOMENT, lambda random, chunk: pa.array(random.integers(*_period_us(chunk), chunk.height, dtype=np.int64)).cast(_MOMENT), 8


def _text(argument: str) -> Read:
    shortest, longest = (_whole(part) for part in _range(argument or "5..20"))
    if not 0 <= shortest <= longest <= _LONGEST_TEXT:
        raise ValueError(f"lengths are from 0 to {_LONGEST_TEXT:,}")

    def make(random: Any, chunk: Chunk) -> Any:
        ends = np.cumsum(random.integers(shortest, longest, chunk.height, dtype=np.int32, endpoint=True), dtype=np.int32)
        letters = random.integers(97, 122, int(ends[-1]), dtype=np.uint8, endpoint=True)
        return _strings(np.concatenate([np.zeros(1, np.int32), ends]), letters)

    return pa.string(), make, longest + 4


def _strings(offsets: Any, data: Any) -> Any:
    return pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(data)))


def _uuid(argument: str) -> Read:
    """Version 4 (RFC 9562)."""
    _nothing(argument)
    digits = np.frombuffer(b"0123456789abcdef", np.uint8)
    places = np.array([place for place in range(36) if place not in (8, 13, 18, 23)])

    def make(random: Any, chunk: Chunk) -> Any:
        nibbles = random.integers(0, 16, (chunk.height, 32), dtype=np.uint8)
        nibbles[:, 12] = 4
        nibbles[:, 16] = nibbles[:, 16] & 3 | 8
        text = np.full((chunk.height, 36), ord("-"), np.uint8)
        text[:, places] = digits[nibbles]
        return _strings(np.arange(0, 36 * chunk.height + 1, 36, dtype=np.int32), text)

    return pa.string(), make, 110


def _choice(argument: str) -> Read:
    if not argument:
        raise ValueError("it needs the values to choose from")
    if not argument.isprintable():
        raise ValueError("the values are of printable characters")
    return _one_of(argument.split(","))


def _awkward(argument: str) -> Read:
    _nothing(argument)
    return _one_of(AWKWARD)


def _one_of(texts: Any) -> Read:
    values = pa.array(list(texts), pa.string())
    longest = max(len(text.encode()) for text in texts)
    return pa.string(), lambda random, chunk: values.take(pa.array(random.integers(0, len(values), chunk.height))), longest + 4


def _nothing(argument: str) -> None:
    if argument:
        raise ValueError("it takes nothing more")


def _whole(text: str) -> int:
    value = int(text)
    if abs(value) >= 1 << 62:
        raise ValueError("numbers are below 2^62")
    return value


def _range(text: str) -> tuple[str, str]:
    found = _RANGE.fullmatch(text)
    if not found or float(found[1]) > float(found[2]):
        raise ValueError("a range is LOW..HIGH")
    return found[1], found[2]


_KINDS: Mapping[str, tuple[str, Callable[[str], Read]]] = {
    "index": ("index", _index), "serial": ("serial[:FIRST]", _serial), "integer": ("integer[:LOW..HIGH]", _integer),
    "float": ("float[:LOW..HIGH]", _float), "decimal": ("decimal[:DIGITS,PLACES]", _decimal), "boolean": ("boolean[:SHARE]", _boolean),
    "date": ("date", _date), "timestamp": ("timestamp", _timestamp), "text": ("text[:SHORTEST..LONGEST]", _text),
    "choice": ("choice:A,B,C", _choice), "uuid": ("uuid", _uuid), "awkward": ("awkward", _awkward),
}  # fmt: skip
HELP = ", ".join(form for form, _ in _KINDS.values())
