"""Tables that killed runs made under names of their own and nobody went on with."""

from __future__ import annotations

from collections.abc import Iterator

from portal.lake.ingesting.landing import discard
from portal.lake.ingesting.table import Ingestion
from portal.lake.ingesting.target import KEPT, SOURCE, Target
from portal.lake.spark.failures import told
from portal.lake.table_name import STAGING

_OLD_MS = 24 * 3600 * 1000
"""A run that wrote nothing for so long is taken for dead."""


def clear(ingestion: Ingestion, now_ms: int) -> Iterator[str]:
    """Drop what other runs of this table left behind a day ago or earlier; yield a warning for what stays. Makes the namespace if need be."""
    target, own = ingestion.target, ingestion.options.run
    with told(f"Looking at {target.name}"):
        target.create_namespace()
        for name in target.beginning_with(f"{target.name.table}{STAGING}"):
            if not name.endswith(f"{STAGING}{own}"):
                yield from _one(target.named(name), target, str(ingestion.table.name), now_ms)


def _one(staging: Target, target: Target, source: str, now_ms: int) -> Iterator[str]:
    properties = staging.properties()
    if properties.get(SOURCE) != source:
        return
    changed_ms = int(staging.table().operations().current().lastUpdatedMillis())
    if properties.get(KEPT):
        yield f"{staging.name} was kept by an earlier run because its rows were not the source's: drop it when you have looked at it."
    elif now_ms - changed_ms < _OLD_MS:
        yield f"{staging.name} is of a run that is not over, or was killed less than a day ago: it goes on when that job is retried."
    else:
        discard(staging, target)
