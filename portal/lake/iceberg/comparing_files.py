"""Compares files that go over byte for byte, for snapshots whose rows the reader cannot put together."""

from __future__ import annotations

from collections.abc import Callable

from pyiceberg.io import FileIO

from portal.lake.iceberg.refusals import TablesDiffer

_BLOCK_BYTES = 1 << 20


def compare_bytes(theirs: str, source: FileIO, ours: str, target: FileIO, check: Callable[[], None]) -> None:
    """Compare a file with its copy, both by their paths. Raises TablesDiffer, FileNotFoundError, and what stores raise."""
    with source.new_input(theirs).open() as original, target.new_input(ours).open() as copy:
        place = 0
        while True:
            check()
            expected, found = original.read(_BLOCK_BYTES), copy.read(_BLOCK_BYTES)
            if expected != found:
                raise TablesDiffer(
                    f"{ours} is not the copy of {theirs}: they differ within {_BLOCK_BYTES:,} bytes from byte {place:,} on.",
                    hint="The target's table is not registered. Run the migration again; if it differs again, report it.",
                )
            if not expected:
                return
            place += len(expected)
