"""Which fields of a form mean nothing by what others are set to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portal.catalog import EngineSpec
from portal.tabular.params import ConversionParams
from portal.ui.forms import Needs

_NOT_TEXT = ("json", "ndjson", "parquet")
_NOT_PARQUET = ("csv", "ndjson")
_OF_CSV = (
    "delimiter", "header", "quote", "escape", "comment", "skip_lines", "ragged", "trim", "decimal_point", "thousands", "null_values",
    "typed_null_values",
)  # fmt: skip
_OF_TEXT = ("encoding", "max_record_bytes", "full_scan", "sample_bytes", "dates", "date_order", "decimals", "smallest_integers")
_OF_PARQUET = ("compression", "compression_level", "row_group_rows", "bloom_filters", "statistics")

_NEEDS: Mapping[str, Mapping[str, tuple[Any, ...]]] = {
    "delete_extra": {"mirror": ()}, "max_deletes": {"delete_extra": ()}, "max_rejects": {"on_reject": ("fail", "widen")},
    **{name: {"format": _NOT_TEXT} for name in _OF_CSV}, **{name: {"format": ("parquet",)} for name in _OF_TEXT},
    **{name: {"output": _NOT_PARQUET} for name in _OF_PARQUET},
}  # fmt: skip


def needs_of(spec: EngineSpec) -> Needs:
    """Return them for one engine. Where converting is a choice, all that says how to convert needs it."""
    names = {item.name for item in spec.fields}
    choice = {"convert": ("none",)} if "convert" in names else {}
    of_conversion = ConversionParams.model_fields if choice else {}
    found = {name: {**(choice if name in of_conversion else {}), **_NEEDS.get(name, {})} for name in names}
    return {name: {other: idle for other, idle in needs.items() if other in names} for name, needs in found.items() if needs}
