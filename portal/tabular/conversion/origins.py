"""Where rows come from, for the columns that say so."""

from __future__ import annotations

from portal.clock import iso, now_ms
from portal.stores.base import ObjectInfo, Store
from portal.tabular.shaping.shape import Origin


def origin_of(source: Store, info: ObjectInfo, mark: str) -> Origin:
    """Return what constants may speak of for one object. `mark`: as `portal.transfer.carry.mark_of` makes it, of the job and a number."""
    return Origin(str(source.url.at(info.key)), info.key.rpartition("/")[2], mark.rpartition(".")[0] or mark, iso(now_ms()))
