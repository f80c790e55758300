"""What is known from before of a share's entries, as lines of a journal: the task that moves them begins with these."""

from __future__ import annotations

import json
from collections.abc import Container, Sequence
from typing import Any

from portal.ledger.journal import JournalState


class CutOff(Container[int]):
    """The entries that a journal says were begun, of which nobody knows how they ended."""

    def __init__(self, state: JournalState) -> None:
        self._state = state

    def __contains__(self, n: object) -> bool:
        return isinstance(n, int) and self._state.cut_off(n)


def seed(state: JournalState, numbers: Sequence[int], cut_off: Container[int]) -> bytes:
    """Return what whoever moves these entries must know.

    Args:
        state: of the whole plan
        cut_off: those whose targets may have been written: they are looked at first
    """
    lines: list[Any] = []
    if doubts := [n for n in numbers if state.doubtful(n)]:
        lines.append({"end": {"n": doubts, "outcome": "failed", "cause": "proof-failed"}})
    if begun := [n for n in numbers if n in cut_off]:
        lines.append({"begin": begun})
    for n in numbers:
        if upload := state.upload(n):
            lines.append({"blocks": {"n": n, "upload": upload[0], "step": state.step_bytes(n), "blocks": upload[1], "sums": state.sums(n)}})
    return b"".join(json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in lines)
