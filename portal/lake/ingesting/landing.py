"""A table that was loaded and checked under a name of its own becomes the target where a catalog cannot rename, at once; and what is left is dropped.

Iceberg's create transaction writes nothing that a reader sees before its commit. Data files do not move: the table under the name of its own has
written them into the target's folder, and the target takes them over, snapshot by snapshot.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from portal.errors import PortalError
from portal.lake.ingesting.java_class import java_class
from portal.lake.ingesting.target import BATCH, KEPT, RUN, STATE, WAY, Target

DATA_PATH = "write.data.path"
"""The property of Iceberg that says where a table's new data files go."""
_COUNTS = ("total-records", "total-data-files", "total-delete-files")


def data_folder(location: str, run: str) -> str:
    """Return the folder of a target's location to which a run writes what is to become it: nothing else is in there."""
    return f"{location}/data/ingesting_{run}"


def become(staging: Target, target: Target, state: Callable[[int | None], tuple[str, bytes]]) -> None:
    """Make the target of what staging has, its snapshots and their marks too, in one commit. Staging stays.

    Args:
        state: given the target's last snapshot, returns where the state of the ingestion goes and what it is

    Raises:
        PortalError: the target would be another table than staging; it was not made
        Exception: what Java raises, also when the target is there by now
    """
    table = staging.table()
    kept = {name: value for name, value in staging.properties().items() if name not in (DATA_PATH, KEPT)}
    made = target.begin(table.schema(), table.spec(), {**kept, "format-version": "2"})
    for number, summary in reversed(list(staging.ancestry())):
        append = made.newAppend()
        for file in table.snapshot(number).addedDataFiles(table.io()):
            append.appendFile(file)
        for mark in (BATCH, RUN):
            if mark in summary:
                append.set(mark, summary[mark])
        append.commit()
    _refuse_other(staging, made.table())
    head = made.table().currentSnapshot()
    place, data = state(None if head is None else int(head.snapshotId()))
    staging.write_file(place, data)
    made.updateProperties().set(STATE, place).commit()
    made.commitTransaction()


def _refuse_other(staging: Target, made: Any) -> None:
    """Files carry the numbers of columns, and somebody's clean-up may have written them anew: then these are not the rows that were checked."""
    table = staging.table()
    counts = [[dict(each.currentSnapshot().summary()).get(name) for name in _COUNTS] for each in (table, made) if each.currentSnapshot() is not None]
    if not table.schema().sameSchema(made.schema()) or counts[:1] != counts[1:]:
        raise PortalError(f"Somebody else changed {staging.name} meanwhile.", hint="Drop it, and run this again.")


def discard(staging: Target, target: Target) -> None:
    """Drop a table under a name of its own, with the files that it wrote, unless the target has taken them over."""
    properties = staging.properties()
    folder = properties.get(DATA_PATH)
    if folder is None:
        staging.drop(purge=properties.get(WAY) == "ctas")
        return
    taken = target.exists() and target.properties().get(RUN) == properties.get(RUN)
    staging.drop(purge=False)
    if not taken:
        _remove(target, folder)


def _remove(target: Target, folder: str) -> None:
    """Remove a folder with all that is in it, and those above it up to the target's where nothing else is in them."""
    session: Any = target.spark._jsparkSession
    path = java_class(target.spark, "org.apache.hadoop.fs.Path")(folder)
    files = path.getFileSystem(session.sessionState().newHadoopConf())
    files.delete(path, True)
    with suppress(Exception):  # Hadoop refuses to remove what is not empty
        for above in (path.getParent(), path.getParent().getParent()):
            files.delete(above, False)
