"""A name between two names, in the order in which S3 lists: that of their UTF-8, which is that of their characters.

Behind what both begin with, names are read as numbers whose digits are the characters that names there are made of: the middle of two numbers is a
name that might well be there, and cuts what lies between them in halves as long as names are spread at all evenly.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import takewhile

_DIGITS = 12


def between(low: str, high: str | None, letters: str, begin: int = 0) -> str | None:
    """Return a name that comes after `low` and before `high` (None: there is no end), None when none was found.

    Args:
        letters: the characters to make it of; others stand for the nearest of them
        begin: how many characters all names of the listing have in common
    """
    alphabet = sorted(set(letters))
    if not alphabet:
        return None
    common = _in_common(low, high) if high is not None else begin
    base = len(alphabet) + 1
    least = _number(low[common:], alphabet, base)
    most = _number(high[common:], alphabet, base) if high is not None else base**_DIGITS - 1
    found = low[:common] + _name((least + most) // 2, alphabet, base)
    return found if low < found and (high is None or found < high) else None


def _in_common(low: str, high: str) -> int:
    return sum(1 for _ in takewhile(bool, map(str.__eq__, low, high)))


def _number(tail: str, alphabet: list[str], base: int) -> int:
    """Digit 0 is the end of a name, which comes before any character."""
    number = 0
    for place in range(_DIGITS):
        number = number * base + (min(bisect_left(alphabet, tail[place]), len(alphabet) - 1) + 1 if place < len(tail) else 0)
    return number


def _name(number: int, alphabet: list[str], base: int) -> str:
    digits = []
    for _ in range(_DIGITS):
        number, digit = divmod(number, base)
        digits.append(digit)
    digits.reverse()
    ends = digits.index(0) if 0 in digits else _DIGITS
    return "".join(alphabet[digit - 1] for digit in digits[:ends])
