"""A finding: one thing in a home folder that is not as it should be, or that a person may want to know."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    `why`: how it can have come about and why it matters. `hint`: what to do. `repairable`: `repair` puts it right without losing anything.
    `note`: worth knowing and no fault; it does not count for monitoring.
    """

    kind: str
    path: Path
    what: str
    why: str = ""
    hint: str = ""
    repairable: bool = False
    note: bool = False
    job_id: str | None = None

    @property
    def text(self) -> str:
        """All of it for a person."""
        hint = "`check --repair` puts this right." if self.repairable else self.hint
        return "\n".join([self.what, *([f"  why: {self.why}"] if self.why else []), *([f"  what to do: {hint}"] if hint else [])])
