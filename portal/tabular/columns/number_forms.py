"""How numbers are written: their canonical form, what else is read when a type was asked for, decimal commas and thousands separators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from portal.errors import ConversionFailed
from portal.tabular.options import ConvertOptions

NOT_FINITE = r"^(?:NaN|nan|-?(?:inf|Infinity))$"
_EXPONENT = "(?:[eE][+-]?[0-9]+)?"
_SPACES = "[ \u00a0\u202f]"
"""Where a space separates thousands, the ones that do not break lines do too."""


@dataclass(frozen=True, slots=True)
class NumberForm:
    """The decimal point and the thousands separator of a file. `asked`: plus signs and leading zeros are read too."""

    point: str = "."
    thousands: str = ""
    asked: bool = False

    @classmethod
    def make(cls, options: ConvertOptions, *, asked: bool = False) -> NumberForm:
        """Raises ConversionFailed when the two separators are the same."""
        if options.thousands == options.decimal_point:
            raise ConversionFailed(
                f"{options.thousands!r} cannot separate both thousands and decimals.", hint="Set another decimal_point or another thousands."
            )
        return cls(options.decimal_point, options.thousands, asked)

    @property
    def _whole(self) -> str:
        digits = "[0-9]+" if self.asked else "(?:0|[1-9][0-9]*)"
        return f"(?:{digits}|{'[0-9]' if self.asked else '[1-9]'}[0-9]{{0,2}}(?:{self._separator}[0-9]{{3}})+)" if self.thousands else digits

    @property
    def _separator(self) -> str:
        return _SPACES if self.thousands == " " else self.thousands.replace(".", r"\.")

    @property
    def _sign(self) -> str:
        return "[+-]?" if self.asked else "-?"

    @property
    def _point(self) -> str:
        return self.point.replace(".", r"\.")

    def integer(self) -> str:
        """Return the pattern of integers; `-0` is none, because its sign would be lost."""
        return f"^(?:{self._sign}{self._whole})$" if self.asked else f"^(?:0|-?{self._whole.replace('0|', '')})$"

    def real(self) -> str:
        """Return the pattern of finite floats."""
        return f"^{self._sign}(?:{self._whole}(?:{self._point}[0-9]*)?|{self._point}[0-9]+){_EXPONENT}$"

    def exact(self) -> str:
        """Return the pattern of decimals of any length: floats without an exponent."""
        return f"^{self._sign}(?:{self._whole}(?:{self._point}[0-9]*)?|{self._point}[0-9]+)$"

    def decimal(self, precision: int, scale: int) -> str:
        """Return the pattern of the plain texts (see `plain`) of exact decimals that have no more digits than the type."""
        zeros = "0*" if self.asked else ""
        whole = precision - scale
        digits = f"(?:0|[1-9][0-9]{{0,{whole - 1}}})" if whole else "0"
        pointless = rf"|\.[0-9]{{1,{scale}}}{zeros}" if scale else ""
        return rf"^-?(?:{zeros}{digits}(?:\.[0-9]{{0,{scale}}}{zeros})?{pointless})$"

    def plain(self, values: Any) -> Any:
        """Return texts without thousands separators and plus signs, with a decimal point."""
        if self.thousands:
            values = pc.replace_substring_regex(values, self._separator, "")
        if self.point != ".":
            values = pc.replace_substring(values, self.point, ".")
        return pc.replace_substring_regex(values, r"^\+", "") if self.asked else values
