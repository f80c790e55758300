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
from portal.lake.ingesting.listing import normal
from portal.lake.ingesting.target import BATCH, KEPT, PLAN, RUN, STATE, WAY, Target
from portal.lake.ingesting.units import literal
from portal.lake.table_name import STAGING

DATA_PATH = "write.data.path"
"""The property of Iceberg that says where a table's new data files go."""
_COUNTS = ("total-records", "total-data-files", "total-delete-files")


def data_folder(staging: Target, target: Target) -> str:
    """Return the folder, below the target's own, of what a table under a name of its own writes to become the target: nothing else is in there."""
    return f"{target.place()}/data/ingesting_{staging.name.table.removeprefix(f'{target.name.table}{STAGING}')}"


def refuse_elsewhere(staging: Target, target: Target) -> None:
    """Raise PortalError when a table that was just made, or was found, does not write its files to that folder; it is dropped."""
    if not _writes_there(staging, target):
        path = staging.properties().get(DATA_PATH)
        staging.drop(purge=False)
        raise PortalError(
            f"{staging.name} would have written its files to {path or 'a folder of its own'}, and not to the folder of {target.name}.",
            hint=f"Take table-override.{DATA_PATH} out of the properties of the target catalog's connection; table-default.{DATA_PATH} may stay.",
        )


def _writes_there(staging: Target, target: Target) -> bool:
    """What a table says of itself is somebody's word, and no reason to remove anything but what the portal itself would have named so."""
    folder = staging.properties().get(DATA_PATH)
    return folder is not None and normal(target.spark, folder) == normal(target.spark, data_folder(staging, target))


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


def discard(staging: Target, target: Target, *, renames: bool) -> None:
    """Drop a table under a name of its own, with the files that it wrote, unless the target has taken them over."""
    properties = staging.properties()
    if renames:
        staging.drop(purge=properties.get(WAY) == "ctas")
        return
    if _writes_there(staging, target) and not _is_named(staging, target, properties.get(RUN)):
        # Its files go first, and so that nobody goes on with it when this process is killed in between: without the table nobody would find them.
        staging.set_properties(**{PLAN: "", KEPT: ""})
        _remove(target, data_folder(staging, target))
    staging.drop(purge=False)


def emptied(staging: Target, target: Target) -> dict[str, str]:
    """Return the property that has a table that is about to be made write there; what is left in the folder is removed, unless the target has it."""
    folder = data_folder(staging, target)
    if not _is_named(staging, target):
        _remove(target, folder)
    return {DATA_PATH: folder}


def _is_named(staging: Target, target: Target, run: str | None = None) -> bool:
    """Tell whether a snapshot of the target has a file in that folder. A target with the mark of `run` has taken them over: that spares the look."""
    if not target.exists():
        return False
    if run and target.properties().get(RUN) == run:
        return True
    # By the folder's name alone: the URL before it is spelled in more than one way.
    inside = literal(f"/{data_folder(staging, target).rpartition('/')[2]}/")
    return not target.spark.table(f"{target.sql}.all_files").where(f"contains(file_path, {inside})").isEmpty()


def _remove(target: Target, folder: str) -> None:
    """Remove a folder with all that is in it, and those above it up to the target's where nothing else is in them."""
    session: Any = target.spark._jsparkSession
    path = java_class(target.spark, "org.apache.hadoop.fs.Path")(folder)
    files = path.getFileSystem(session.sessionState().newHadoopConf())
    files.delete(path, True)
    with suppress(Exception):  # Hadoop refuses to remove what is not empty
        for above in (path.getParent(), path.getParent().getParent()):
            files.delete(above, False)
