"""JSON records to Arrow arrays by the kernel: what is plainly as the schema says; other records are handed back. See src/json.h."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from portal.errors import ConversionFailed
from portal.native import csv_kernel
from portal.native.library import library

Form = Literal["leaf", "struct", "list", "raw"]
"""raw: the value's JSON text as it is written."""

_FORMS = {"leaf": 0, "struct": 1, "list": 2, "raw": 3}
_SHAPES = {"lines": 0, "array": 1, "sequence": 2}
STRINGS, NUMBERS, BOOLEANS, NESTED = 1, 2, 4, 8


@dataclass(frozen=True, slots=True)
class Node:
    """A place of the schema. A leaf's `takes` adds up the kinds of JSON values that are read as its type; text leaves keep what is no
    string as it is written."""

    form: Form
    arrow: pa.DataType
    takes: int = 0
    children: tuple[tuple[str, Node], ...] = ()
    """Of a struct; of a list: the element, whose name does not matter."""


@dataclass(slots=True)
class JsonParsed:
    """The records that are plainly what the schema says, and the places of the others."""

    batch: pa.StructArray
    handed: Any
    """numpy, int64, (n, 3): start, end, and the number of rows before it."""
    long_digits: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Leaf, counted in order → start and end of its first number with more than 17 significant digits."""


class _Node(ctypes.Structure):
    _fields_ = [*((name, ctypes.c_int32) for name in ("kind", "a", "b", "c", "form", "takes", "first", "count", "name_length", "reserved")),
                ("name", ctypes.c_char_p)]  # fmt: skip


class _ArrowArray(ctypes.Structure):
    _fields_ = [*((name, ctypes.c_int64) for name in ("length", "null_count", "offset", "n_buffers", "n_children")),
                *((name, ctypes.c_void_p) for name in ("buffers", "children", "dictionary", "release", "private_data"))]  # fmt: skip


class _Result(ctypes.Structure):
    _fields_ = [("rows", ctypes.c_int64), ("n_handed", ctypes.c_int64), ("broken", ctypes.c_int64), ("array", _ArrowArray),
                ("handed", ctypes.POINTER(ctypes.c_int64)), ("long_digits", ctypes.POINTER(ctypes.c_int64))]  # fmt: skip


class _Scan(ctypes.Structure):
    _fields_ = [("array", ctypes.c_int32), ("state", ctypes.c_int32),
                *((name, ctypes.c_int64) for name in ("base", "depth", "open", "first", "end", "records", "broken"))]  # fmt: skip


@cache
def _kernel() -> Any:
    kernel = library()
    if kernel is None:
        raise RuntimeError("there is no kernel: ask portal.native.library first")
    kernel.portal_json_parse.restype = ctypes.POINTER(_Result)
    kernel.portal_json_parse.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32, ctypes.POINTER(_Node), ctypes.c_int32]
    kernel.portal_json_free.argtypes = [ctypes.POINTER(_Result)]
    kernel.portal_json_free.restype = None
    kernel.portal_json_scan.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.POINTER(_Scan)]
    kernel.portal_json_scan.restype = None
    return kernel


class JsonKernel:
    """Reads chunks under one schema; may be used by several threads at once."""

    def __init__(self, columns: Sequence[tuple[str, Node]]) -> None:
        self._type = pa.struct([pa.field(name, node.arrow) for name, node in columns])
        flat, self._leaves = _flat(Node("struct", self._type, children=tuple(columns)))
        self._nodes = (_Node * len(flat))(*flat)

    def parse(self, data: bytes, shape: Literal["lines", "array", "sequence"]) -> JsonParsed:
        """Read the records of UTF-8 text: one a line, or as they stand between the brackets of an array, or one after the other.

        Raises ConversionFailed for 2 GiB or more and for text that is not so; MemoryError."""
        if len(data) > csv_kernel.LARGEST:
            raise ConversionFailed(f"{len(data)} bytes are too many for one piece of JSON.", hint="Records of 2 GiB cannot be read.")
        text = pa.py_buffer(data)
        result = _kernel().portal_json_parse(text.address, text.size, _SHAPES[shape], self._nodes, len(self._nodes))
        if not result:
            raise MemoryError
        try:
            return self._parsed(result.contents)
        finally:
            _kernel().portal_json_free(result)

    def _parsed(self, result: _Result) -> JsonParsed:
        if result.broken >= 0:
            raise ConversionFailed(f"At byte {result.broken} of a piece of JSON stands what separates no records.")
        handed = np.ctypeslib.as_array(result.handed, (result.n_handed, 3)).copy() if result.n_handed else np.zeros((0, 3), np.int64)
        places = np.ctypeslib.as_array(result.long_digits, (len(self._nodes), 2))
        digits = {leaf: (int(places[at, 0]), int(places[at, 1])) for leaf, at in enumerate(self._leaves) if places[at, 0] >= 0}
        return JsonParsed(pa.Array._import_from_c(ctypes.addressof(result.array), self._type), handed, digits)


def _flat(root: Node) -> tuple[list[_Node], list[int]]:
    """Return all nodes, the children of each side by side, and where the leaves are among them, in order of the schema."""
    order: list[tuple[str, Node]] = [("", root)]
    flat: list[_Node] = []
    firsts: list[int] = []
    for name, node in order:  # grows on the way
        kind = csv_kernel.kind_of(node.arrow) if node.form == "leaf" else (0, 0, 0, 0)
        encoded = name.encode()
        flat.append(_Node(*kind, _FORMS[node.form], node.takes, len(order), len(node.children), len(encoded), 0, encoded))
        firsts.append(len(order))
        order.extend(node.children)
    return flat, _leaves(order, firsts, 0)


def _leaves(order: list[tuple[str, Node]], firsts: list[int], at: int) -> list[int]:
    node = order[at][1]
    if not node.children:
        return [at]
    return [leaf for place in range(len(node.children)) for leaf in _leaves(order, firsts, firsts[at] + place)]


class KernelScan:
    """See `portal.tabular.json_format.scanning`: the same scan."""

    def __init__(self, *, array: bool) -> None:
        self._scan = _Scan(array=array, state=0 if array else 2, open=-1)

    def feed(self, block: bytes) -> tuple[int, int, int, int, int, int]:
        """Go over the next block; returns the state and first, end, open, records, broken."""
        text = pa.py_buffer(block)
        _kernel().portal_json_scan(text.address, text.size, ctypes.byref(self._scan))
        scan = self._scan
        return scan.state, scan.first, scan.end, scan.open, scan.records, scan.broken
