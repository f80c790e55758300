"""The kinds a column of texts may turn out to be: each takes in distinct values until one is not of its kind, and keeps the reason.

A value that is not written like the kind ends it (`dropped`, told when others were); one that is, but that the kind cannot hold, too (`refused`).
"""

from __future__ import annotations

from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from portal.tabular.columns.casting import BOOLEAN, changed_by_float, inexact_integer
from portal.tabular.columns.column_types import INTEGERS, Kind
from portal.tabular.columns.number_forms import NOT_FINITE, NumberForm
from portal.tabular.columns.significance import long_digits, rounded_digits
from portal.tabular.outcome import shown


class Candidate:
    """One kind a column may be."""

    kind: ClassVar[Kind]
    noun: ClassVar[str]

    def __init__(self) -> None:
        self.alive = True
        self.matched = False
        """Some value was written like this kind."""
        self.dropped = ""
        self.refused = ""

    def see(self, distinct: Any) -> None:
        """Take in an array of distinct texts, not empty."""
        fits = self.fits(distinct)
        if not pc.all(fits).as_py():
            self.alive = False
            if self.matched or pc.any(fits).as_py():
                self.dropped = f"text, because {shown(first(distinct, pc.invert(fits)))} is not {self.noun}"
        elif reason := self.trouble(distinct):
            self.alive, self.refused = False, f"text, because {reason}"
        self.matched = True

    def fits(self, distinct: Any) -> Any:
        """Return a mask of the texts that are written like this kind."""
        raise NotImplementedError

    def trouble(self, distinct: Any) -> str:
        """Note what matters of texts written like this kind; return why it cannot hold one, '' if it holds all."""
        return ""


class Booleans(Candidate):
    kind, noun = "boolean", "a boolean"

    def fits(self, distinct: Any) -> Any:
        return pc.match_substring_regex(distinct, BOOLEAN)


class Integers(Candidate):
    kind, noun = "integer", "an integer"

    def __init__(self, form: NumberForm) -> None:
        super().__init__()
        self._form = form
        self._least = self._largest = 0

    def fits(self, distinct: Any) -> Any:
        return pc.match_substring_regex(distinct, self._form.integer())

    def trouble(self, distinct: Any) -> str:
        texts = self._form.plain(distinct)
        try:
            bounds = pc.min_max(pc.cast(texts, pa.int64()))
        except pa.ArrowInvalid:
            return f"the integer {shown(max(texts.to_pylist(), key=len))} does not fit 64 bits"
        self._least, self._largest = min(self._least, bounds["min"].as_py()), max(self._largest, bounds["max"].as_py())
        return ""

    def smallest(self) -> Any:
        """Return the smallest integer type that holds all values."""
        bits = max(self._largest.bit_length(), (-self._least - 1).bit_length() if self._least < 0 else 0)
        return next(kind for kind in INTEGERS if bits < kind.arrow.bit_width)


class Floats(Candidate):
    kind, noun = "float", "a number"

    def __init__(self, form: NumberForm) -> None:
        super().__init__()
        self._form = form
        self.finite = False
        self.inexact = ""
        """An integer that no float is, or beyond 64 bits, and so probably a name rather than a quantity."""
        self.rounded = ""
        """A number with more digits than its float gives back."""
        self.zero = ""
        """A number with leading zeros."""

    def see(self, distinct: Any) -> None:
        super().see(distinct)
        if not self.alive and not self.refused and not self.zero:
            zeros = pc.match_substring_regex(distinct, "^-?0[0-9]+$")
            self.zero = first(distinct, zeros) if pc.any(zeros).as_py() else ""

    def fits(self, distinct: Any) -> Any:
        fits = pc.match_substring_regex(distinct, self._form.real())
        return fits if pc.all(fits).as_py() else pc.or_(fits, pc.match_substring_regex(distinct, NOT_FINITE))

    def trouble(self, distinct: Any) -> str:
        texts = self._form.plain(distinct)
        numbers = pc.cast(texts, pa.float64())
        self.finite = self.finite or bool(pc.any(pc.is_finite(numbers)).as_py())
        self.inexact = self.inexact or inexact_integer(texts, numbers) or _beyond_integers(texts, numbers)
        self.rounded = self.rounded or rounded_digits(texts, numbers)
        return "" if self.inexact else changed_by_float(texts, numbers)


class Decimals(Candidate):
    """Exact decimals: numbers without an exponent, with at most 38 digits on both sides of the point."""

    kind, noun = "decimal", "a decimal number"

    def __init__(self, form: NumberForm) -> None:
        super().__init__()
        self._form = form
        self.whole = self.scale = 0
        """Most digits seen before and after the point."""
        self.pointed = False
        self.long = ""
        """A number with more than 17 digits, more than any float needs to be told from its neighbours."""

    def fits(self, distinct: Any) -> Any:
        return pc.match_substring_regex(distinct, self._form.exact())

    def trouble(self, distinct: Any) -> str:
        texts = pc.utf8_ltrim(self._form.plain(distinct), "-")
        point, length = pc.find_substring(texts, "."), pc.binary_length(texts)
        without = pc.less(point, 0)
        whole = pc.if_else(pc.starts_with(texts, "0"), 0, pc.if_else(without, length, point))
        scale = pc.if_else(without, 0, pc.subtract(pc.subtract(length, point), 1))
        self.whole, self.scale = max(self.whole, pc.max(whole).as_py()), max(self.scale, pc.max(scale).as_py())
        self.pointed = self.pointed or not pc.all(without).as_py()
        self.long = self.long or long_digits(texts.filter(pc.greater(pc.add(whole, scale), 17)))
        return "its numbers have more than 38 digits" if self.whole + self.scale > 38 else ""


def _beyond_integers(texts: Any, numbers: Any) -> str:
    large = pc.greater_equal(pc.abs(numbers), 2.0**63)
    if not pc.any(large, min_count=0).as_py():
        return ""
    texts = texts.filter(large)
    return next((text for text in texts.filter(pc.match_substring_regex(texts, "^-?[0-9]+$")).to_pylist() if text != str(-(2**63))), "")


def first(texts: Any, mask: Any) -> str:
    """Return the first text for which a mask is true."""
    return str(texts.filter(mask)[0].as_py())
