"""From finished files to the target: published whole, read back, the schema beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from portal.errors import AlreadyExists, NotFound
from portal.stores.base import ObjectInfo, Store
from portal.tabular.conversion.schema_document import document_key, write_document
from portal.tabular.conversion.writing import Written
from portal.tabular.options import ConvertOptions
from portal.tabular.outcome import PartReport
from portal.tabular.output.publish import Published, publish_one, withdraw
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
    if order.overwrite or order.is_folder:
        return
    with suppress(NotFound):
        order.target.stat(order.key)
        raise AlreadyExists(f"{order.target.url.at(order.key)} exists already.", hint="Choose another name, or let targets be replaced: overwrite.")


def deliver(written: Written, order: Order, about: Mapping[str, str]) -> Delivered:
    """Publish the parts, read them back and compare; what differs is removed.

    Arguments:
        about: metadata of every object of the result.

    Raises AlreadyExists, ProofFailed, Cancelled and what stores raise.
    """
    metadata = {**about, "rows": str(written.rows_out)}
    if len(written.tallies) == 1:
        metadata["source_crc64nvme"] = written.tallies[0].crc64
    part = written.parts[0]
    published = publish_one(part, order.target, order.key, overwrite=order.overwrite, metadata=metadata, check=order.check)
    read_back([published], written.digest, order.target, order.check)
    schema_key = _document(written, order, about, [published])
    return Delivered(published.object, published.crc64, (_report(published),), schema_key)


def _document(written: Written, order: Order, about: Mapping[str, str], published: Sequence[Published]) -> str:
    if not order.options.write_schema:
        return ""
    try:
        return write_document(written.schema, order.target, document_key(order.key), overwrite=order.overwrite, metadata=about).key
    except BaseException:
        for each in published:
            withdraw(order.target, each)
        raise


def _report(each: Published) -> PartReport:
    return PartReport(each.object.key, each.object.size_bytes, each.part.rows, each.crc64, each.object.etag)
