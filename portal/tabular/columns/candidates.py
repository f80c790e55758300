"""The kinds a column of texts may turn out to be: each takes in distinct values until one is not of its kind, and can then say which and why.

The reason is looked for only when it is asked for: most columns are of one kind, and the first value tells the others apart.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from portal.tabular.columns.casting import BOOLEAN, first, held, inexact_integer, negative_zero
from portal.tabular.columns.column_types import INTEGERS, ColumnType, Kind
from portal.tabular.columns.number_forms import NOT_FINITE, NumberForm
from portal.tabular.columns.significance import SAFE_DIGITS, long_digits, rounded_digits
from portal.tabular.showing import shown


class Candidate:
    """One kind a column may be."""

    kind: ClassVar[Kind]
    noun: ClassVar[str]

    def __init__(self) -> None:
        self.alive = True
        self.matched = False
        """Values were of this kind."""
        self._odd: Any = None
        """The values among which one was not."""
        self._told: tuple[str, str] | None = None

    def see(self, distinct: Any, head: str) -> None:
        """Take in an array of distinct texts, not empty; `head` is the first."""
        if self.likely(head) and self.take(distinct):
            self.matched = True
        else:
            self.alive, self._odd = False, distinct

    def likely(self, head: str) -> bool:
        """Tell, quickly, whether one text may be of this kind."""
        raise NotImplementedError

    def take(self, distinct: Any) -> bool:
        """Note what matters of texts; False when one of them is not of this kind."""
        raise NotImplementedError

    def refused(self) -> str:
        """Return why all values were written like this kind and it holds them not; '' when they were not."""
        return self._ended()[0]

    def dropped(self) -> str:
        """Return which value is not written like this kind when others are; '' when all or none are."""
        return self._ended()[1]

    def _ended(self) -> tuple[str, str]:
        if self.alive:
            return "", ""
        self._told = self._told or self._tell()
        return self._told

    def _tell(self) -> tuple[str, str]:
        fits = self.fits(self._odd)
        if _all(fits):
            return f"text, because {self.trouble(self._odd)}", ""
        if not (self.matched or pc.any(fits).as_py()):
            return "", ""
        return "", f"text, because {shown(first(self._odd, pc.invert(fits)))} is not {self.noun}"

    def fits(self, texts: Any) -> Any:
        """Return a mask of the texts that are written like this kind."""
        raise NotImplementedError

    def trouble(self, texts: Any) -> str:
        """Return why this kind does not hold one of the texts, all written like it."""
        raise NotImplementedError


class Booleans(Candidate):
    kind, noun = "boolean", "a boolean"

    def likely(self, head: str) -> bool:
        return matches(BOOLEAN, head)

    def take(self, distinct: Any) -> bool:
        return _all(self.fits(distinct))

    def fits(self, texts: Any) -> Any:
        return pc.match_substring_regex(texts, BOOLEAN)


class Integers(Candidate):
    kind, noun = "integer", "an integer"

    def __init__(self, form: NumberForm) -> None:
        super().__init__()
        self._form = form
        self._least = self._largest = 0
        """Of all values and 0."""

    def likely(self, head: str) -> bool:
        return matches(self._form.integer(), head)

    def take(self, distinct: Any) -> bool:
        if not _all(self.fits(distinct)):
            return False
        try:
            bounds = pc.min_max(pc.cast(self._form.plain(distinct), pa.int64()))
        except pa.ArrowInvalid:
            return False
        self._least, self._largest = min(self._least, bounds["min"].as_py()), max(self._largest, bounds["max"].as_py())
        return True

    def fits(self, texts: Any) -> Any:
        return pc.match_substring_regex(texts, self._form.integer())

    def trouble(self, texts: Any) -> str:
        return f"the integer {shown(max(self._form.plain(texts).to_pylist(), key=len))} does not fit 64 bits"

    @property
    def digits(self) -> int:
        """Most digits of a value."""
        return len(str(max(-self._least, self._largest)))

    def smallest(self) -> ColumnType:
        """Return the smallest integer type that holds all values."""
        bits = max(self._largest.bit_length(), (-self._least - 1).bit_length() if self._least < 0 else 0)
        return next(kind for kind in INTEGERS if bits < kind.arrow.bit_width)


class Numbers(Candidate):
    """Floats, and exact decimals where all numbers have a point or are integers and none has an exponent."""

    kind, noun = "float", "a number"

    def __init__(self, form: NumberForm, integers: Integers | None) -> None:
        super().__init__()
        self._form, self._integers = form, integers
        self.finite = self.pointed = self.endless = False
        """Some number is finite; has a point; has an exponent or no end."""
        self.whole = self.scale = 0
        """Most digits seen before and after the point."""
        self.inexact = self.rounded = self.long = self.negative_zero = ""
        """An integer that no float is, or beyond 64 bits (and so a name rather than a quantity); a number with more digits than its float gives
        back; one that has more than 17 such digits; a zero whose sign no decimal has."""

    def likely(self, head: str) -> bool:
        return matches(self._form.real(), head) or matches(NOT_FINITE, head)

    def take(self, distinct: Any) -> bool:
        """The integers have taken in the texts before, if they are to be found: where all are such, and small, nothing is left to learn."""
        if self._integers and self._integers.alive and self._integers.digits <= SAFE_DIGITS:
            self.finite, self.whole = True, max(self.whole, self._integers.digits)
            return True
        if not _all(self.fits(distinct)):
            return False
        texts = self._form.plain(distinct)
        numbers = pc.cast(texts, pa.float64())
        if held(texts, numbers):
            return False
        finite = pc.is_finite(numbers)
        self.finite = self.finite or bool(pc.any(finite).as_py())
        self.endless = self.endless or not _all(finite) or _any_has(texts, "e") or _any_has(texts, "E")
        self.inexact = self.inexact or inexact_integer(texts, numbers) or _beyond_integers(texts, numbers)
        found = rounded_digits(texts, numbers)
        self.rounded = self.rounded or found
        if not self.endless:
            self.negative_zero = self.negative_zero or negative_zero(texts, numbers)
            self._measure(pc.utf8_ltrim(texts, "-"), rounded=bool(found))
        return True

    def _measure(self, texts: Any, *, rounded: bool) -> None:
        point, length = pc.find_substring(texts, "."), pc.binary_length(texts)
        without = pc.less(point, 0)
        whole = pc.if_else(pc.starts_with(texts, "0"), 0, pc.if_else(without, length, point))
        scale = pc.if_else(without, 0, pc.subtract(pc.subtract(length, point), 1))
        self.whole, self.scale = max(self.whole, pc.max(whole).as_py()), max(self.scale, pc.max(scale).as_py())
        self.pointed = self.pointed or not _all(without)
        if rounded and not self.long:
            self.long = long_digits(texts.filter(pc.greater(pc.add(whole, scale), 17)))

    def fits(self, texts: Any) -> Any:
        fits = pc.match_substring_regex(texts, self._form.real())
        return fits if _all(fits) else pc.or_(fits, pc.match_substring_regex(texts, NOT_FINITE))

    def trouble(self, texts: Any) -> str:
        texts = self._form.plain(texts)
        return held(texts, pc.cast(texts, pa.float64()))

    def leading_zero(self) -> str:
        """Return the first value with leading zeros among those that made the column text, '' if there is none."""
        if self.alive:
            return ""
        zeros = pc.match_substring_regex(self._odd, "^-?0[0-9]+$")
        return first(self._odd, zeros) if pc.any(zeros).as_py() else ""


def matches(pattern: str, text: str) -> bool:
    """Tell whether one text has a pattern, without Arrow's cost of a call."""
    return _compiled(pattern).fullmatch(text) is not None


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _all(mask: Any) -> bool:
    return bool(pc.all(mask).as_py())


def _any_has(texts: Any, letter: str) -> bool:
    return bool(pc.any(pc.greater_equal(pc.find_substring(texts, letter), 0)).as_py())


def _beyond_integers(texts: Any, numbers: Any) -> str:
    large = pc.greater_equal(pc.abs(numbers), 2.0**63)
    if not pc.any(large).as_py():
        return ""
    texts = texts.filter(large)
    return next((text for text in texts.filter(pc.match_substring_regex(texts, "^-?[0-9]+$")).to_pylist() if text != str(-(2**63))), "")
