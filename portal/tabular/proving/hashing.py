"""A 64-bit hash of each value, by which tables are compared whatever the order of their rows: the same numbers with and without the native library.

Every value is a row of 64-bit words w[0], w[1] …: h = mix(sum of mix(w[j] + (j + 1) G) + n N), all modulo 2^64, with n the number of bytes or
elements (0 for values of fixed width). Words are the value's bytes in little-endian order filled up with zeros, the hashes of a list's
elements, or those of a struct's or row's members. `mix` is the finalizer of SplitMix64 (Steele, Lea and Flood, 2014,
https://doi.org/10.1145/2714064.2660195).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from portal.native.hash_kernel import hash_kernel
from portal.tabular.proving.values import fixed, is_text, lengths, plain, text_bytes, width_of

Hashes = npt.NDArray[np.uint64]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
AGAIN = np.uint64(0xA0761D6478BD642F)
LENGTH = np.uint64(0xD6E8FEB86659FD93)
NULL = np.uint64(0x2545F4914F6CDD1D)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_MASKS = np.array([(1 << (8 * size)) - 1 for size in range(9)], np.uint64)
"""Keep so many bytes of a word."""
_WORDS_AT_ONCE = 1 << 20


def mix(words: Hashes) -> Hashes:
    words = (words ^ (words >> np.uint64(30))) * _FIRST
    words = (words ^ (words >> np.uint64(27))) * _SECOND
    return words ^ (words >> np.uint64(31))


def hashes(values: Any) -> Hashes:
    """Return the hash of each value of an Arrow array of any type."""
    values = plain(values)
    kind = values.type
    if pa.types.is_struct(kind):
        found = members(values.flatten(), len(values))
    elif pa.types.is_list(kind):
        found = _elements(hashes(values.flatten()), fixed(lengths(values)))
    elif is_text(kind):
        found = _texts(*text_bytes(values))
    else:
        found = _fixed(fixed(values), width_of(kind), len(values))
    if values.null_count:
        found[np.asarray(values.is_null().to_numpy(zero_copy_only=False))] = NULL
    return found


def members(columns: list[Any], rows: int) -> Hashes:
    """Return a hash of each row of some columns."""
    return joined([hashes(column) for column in columns], rows)


def joined(columns: list[Hashes], rows: int) -> Hashes:
    """Return a hash of each row by those of its values."""
    if kernel := hash_kernel():
        return kernel.joined(columns, rows)
    sums = np.zeros(rows, np.uint64)
    for place, words in enumerate(columns):
        sums += mix(words + _step(place))
    return mix(sums)


def _step(place: int) -> np.uint64:
    return np.uint64((place + 1) * int(GOLDEN) & 0xFFFF_FFFF_FFFF_FFFF)


def totals(words: Hashes) -> tuple[int, int]:
    """Return two sums of hashes: of themselves, and of what they are mixed to."""
    if kernel := hash_kernel():
        return kernel.sums(words)
    return int(words.sum(dtype=np.uint64)), int(mix(words ^ AGAIN).sum(dtype=np.uint64))


def _fixed(data: memoryview, width: int, count: int) -> Hashes:
    if (kernel := hash_kernel()) and width:
        return kernel.fixed(np.frombuffer(data, np.uint8), width, count)
    whole = -(-width // 8)
    padded = np.zeros((count, whole * 8), np.uint8)
    padded[:, :width] = np.frombuffer(data, np.uint8).reshape(count, width)
    return joined(list(padded.view("<u8").T), count)


def _elements(items: Hashes, sizes: memoryview) -> Hashes:
    if kernel := hash_kernel():
        return kernel.lists(items, np.frombuffer(sizes, np.int32))
    counts = np.frombuffer(sizes, np.int32).astype(np.int64)
    ends = np.cumsum(counts)
    place = np.arange(len(items), dtype=np.int64) - np.repeat(ends - counts, counts)
    return _summed(mix(items + (place + 1).astype(np.uint64) * GOLDEN), counts, counts)


def _summed(words: Hashes, words_each: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]) -> Hashes:
    """Return the hashes of values by their mixed words, of which each has so many, and by their sizes."""
    running = np.concatenate([np.zeros(1, np.uint64), np.cumsum(words, dtype=np.uint64)])
    ends = np.cumsum(words_each)
    return mix(running[ends] - running[ends - words_each] + sizes.astype(np.uint64) * LENGTH)


def _texts(ends: npt.NDArray[np.int32], data: memoryview) -> Hashes:
    """Texts in pieces, so that memory stays bounded whatever their lengths."""
    if kernel := hash_kernel():
        return kernel.texts(np.frombuffer(data, np.uint8), ends)
    offsets = ends.astype(np.int64)
    data = memoryview(bytes(data[offsets[0] : offsets[-1]]) + bytes(8))
    offsets -= offsets[0]
    cuts = np.searchsorted(offsets, np.arange(0, offsets[-1], _WORDS_AT_ONCE * 8), "left")
    borders = sorted({0, len(offsets) - 1, *(int(cut) for cut in cuts if cut < len(offsets))})
    pieces = [_short_texts(offsets[start : end + 1], data) for start, end in pairwise(borders)]
    return np.concatenate(pieces) if pieces else np.zeros(0, np.uint64)


def _short_texts(offsets: npt.NDArray[np.int64], data: memoryview) -> Hashes:
    sizes = np.diff(offsets)
    counts = (sizes + 7) // 8
    place = np.arange(int(counts.sum()), dtype=np.int64) - np.repeat(np.cumsum(counts) - counts, counts)
    starts = np.repeat(offsets[:-1], counts) + place * 8
    every = np.ndarray(len(data) - 7, "<u8", data, strides=(1,))  # the word that begins at each byte
    words = every[starts] & _MASKS[np.minimum(np.repeat(sizes, counts) - place * 8, 8)]
    return _summed(mix(words + (place + 1).astype(np.uint64) * GOLDEN), counts, sizes)
