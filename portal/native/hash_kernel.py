"""Hashes of values by the kernel; see src/hashing.h and `portal.tabular.proving.hashing`, which tells what they are and does without it too."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

import numpy as np
import numpy.typing as npt

from portal.native.library import library

Hashes = npt.NDArray[np.uint64]


class HashKernel:
    """The kernel's functions over numpy arrays. All inputs are contiguous."""

    def __init__(self, kernel: ctypes.CDLL) -> None:
        pointer, number = ctypes.c_void_p, ctypes.c_int64
        signatures = {
            "fixed": (pointer, number, number, pointer), "texts": (pointer, pointer, number, pointer), "lists": (pointer, pointer, number, pointer),
            "add": (pointer, pointer, ctypes.c_uint64, number), "mix": (pointer, number), "sums": (pointer, number, pointer),
        }  # fmt: skip
        self._call = {}
        for name, types in signatures.items():
            function = getattr(kernel, f"portal_hash_{name}")
            function.argtypes, function.restype = types, None
            self._call[name] = function

    def fixed(self, data: npt.NDArray[np.uint8], width: int, count: int) -> Hashes:
        """`data`: `width` bytes of each of `count` values."""
        found = np.empty(count, np.uint64)
        self._call["fixed"](data.ctypes.data, width, count, found.ctypes.data)
        return found

    def texts(self, data: npt.NDArray[np.uint8], ends: npt.NDArray[np.int32]) -> Hashes:
        found = np.empty(len(ends) - 1, np.uint64)
        self._call["texts"](data.ctypes.data, ends.ctypes.data, len(found), found.ctypes.data)
        return found

    def lists(self, items: Hashes, sizes: npt.NDArray[np.int32]) -> Hashes:
        found = np.empty(len(sizes), np.uint64)
        self._call["lists"](items.ctypes.data, sizes.ctypes.data, len(sizes), found.ctypes.data)
        return found

    def joined(self, columns: list[Hashes], rows: int) -> Hashes:
        sums = np.zeros(rows, np.uint64)
        for place, words in enumerate(columns):
            self._call["add"](sums.ctypes.data, words.ctypes.data, place, rows)
        self._call["mix"](sums.ctypes.data, rows)
        return sums

    def sums(self, words: Hashes) -> tuple[int, int]:
        found = np.zeros(2, np.uint64)
        self._call["sums"](words.ctypes.data, len(words), found.ctypes.data)
        return int(found[0]), int(found[1])


@cache
def hash_kernel() -> HashKernel | None:
    """Return the kernel, None when it is not there; its words are little-endian."""
    kernel = library()
    return HashKernel(kernel) if kernel is not None and sys.byteorder == "little" else None
