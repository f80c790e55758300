"""What the tests of JSON share: values of any nesting and texts of them in random layouts, made by hypothesis."""

from __future__ import annotations

import json
from collections.abc import Sequence
from io import BytesIO
from typing import Any

from hypothesis import strategies as st

from portal.tabular.json_format.counting import counter_of
from portal.tabular.json_format.reader import JsonReader
from portal.tabular.options import ConvertOptions
from portal.tabular.rows import Chunk, Parsed
from portal.tabular.text.sampling import Sample

SPACES = st.text(" \t\r\n", max_size=3)
NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.integers(-200, 200).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.decimals(allow_nan=False, allow_infinity=False, places=3).map(lambda number: f"{number:f}"),
    st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.sampled_from(["-0", "-0.0", "0", "1e400", "1e-400", "NaN", "Infinity", "-Infinity", "9007199254740993", "123456789012345678901234567890"]),
)
MOMENTS = st.one_of(
    st.dates().map(str), st.datetimes().map(lambda moment: moment.isoformat()),
    st.datetimes().map(lambda moment: f"{moment:%Y-%m-%d %H:%M:%S}Z"),
    st.sampled_from(["2024-02-30", "0000-01-01", "2024-01-01T24:00", "2024-01-01T00:00:00.1234567", "2024-01-01T00:00+02:00", "", "2024-01-01"]),
)  # fmt: skip
NAMES = st.sampled_from(["a", "b", "c", "ä", 'q"', "long name"])


@st.composite
def strings(draw: Any, texts: Any = None) -> str:
    """A JSON string, its characters escaped here and there."""
    value = draw(st.text(max_size=6) if texts is None else texts)
    out = []
    for character in value:
        code = json.dumps(character, ensure_ascii=draw(st.integers(0, 4)) == 0)[1:-1]
        out.append("\\/" if character == "/" and draw(st.booleans()) else code)
    return f'"{"".join(out)}"'


def values(depth: int = 2) -> Any:
    """Texts of JSON values."""
    plain = st.one_of(NUMBERS, strings(), strings(MOMENTS), st.sampled_from(["true", "false", "null", "null"]))
    if not depth:
        return plain
    return st.one_of(plain, arrays(values(depth - 1)), objects(values(depth - 1)))


@st.composite
def arrays(draw: Any, inner: Any) -> str:
    items = draw(st.lists(inner, max_size=3))
    return f"[{draw(SPACES)}{f'{draw(SPACES)},{draw(SPACES)}'.join(items)}{draw(SPACES)}]"


@st.composite
def objects(draw: Any, inner: Any, names: Any = NAMES) -> str:
    """An object; now and then a name stands there twice."""
    chosen = draw(st.lists(names, max_size=4, unique=draw(st.integers(0, 9)) > 0))
    members = [f"{draw(strings(st.just(name)))}{draw(SPACES)}:{draw(SPACES)}{draw(inner)}" for name in chosen]
    return f"{{{draw(SPACES)}{f'{draw(SPACES)},{draw(SPACES)}'.join(members)}{draw(SPACES)}}}"


def columnar(texts: Any) -> Any:
    """Objects whose values are mostly of one kind for a name, so that types are found for them."""
    kinds = {"a": NUMBERS, "b": strings(MOMENTS), "c": st.integers(-9, 9).map(str), "ä": strings(), 'q"': arrays(NUMBERS), "long name": texts}

    @st.composite
    def record(draw: Any) -> str:
        members = []
        for name in draw(st.lists(st.sampled_from(list(kinds)), max_size=6, unique=True)):
            value = draw(st.one_of(kinds[name], kinds[name], st.just("null"), values(1)) if draw(st.integers(0, 5)) == 0 else kinds[name])
            members.append(f"{draw(SPACES)}{json.dumps(name)}:{draw(SPACES)}{value}")
        return f"{{{','.join(members)}}}"

    return record()


@st.composite
def layouts(draw: Any, records: Sequence[str]) -> tuple[str, str]:
    """A text of records and how they stand in it."""
    kind = draw(st.sampled_from(["lines", "array", "sequence"]))
    if kind == "lines":
        ends = st.sampled_from(["\n", "\r\n", "\n\n", " \n \t\n"])
        text = "".join(record.replace("\n", " ").replace("\r", " ") + draw(ends) for record in records)
        return draw(st.sampled_from([text, text.rstrip()])), kind
    if kind == "sequence":
        return "".join(draw(SPACES) + record for record in records) + draw(SPACES), kind
    return f"{draw(SPACES)}[{','.join(draw(SPACES) + record + draw(SPACES) for record in records)}]{draw(SPACES)}", kind


class Read:
    """A text that was read as a conversion reads it."""

    def __init__(self, text: str | bytes, *, look: str | bytes | None = None, **options: Any) -> None:
        data = text.encode() if isinstance(text, str) else text
        seen = data if look is None else look.encode() if isinstance(look, str) else look
        settings = ConvertOptions(**options)
        self.reader = JsonReader.detect([Sample(data, 0, True, True)], settings)
        for chunk in self.reader.sampled([Sample(seen, 0, True, True)]):
            self.reader.look(chunk)
        self.schema = self.reader.schema()
        parser = self.reader.parser(self.schema)
        self.parsed = [parser(chunk) for chunk in self.reader.chunks(BytesIO(data))]
        counter = counter_of(self.reader.facts["records"])
        counter.update(data)
        self.counted = counter.finish()

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [row for one in self.parsed for row in one.batch.to_pylist()]

    @property
    def misfits(self) -> list[Any]:
        return [misfit for one in self.parsed for misfit in one.misfits]

    @property
    def records(self) -> int:
        return sum(one.records for one in self.parsed)

    @property
    def types(self) -> dict[str, str]:
        return {item.name: str(item.type) for item in self.schema.arrow}

    def note(self, column: str) -> str:
        return next(item.note for item in self.schema.columns if item.name == column)


def chunk_of(text: str) -> Chunk:
    return Chunk(0, text.encode(), 0, 1)


def same(one: Parsed, other: Parsed) -> bool:
    """Tell whether two readings of a chunk say the same of every record."""
    return (one.records, one.misfits, one.batch.schema, repr(one.batch.to_pylist())) == (
        other.records, other.misfits, other.batch.schema, repr(other.batch.to_pylist()),
    )  # fmt: skip
