"""Makes a plan on disk, or goes on with one that an earlier attempt began."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from portal.errors import AccessDenied, NotFound, StoreError, Unreachable
from portal.planning import plan
from portal.planning.plan import Names, PlanWriter
from portal.planning.sources import Source
from portal.planning.survey import Survey


@dataclass
class Planned:
    """A plan on disk, and what it says in short."""

    path: Path
    survey: Survey = field(default_factory=Survey)
    reused: bool = False
    """An earlier attempt had made it, all of it."""
    kept: int = 0
    """Entries that an earlier attempt had listed."""
    redone: bool = False
    """It holds what a finished job left undone."""
    notes: list[str] = field(default_factory=list)

    @property
    def listed(self) -> int:
        return self.survey.listed

    def is_one_object(self, prefix: str) -> bool:
        """Whether all that was listed is the one object that the source's URL names; what else is in the target's folder is then no extra."""
        return self.listed == 1 and next(iter(plan.read(self.path))).key == prefix

    def report(self) -> dict[str, Any]:
        return {**self.survey.report(), "resumed": self.reused or self.kept > 0}

    def look_again(self) -> None:
        """Read the plan as it is now."""
        self.survey = Survey()
        for page in plan.pages(self.path):
            self.survey.take(page)


def made(
    planned: Planned, job_id: str, header: Mapping[str, Any], names: Names, source: Source, tell: Callable[[int, int], None]
) -> None:
    """Complete a plan: keep what is there of it, list the rest. `tell(objects, bytes)` is called for each page."""
    with PlanWriter(planned.path, job_id, header, names) as writer:
        for page in writer.kept():
            planned.survey.take(page)
            tell(planned.survey.listed, planned.survey.bytes)
        planned.kept = writer.count
        try:
            _list(planned, writer, source, tell)
        except (AccessDenied, NotFound, Unreachable):
            raise
        except StoreError as error:
            if not planned.kept or writer.count != planned.kept:
                raise
            # A store need not know a mark that it gave an earlier attempt, perhaps long ago.
            planned.notes.append(f"The source was listed again from its beginning: it did not go on where an earlier attempt stopped ({error}).")
            planned.survey, planned.kept = Survey(), 0
            writer.again()
            _list(planned, writer, source, tell)
        writer.finish()


def _list(planned: Planned, writer: PlanWriter, source: Source, tell: Callable[[int, int], None]) -> None:
    if writer.next is None:
        return
    for page in source.pages(writer.next, writer.count):
        writer.add(page)
        planned.survey.take(page)
        tell(planned.survey.listed, planned.survey.bytes)
