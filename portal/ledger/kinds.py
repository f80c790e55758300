"""What the rows of a ledger are told apart by, and which of them are meant: values, and sums over columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

TEXTS = ("source_key", "target_key", "reason")
"""The columns that a text is looked for in."""


class Kind(NamedTuple):
    """What objects are told apart by; '' where the ledger says nothing, as those of earlier versions do of cause and mode."""

    outcome: str = ""
    proof: str = ""
    cause: str = ""
    mode: str = ""


class Sums(NamedTuple):
    """Sums over objects, sizes in bytes. `first` is the number of the first such row in the ledger, -1 without one."""

    objects: int = 0
    source_size: int = 0
    bytes_through: int = 0
    resumed_bytes: int = 0
    first: int = -1

    def plus(self, other: Sums) -> Sums:
        first = min((number for number in (self.first, other.first) if number >= 0), default=-1)
        return Sums(*(one + two for one, two in zip(self[:4], other[:4], strict=True)))._replace(first=first)


Kinds = Mapping[Kind, Sums]
SIZES = Sums._fields[1:4]


@dataclass(frozen=True)
class Chosen:
    """Which rows are meant. An empty field lets everything pass; `text` is a part of a name or of a reason, in whatever case."""

    outcome: tuple[str, ...] = ()
    proof: tuple[str, ...] = ()
    cause: tuple[str, ...] = ()
    mode: tuple[str, ...] = ()
    text: str = ""

    def takes(self, kind: Kind) -> bool:
        wanted = (self.outcome, self.proof, self.cause, self.mode)
        return all(not values or value in values for values, value in zip(wanted, kind, strict=True))


ALL = Chosen()


def merged(parts: Iterable[Kinds]) -> Kinds:
    """Add sums up, kind by kind."""
    sums: dict[Kind, Sums] = {}
    for part in parts:
        for kind, found in part.items():
            sums[kind] = sums[kind].plus(found) if kind in sums else found
    return sums


def sums_of(rows: pa.Table, start: int, mask: pa.ChunkedArray | None = None) -> Kinds:
    """Sum rows by kind; `start` is the number of the first."""
    here = np.arange(rows.num_rows) if mask is None else np.flatnonzero(mask)
    codes, names = np.zeros(len(here), np.int64), []
    for name in Kind._fields:
        values, places = _coded(rows, name)
        codes = codes * len(values) + places[here]
        names.append(values)
    numbers = [np.ones(len(here), np.int64), *(_numbers(rows, name)[here] for name in SIZES)]
    found = []
    for code, place in zip(*(part.tolist() for part in np.unique(codes, return_index=True)), strict=True):
        sums = Sums(*(int(column[codes == code].sum()) for column in numbers))
        found.append({_decoded(code, names): sums._replace(first=start + int(here[place]))})
    return merged(found)


def _coded(rows: pa.Table, name: str) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Return a column as its distinct values, '' first, and the place of each row's value among them."""
    if name not in rows.column_names:
        return [""], np.zeros(rows.num_rows, np.int64)
    column = rows[name].combine_chunks()
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    places = pc.add(pc.fill_null(pc.cast(column.indices, pa.int64()), -1), 1)
    return ["", *(value or "" for value in column.dictionary.to_pylist())], places.to_numpy()


def _numbers(rows: pa.Table, name: str) -> npt.NDArray[np.int64]:
    if name not in rows.column_names:
        return np.zeros(rows.num_rows, np.int64)
    return np.asarray(pc.fill_null(rows[name], 0).to_numpy(), np.int64)


def _decoded(code: int, names: list[list[str]]) -> Kind:
    values = []
    for known in reversed(names):
        code, place = divmod(code, len(known))
        values.append(known[place])
    return Kind(*reversed(values))


def filtered(rows: pa.Table, chosen: Chosen) -> pa.Table:
    """Return the rows that fit."""
    mask = mask_of(rows, chosen)
    return rows if mask is None else rows.filter(mask)


def mask_of(rows: pa.Table, chosen: Chosen) -> pa.ChunkedArray | None:
    """Return which rows fit; None when all do."""
    conditions = [_among(rows, name, getattr(chosen, name)) for name in Kind._fields if getattr(chosen, name)]
    if chosen.text:
        found = [pc.match_substring(rows[name], chosen.text, ignore_case=True) for name in TEXTS if name in rows.column_names]
        conditions.append(_all_of(pc.or_kleene, [pc.fill_null(part, False) for part in found]))
    return _all_of(pc.and_, conditions) if conditions else None


def _among(rows: pa.Table, name: str, values: tuple[str, ...]) -> Any:
    if name not in rows.column_names:
        return pa.chunked_array([pa.repeat("" in values, rows.num_rows)])
    return pc.is_in(pc.fill_null(rows[name].cast(pa.string()), ""), value_set=pa.array(values, pa.string()))


def _all_of(join: Any, conditions: list[Any]) -> Any:
    made = conditions[0]
    for condition in conditions[1:]:
        made = join(made, condition)
    return made
