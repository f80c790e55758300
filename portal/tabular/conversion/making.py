"""From tables to finished scratch files: the schema decided and frozen, all written under it, begun again where it must be wider."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from portal.errors import RowsDoNotFit
from portal.tabular.columns.schema import Schema
from portal.tabular.conversion.looking import Proven, proven, same, sampled, widened
from portal.tabular.conversion.tables import Tables
from portal.tabular.conversion.writing import Surprise, Written, write
from portal.tabular.options import ConvertOptions
from portal.tabular.outcome import Rejects, describe
from portal.tabular.shaping.shape import Origin

UNMENDABLE = "No wider type would hold it: correct the file, or let such rows be kept apart: on_reject=keep."


class Progress:
    """Tells bytes as they are read, and none a second time when the source is read again."""

    def __init__(self, tell: Callable[[int], None] | None) -> None:
        self._tell = tell or (lambda _: None)
        self._told = self._at = 0

    def begin(self) -> None:
        self._at = 0

    def __call__(self, size_bytes: int) -> None:
        self._at += size_bytes
        more = max(0, self._at - self._told)
        self._told += more
        self._tell(more)


@dataclass(frozen=True, slots=True)
class Made:
    """Files that are ready to be published."""

    written: Written
    widened: Mapping[str, str] = field(default_factory=dict)
    """See `portal.tabular.outcome.Converted`."""
    decided_by: str = "samples"
    """What the columns' types were decided by."""


@dataclass(frozen=True, slots=True)
class Making:
    """What is made of which tables, and where."""

    tables: Tables
    options: ConvertOptions
    folder: Path
    """Of scratch files; empty."""
    rejects: Path | None
    origins: Sequence[Origin]
    progress: Progress

    def make(self) -> Made:
        """Raises as `portal.tabular.conversion.converting.convert_object` does before it publishes."""
        guessed = sampled(self.tables)
        if self.options.full_scan:
            return self._of(proven(self.tables, guessed, self.options), guessed)
        if self.options.on_reject != "widen":
            return Made(self._write(guessed))
        try:
            return Made(self._write(guessed, may_widen=True))
        except Surprise as surprise:
            misfit = surprise.misfit
        found = proven(self.tables, guessed, self.options)
        if same(found.schema, guessed):
            raise RowsDoNotFit(describe(misfit), hint=UNMENDABLE)
        return self._of(found, guessed)

    def _of(self, found: Proven, guessed: Schema) -> Made:
        return Made(self._write(found.schema), widened(guessed, found.schema), found.told)

    def _write(self, schema: Schema, *, may_widen: bool = False) -> Written:
        files = self.folder / "files"
        shutil.rmtree(files, ignore_errors=True)
        files.mkdir()
        self.progress.begin()
        with Rejects(self.rejects, policy=self.options.on_reject, limit=self.options.max_rejects) as rejects:
            return write(
                self.tables.all, schema, self.options, files, rejects, origins=self.origins, passed=self.progress, may_widen=may_widen,
                check=self.tables.check,
            )  # fmt: skip
