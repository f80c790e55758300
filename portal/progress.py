"""How far a job is: a value that the engine writes to `logs/<id>/progress.json` and everybody else reads."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Progress:
    """Work done so far. `done` and `total` are in `unit` (objects, rows, bytes); rates are per second over the last half minute."""

    done: float = 0
    total: float | None = None
    unit: str = ""
    note: str = ""
    done_bytes: int = 0
    rate: float = 0.0
    rate_bytes: float = 0.0
    attempt: int = 1
    started_ms: int = 0
    updated_ms: int = 0

    @property
    def fraction(self) -> float | None:
        """Between 0 and 1, or None while the total is unknown."""
        return min(1.0, self.done / self.total) if self.total else None

    @property
    def eta_s(self) -> float | None:
        """Seconds to go at the present rate, or None when it cannot be told."""
        if self.total is None or self.rate <= 0:
            return None
        return max(0.0, (self.total - self.done) / self.rate)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self | None:
        """Read a progress file; None when it is not one (progress is a hint, never worth an error)."""
        try:
            data: Any = json.loads(text)
            return cls(**{name: data[name] for name in cls.__dataclass_fields__ if name in data})
        except (ValueError, TypeError):
            return None
