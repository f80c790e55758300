"""What a migrated table's properties say of where it came from, and how the next run knows whether anybody has changed it at the target since.

The stamp goes over with the metadata, in the one commit that makes it the table's: there is no moment at which one is there without the other.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Any

from portal.lake.iceberg.reading import Metadata

SOURCE, HISTORY, STATE = "portal.migrated-from", "portal.migrated-history", "portal.migrated-state"
LOCATION = "portal.migrated-location"
"""The source's location that names at the target were made from. It stays when the source's changes: names depend on it."""
PROPERTIES = "portal.migrated-properties"
"""Names of the properties that came from the source, as a JSON list: all others were set at the target, by whoever reads the table there."""
AT = "portal.migrated-at"
"""When the last manifest list was written, by the clock of the target's store: what is later among the files was written by somebody else. On a disk,
where copies keep the times of what they were made from, it is the latest of those if that is later still: a source's clock may be ahead."""
_OURS = (SOURCE, HISTORY, STATE, LOCATION, PROPERTIES, AT)
_NONE = (None, -1)


def stamped(metadata: Metadata, source: str, history: str, location: str) -> Metadata:
    """Return metadata with the stamp: the source's metadata file, how much of its history was chosen, the location that names were made from,
    which properties it has, and the state that is committed."""
    own = metadata.get("properties") or {}
    stamp = {SOURCE: source, HISTORY: history, LOCATION: location, PROPERTIES: json.dumps(sorted(own)), STATE: state(metadata)}
    return {**metadata, "properties": {**own, **stamp}}


def dated(metadata: Metadata, at: datetime | None) -> Metadata:
    """Return stamped metadata that also says when its files were all there; as it is when nobody knows."""
    return metadata if at is None else {**metadata, "properties": {**(metadata.get("properties") or {}), AT: at.isoformat()}}


def date_of(metadata: Metadata) -> datetime | None:
    """Return when the files of a table at the target were all there, None when it does not say."""
    try:
        found = datetime.fromisoformat(property_of(metadata, AT))
    except ValueError:
        return None
    return found if found.tzinfo else None


def is_after(modified: datetime, at: datetime) -> bool:
    """Tell whether a file was written after its table was all there. A store may tell the time of one object in whole seconds and list it with finer
    ones: where `at` has none, they do not count."""
    return (modified if at.microsecond else modified.replace(microsecond=0)) > at


def unstamped(metadata: Metadata) -> Metadata:
    """Return metadata without a stamp: that of a source which was itself migrated once says nothing of this target."""
    return {**metadata, "properties": {name: value for name, value in (metadata.get("properties") or {}).items() if name not in _OURS}}


def set_at_target(metadata: Metadata) -> dict[str, str]:
    """Return the properties of a table at the target that were set there, and did not come from the source."""
    came = {*json.loads(property_of(metadata, PROPERTIES) or "[]"), *_OURS}
    return {name: value for name, value in (metadata.get("properties") or {}).items() if name not in came}


def property_of(metadata: Metadata, name: str) -> str:
    return str((metadata.get("properties") or {}).get(name, ""))


def state(metadata: Metadata) -> str:
    """Return a text that is another one after any commit of rows, branches, tags, schema, partitioning or sort order.

    A catalog may write the same metadata in another way: what formats leave out stands for its default."""
    told = {
        "uuid": metadata.get("table-uuid"),
        "snapshots": sorted(item["snapshot-id"] for item in metadata.get("snapshots") or []),
        "refs": _refs(metadata),
        "schema": metadata.get("current-schema-id") or 0,
        "spec": metadata.get("default-spec-id") or 0,
        "order": metadata.get("default-sort-order-id") or 0,
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _refs(metadata: Metadata) -> dict[str, Any]:
    found = {name: [ref.get("type"), ref["snapshot-id"]] for name, ref in (metadata.get("refs") or {}).items()}
    current = metadata.get("current-snapshot-id")
    return found if current in _NONE else {"main": ["branch", current], **found}


def current(metadata: Metadata) -> str:
    """Return the id of the current snapshot as a text, '' when there is none."""
    found = metadata.get("current-snapshot-id")
    return "" if found in _NONE else str(found)
