"""Which columns of a text file the kernel may read itself: those whose canonical form is their whole form, or a part with the same meaning."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from portal.tabular.columns.column_types import ColumnType
from portal.tabular.columns.formats import zone_texts
from portal.tabular.options import ConvertOptions

_READ = frozenset({pa.string(), pa.bool_(), pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.float64(), pa.date32()})


def kernel_type(kind: ColumnType, options: ConvertOptions) -> Any:
    """Return the Arrow type as which a kernel that knows canonical forms alone may read a column of a text file, None where it must hand the
    texts to a `Caster`: other forms of dates, a decimal comma, kinds it does not know. What it cannot read, the caster reads."""
    if kind.form or kind.kind in ("json", "struct", "list", "other"):
        return None
    if kind.kind in ("float", "decimal") and options.decimal_point != ".":
        return None
    if kind.kind == "decimal":
        return kind.arrow if kind.arrow.precision <= 38 else None
    if kind.kind == "timestamp":
        return kind.arrow if not kind.arrow.tz or zone_texts(kind.arrow.tz) else None
    return kind.arrow if kind.arrow in _READ else None
