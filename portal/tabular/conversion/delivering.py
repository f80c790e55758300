"""From finished files to the target: published whole, read back, the schema beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from portal.stores.base import ObjectInfo, Store
from portal.tabular.conversion.schema_document import document_key, write_document
from portal.tabular.conversion.writing import Written
from portal.tabular.options import ConvertOptions
from portal.tabular.outcome import PartReport
from portal.tabular.output.data_set import publish_data_set
from portal.tabular.output.manifest import earlier
from portal.tabular.output.opening import order_in_files
from portal.tabular.output.publish import Published, Target, publish_file
from portal.tabular.output.publish import refuse_existing as refuse_file
from portal.tabular.proving.read_back import read_back
from portal.tabular.rows import Check


@dataclass(frozen=True, slots=True)
class Order:
    """What is to become of the sources."""

    options: ConvertOptions
    target: Store
    key: str
    """Of the one file, or of a folder, with a '/' at the end."""
    overwrite: bool
    check: Check
    mark: str
    before: Sequence[str] = ()
    """Marks of the work that this does again."""

    @property
    def is_folder(self) -> bool:
        return self.key.endswith("/")


@dataclass(frozen=True, slots=True)
class Delivered:
    """What stands at the target now; see `portal.tabular.outcome.Converted`."""

    target: ObjectInfo
    crc64: str
    parts: tuple[PartReport, ...]
    schema_key: str


def refuse_existing(order: Order) -> None:
    """Raises AlreadyExists before anything is read for nothing."""
    if order.is_folder:
        earlier(order.target, order.key, overwrite=order.overwrite, marks=[order.mark, *order.before])
    else:
        refuse_file(Target(order.target, order.overwrite, {}, order.check), order.key)


def deliver(written: Written, order: Order, about: Mapping[str, str]) -> Delivered:
    """Publish the parts, read them back and compare; what differs is removed.

    Arguments:
        about: metadata of every object of the result.

    Raises AlreadyExists, ProofFailed, Cancelled and what stores raise.
    """
    metadata = {**about, "rows": str(written.rows_out)}
    if len(written.tallies) == 1:
        metadata["source_crc64nvme"] = written.tallies[0].crc64
    target = Target(order.target, order.overwrite, metadata, order.check)
    schema_key = document_key(order.key) if order.options.write_schema else ""

    def prove(published: Sequence[Published]) -> None:
        """The schema is written while the result is not to be seen yet: when it cannot be, neither of them is there."""
        order_in = order_in_files(written.output.arrow, order.options)
        read_back(published, written.digest, order.target, order.check, order=order_in)
        if schema_key:
            write_document(written.schema, order.target, schema_key, overwrite=order.overwrite, metadata=about)

    if not order.is_folder:
        done = publish_file(written.parts[0], target, order.key, prove)
        return Delivered(done.object, done.crc64, (_report(done),), schema_key)
    parts, success = publish_data_set(written.parts, target, order.key, prove, mark=order.mark, before=order.before)
    size = sum(each.object.size_bytes for each in parts)
    return Delivered(replace(success, key=order.key, size_bytes=size), "", tuple(map(_report, parts)), schema_key)


def _report(each: Published) -> PartReport:
    return PartReport(each.object.key, each.object.size_bytes, each.part.rows, each.crc64, each.object.etag)
