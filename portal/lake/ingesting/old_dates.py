"""Dates before 1582 and timestamps before 1900 in Parquet files that do not tell their calendar: how they are read."""

from __future__ import annotations

from typing import Literal

from portal.errors import PortalError

OldDates = Literal["fail", "proleptic", "julian"]
"""`proleptic`: as today's calendar counts back, which Spark 3, Impala, Trino and pyarrow write. `julian`: as Java's old calendar does, which changes
in 1582, and with the local times of before time zones; Hive 2 and Spark 2 wrote so."""

_AS_SPARK_SAYS = {"fail": "EXCEPTION", "proleptic": "CORRECTED", "julian": "LEGACY"}
_SPARK_FAILED = "READ_ANCIENT_DATETIME"


def conf(old_dates: OldDates) -> dict[str, str]:
    """Return the settings of Spark's for it."""
    mode = _AS_SPARK_SAYS[old_dates]
    return {f"spark.sql.parquet.{name}RebaseModeInRead": mode for name in ("datetime", "int96")}


def in_words(error: PortalError) -> PortalError:
    """Return the error, or for Spark's refusal of old dates one that says what to do here."""
    if _SPARK_FAILED not in error.message:
        return error
    return PortalError(
        "Its Parquet files hold dates before 1582-10-15 or timestamps before 1900, and do not tell by which calendar.",
        hint="Say it with old_dates: proleptic when Spark 3, Impala, Trino or pyarrow wrote them, julian when Hive 2 or Spark 2 did.",
    )
