"""What fakesnow 0.12 does unlike Snowflake, put right where the portal would trip over it."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from fakesnow import arrow, info_schema


def mend_fakesnow() -> None:
    """Put right what fakesnow 0.12 does unlike Snowflake and the portal would trip over."""
    whole_struct, whole_comment = arrow.timestamp_to_sf_struct, info_schema.insert_table_comment_sql

    def struct_with_nulls(times: Any) -> Any:
        """fakesnow answers a missing timestamp as 1970."""
        times = times.combine_chunks() if isinstance(times, pa.ChunkedArray) else times
        filled = whole_struct(times.fill_null(0))
        return pa.StructArray.from_arrays(filled.flatten(), fields=list(filled.type), mask=times.is_null())

    def comment_if_any(catalog: str, schema: str, table: str, comment: str | None) -> str:
        """fakesnow notes the missing comment of MERGE's own temporary table in a second database, which ends the transaction."""
        return "select 1" if comment is None else whole_comment(catalog, schema, table, comment)

    arrow.timestamp_to_sf_struct, info_schema.insert_table_comment_sql = struct_with_nulls, comment_if_any
