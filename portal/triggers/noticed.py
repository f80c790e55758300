"""What the service noticed when it looked at a trigger last, in words. No I/O."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_WORDS: Mapping[str, Mapping[str, str]] = {
    "folder": {"files": "Files in the folder", "changing": "Not complete yet", "waiting": "Waiting for a job"},
    "sqs": {
        "waiting": "Messages, about", "failed_jobs": "Jobs failed in a row", "idle_jobs": "Jobs in a row that took nothing",
        "next_at": "Next job from",
    },
}  # fmt: skip
_LEFT = "left"


def figures(kind: str, told: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what a kind of trigger counted or knows, each with its name, without what it left, nor what it keeps for itself (`_…`)."""
    for name, value in told.items():
        if name != _LEFT and not name.startswith("_") and value not in ([], {}, None, ""):
            yield _WORDS.get(kind, {}).get(name) or name.replace("_", " ").capitalize(), _shown(value)


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return f"{value[:19].replace('T', ' ')} UTC" if value.endswith("Z") and value[10:11] == "T" else value
    return f"{value:,}" if type(value) is int else json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True)
class Remains:
    """Files that a watched folder's trigger does not take, or that its jobs have left behind, for one reason."""

    title: str
    """How many there are, and where."""
    names: str
    why: str
    jobs: tuple[str, ...]
    """Ids of the jobs that have left them."""


def remains(told: Mapping[str, Any]) -> list[Remains]:
    """Return what is not taken, those first that somebody has to do something about."""
    return [_remains(item) for item in told.get(_LEFT) or ()]


def _remains(item: Mapping[str, Any]) -> Remains:
    count, first, jobs = item["count"], item["first"], tuple(item.get("jobs") or ())
    title = f"Left behind by {count:,} {'job' if count == 1 else 'jobs'}" if jobs else f"Left in the folder: {count:,}"
    return Remains(title, ", ".join(first) + (", …" if count > len(first) else ""), str(item["why"]), jobs)
