"""CSV files of any encoding to UTF-8, and nothing else changed: line ends, quotes and characters stay. A `portal.transfer.conversions.Convert`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from portal.errors import PortalError, ProofFailed, visible
from portal.planning.plan import Entry
from portal.stores.base import ObjectInfo, Store
from portal.tabular.options import ConvertOptions
from portal.tabular.outcome import Converted
from portal.tabular.text.objects import StoreObject
from portal.tabular.text.text import ObjectText, Text
from portal.transfer.carry import mark_of, provenance
from portal.transfer.digests import Digests

_BLOCK_BYTES = 1 << 20
_GROWS = 3
"""Bytes of UTF-8 that a byte of another encoding may become, at most."""
_PREVIEWS = 3
_TYPE = "text/csv; charset=utf-8"
_ENDINGS = (".csv", ".tsv")

log = logging.getLogger("portal.transfer")


def recoded_name(name: str) -> str | None:
    """Return the name of a file that is re-encoded, its own; None for one that is copied as it is. Packed files are."""
    return name if name.lower().endswith(_ENDINGS) else None


@dataclass(frozen=True)
class Recoder:
    """Re-encodes one object a call, from many threads at once. `encoding`: of the source, or 'auto'."""

    source: Store
    target: Store
    encoding: str
    job_id: str
    check: Callable[[], None]

    def __call__(self, entry: Entry, info: ObjectInfo, *, overwrite: bool, moved: Callable[[int], None]) -> Converted:
        """Raises ConversionFailed (bytes that are none in the encoding, named), ProofFailed, and what stores raise."""
        modified = entry.modified or (info.modified.isoformat() if info.modified else "")
        metadata = provenance(mark_of(self.job_id, entry.n), str(self.source.url.root), entry.key, info.etag, modified)
        text = self._text(info)
        sent = Digests()
        with self.target.open_write(
            entry.target_key, overwrite=overwrite, size_bytes=_GROWS * info.size_bytes, content_type=_TYPE, metadata=metadata
        ) as writer:
            passed = _through(text, moved, sent, writer.write)
            done = writer.commit()
        self._read_back(entry.target_key, done, sent)
        return Converted(
            0, 0, 0, (), passed.source_crc64 if passed else "", info.size_bytes, done, sent.crc64nvme, True, text.warnings if passed else (),
            passed.compared if passed else "", text.facts if passed else {},
        )  # fmt: skip

    def _text(self, info: ObjectInfo) -> Text:
        return Text(StoreObject(self.source, info), ConvertOptions(encoding=self.encoding))

    def _read_back(self, key: str, done: ObjectInfo, sent: Digests) -> None:
        found = Digests()
        with self.target.open_read(key, pin=done) as reader:
            while block := reader.read(_BLOCK_BYTES):
                self.check()
                found.update(block)
        if (found.size_bytes, found.crc64nvme) != (sent.size_bytes, sent.crc64nvme):
            raise ProofFailed(f"{self.target.url.at(key)} holds other bytes than were sent.")

    def digests(self, info: ObjectInfo, others: Iterable[str] = ()) -> Digests:
        """Return the checksums of what a file would become, CRC64NVME and others by name. Raises as a call does."""
        found = Digests(others)
        _through(self._text(info), lambda _: self.check(), found, lambda _: None)
        return found

    def previews(self, sample: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Look at the first files of a plan's sample, and tell how they are encoded in the log; of one that would fail, why. Writes nothing."""
        return [self._preview(line) for line in [line for line in sample if line["action"] == "convert"][:_PREVIEWS]]

    def _preview(self, line: Mapping[str, Any]) -> dict[str, Any]:
        told: dict[str, Any] = {"source": line["source"], "target": line["target"], "bytes": line["bytes"]}
        try:
            info = self.source.stat(line["source"])
            if info.size_bytes:
                text = self._text(info)
                told |= {"reading": text.facts, "warnings": list(text.warnings)}
                log.info("%s is read as %s: %s", visible(line["source"]), text.encoding.name, text.encoding.evidence)
        except PortalError as error:
            told |= {"error": error.message, "hint": error.hint}
            log.warning("%s: %s %s", visible(line["source"]), error.message, error.hint)
        return told


def _through(text: Text, moved: Callable[[int], None], sent: Digests, write: Callable[[bytes], Any]) -> ObjectText | None:
    """Send all of a text on; returns the pass that is over, None when there is nothing to read: an empty file is one in UTF-8 too."""
    if not text.source.size_bytes:
        return None
    with text.open(moved) as stream:
        while block := stream.read(_BLOCK_BYTES):
            sent.update(block)
            write(block)
        return stream
