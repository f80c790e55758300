"""What the readers have in common: a source is planned over the whole file first, then streamed under the frozen plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

Check = Callable[[], None]
"""Called every now and then; raises Cancelled when the work shall stop."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a file will be written, decided over all of it."""

    schema: Any
    """pyarrow.Schema."""
    rows_in: int
    """Rows of the source, rejected ones included, counted apart from the reader that feeds the writer."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """Column → why it has its type."""
    warnings: tuple[str, ...] = ()
    reading: Mapping[str, Any] = field(default_factory=dict)
    """How the file was read, as JSON values."""


class TableSource(Protocol):
    """A local file that can be read as a table, twice."""

    def plan(self, check: Check) -> Plan:
        """Read the whole file and freeze its schema. Raises ConversionFailed."""
        ...

    def batches(self, plan: Plan, check: Check) -> Iterator[Any]:
        """Yield record batches of exactly `plan.schema`; rows that do not fit go to the rejects. Raises ConversionFailed."""
        ...
