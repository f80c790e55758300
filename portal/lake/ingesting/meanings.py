"""What the texts of partitions mean: asked of Spark, for it is Spark that reads their rows."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from portal.lake.ingesting.units import PartitionColumn, literal

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def meanings(spark: SparkSession, column: PartitionColumn, texts: Iterable[str]) -> dict[str, str | None]:
    """Return for each text the one text of the value that it is in a column, None where it is NULL: 2024-1-5 is the date 2024-01-05.

    Spark's readers cast the text that the metastore has; so does this.
    """
    given = literal(json.dumps(sorted(texts)))
    value = f"CAST(t AS {column.kind})"
    if column.kind.name == "timestamp":
        value = f"CAST({value} AS TIMESTAMP_NTZ)"  # a moment would come in the time zone of this process
    rows = spark.range(1).selectExpr(f"explode(from_json({given}, 'array<string>')) AS t").selectExpr("t", f"{value} AS v").collect()
    return {row.t: column.text_of(row.v) for row in rows}
