"""Has the archive's closed days sealed, and what is set for retention applied."""

from __future__ import annotations

from datetime import UTC, datetime

from portal import retention, seal
from portal.chore import Chore
from portal.settings import Settings

_HOUR_MS = 3_600_000


class Sealer(Chore):
    """Has closed days sealed, at most once an hour."""

    def __init__(self, settings: Settings) -> None:
        def due(now_ms: int) -> bool:
            return seal.due(settings, datetime.fromtimestamp(now_ms / 1000, UTC))

        super().__init__(
            settings, ("audit", "seal"), _HOUR_MS, due, "the closed days of the archive are sealed", "the archive could not be sealed"
        )


class Retainer(Chore):
    """Has retention applied once a day, when something is set; tries again after an hour when it failed."""

    def __init__(self, settings: Settings) -> None:
        def due(now_ms: int) -> bool:
            return retention.due(settings, now_ms)

        super().__init__(settings, ("retain", "--apply", "--as", "worker"), _HOUR_MS, due, "retention is applied", "retention could not be applied")
