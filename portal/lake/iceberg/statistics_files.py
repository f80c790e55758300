"""Statistics files: readers do without them, so a table whose statistics are gone at the source goes over without those."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from portal.lake.iceberg.fence import Fence
from portal.lake.iceberg.files import Files
from portal.lake.iceberg.history import Pruned
from portal.lake.iceberg.parallel import in_order
from portal.lake.iceberg.paths import identity, read_path
from portal.lake.iceberg.reading import Metadata

KINDS = ("statistics", "partition-statistics")


def entries(metadata: Metadata) -> Iterator[dict[str, Any]]:
    """Yield what the metadata says of each statistics file."""
    for kind in KINDS:
        yield from metadata.get(kind) or []


def without_lost(files: Files, chosen: Pruned, fence: Fence, check: Callable[[], None], *, workers: int) -> Pruned:
    """Leave out statistics whose files are gone, and note them. What the fence does not hold is not looked for. Raises what stores raise."""
    paths = [str(item["statistics-path"]) for item in entries(chosen.metadata)]

    def gone(path: str) -> bool:
        url = read_path(path)
        return fence.holds(identity(url)) and files.find(url) is None

    lost = [path for path, is_gone in zip(paths, in_order(paths, gone, check, workers=workers), strict=True) if is_gone]
    if not lost:
        return chosen
    without = set(lost)
    left = {
        kind: [item for item in chosen.metadata[kind] if item["statistics-path"] not in without] for kind in KINDS if chosen.metadata.get(kind)
    }  # fmt: skip
    note = f"{len(lost):,} statistics files are gone at the source and left out, the first: {lost[0]}."
    return replace(chosen, metadata={**chosen.metadata, **left}, notes=(*chosen.notes, note))
