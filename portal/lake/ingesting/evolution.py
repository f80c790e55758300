"""The columns of a target that is there already: what the source has otherwise by now, and what of that it can follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from portal.errors import PortalError
from portal.lake.ingesting.columns import Columns, ddl
from portal.lake.ingesting.target import Target
from portal.lake.ingesting.units import literal, quoted


class SchemaDiffers(PortalError):
    """The columns of source and target do not fit together."""


@dataclass(frozen=True, slots=True)
class Differences:
    added: tuple[Any, ...] = ()
    """Columns that the target has not, as Spark's fields."""
    widened: tuple[Any, ...] = ()
    """Columns of a type that holds all that the target's does."""
    refused: tuple[str, ...] = ()
    """What the target cannot follow, in words."""

    @property
    def changed(self) -> bool:
        return bool(self.added or self.widened or self.refused)


def differences(target: Target, columns: Columns) -> Differences:
    """Return what the source has otherwise than the target."""
    has = {field.name: field for field in target.spark.table(target.sql).schema.fields}
    keys = target.partitioned_by()
    added = tuple(field for field in columns.schema.fields if field.name not in has)
    other = [field for field in columns.schema.fields if field.name in has and _bare(has[field.name].dataType) != _bare(field.dataType)]
    widened = tuple(field for field in other if _wider(has[field.name].dataType, field.dataType) and field.name not in keys)
    changed = [field for field in other if field not in widened]
    refused = [f"{field.name} was {_bare(has[field.name].dataType)} and is {_bare(field.dataType)}" for field in changed]
    refused += [f"{name} is gone" for name in has if name not in columns.names]
    wanted = [column.name for column in columns.partitions]
    if keys != wanted:
        refused.append(f"it was partitioned by {', '.join(keys) or 'nothing'} and is by {', '.join(wanted) or 'nothing'}")
    return Differences(added, widened, tuple(refused))


def follow(target: Target, columns: Columns) -> None:
    """Add and widen the target's columns as the source did. Raises SchemaDiffers for what it cannot follow."""
    found = differences(target, columns)
    if found.refused:
        raise _refusal(target, found)
    for field in found.added:
        comment = f" COMMENT {literal(field.metadata['comment'])}" if field.metadata.get("comment") else ""
        target.spark.sql(f"ALTER TABLE {target.sql} ADD COLUMN {quoted(field.name)} {ddl(target.spark, field.dataType)}{comment}")
    for field in found.widened:
        target.spark.sql(f"ALTER TABLE {target.sql} ALTER COLUMN {quoted(field.name)} TYPE {ddl(target.spark, field.dataType)}")


def compare(target: Target, columns: Columns) -> None:
    """Raises SchemaDiffers when the target does not have the columns it should have."""
    found = differences(target, columns)
    if found.changed:
        others = [f"{field.name} should be {field.dataType.simpleString()}" for field in (*found.added, *found.widened)]
        raise _refusal(target, Differences(refused=(*found.refused, *others)))


def _refusal(target: Target, found: Differences) -> SchemaDiffers:
    return SchemaDiffers(
        f"{target.name} cannot become what its source is now: {'; '.join(found.refused)}.",
        hint="Drop or rename it and run again, or choose another target_namespace.",
    )


def _bare(kind: Any) -> str:
    return str(kind.simpleString())


def _wider(was: Any, now: Any) -> bool:
    pair = (was.simpleString(), now.simpleString())
    if pair in (("int", "bigint"), ("float", "double")):
        return True
    decimals = all(text.startswith("decimal") for text in pair)
    return decimals and was.scale == now.scale and was.precision < now.precision
