"""What a plan says in short: sums, and whether its target names come in an order in which twins and conflicts show by themselves."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from operator import lt
from os.path import commonprefix
from typing import Any, Literal

from portal.planning.plan import ARCHIVED, BAD_NAME, CLASH, RENAMED, TOO_LARGE, UNSEEN, Page

SAMPLE = 20
_ARCHIVES = frozenset(["glacier", "deep_archive", "archive"])
"""Storage classes and tiers, in lower case, whose objects must be restored before they can be read."""
_REASONS = 50
_TROUBLES = (BAD_NAME, TOO_LARGE, RENAMED, ARCHIVED, CLASH)

Order = Literal["key", "path"]
"""key: by the characters of the whole name, as S3 lists; path: folder by folder, as file systems and accounts with real folders list."""


def sortable(order: Order, keys: list[str]) -> list[str]:
    """Return what sorts by itself as the keys do in an order."""
    return keys if order == "key" else [key.replace("/", "\0") for key in keys]


class Ordered:
    """Watches keys that come by, page by page: are they in an order, each once; and is one of them a folder of another?"""

    def __init__(self, *, folders: bool = True) -> None:
        self._folders = folders
        self._last: dict[Order, str | None] = {"key": None, "path": None}
        self.orders: list[Order] = ["key", "path"]
        """Those in which all keys came so far, each later than the one before."""
        self.clash = False
        """One key is a folder of another; known only while there is an order."""
        self._stack: list[str] = []

    @property
    def order(self) -> Order | None:
        return self.orders[0] if self.orders else None

    def take(self, keys: list[str]) -> None:
        if not keys or not self.orders:
            return
        self.orders = [order for order in self.orders if self._goes_on(order, sortable(order, keys))]
        if self._folders and not self.clash:
            self._look_for_folders(keys)

    def _goes_on(self, order: Order, keys: list[str]) -> bool:
        last, self._last[order] = self._last[order], keys[-1]
        return (last is None or last < keys[0]) and all(map(lt, keys, keys[1:]))

    def _look_for_folders(self, keys: list[str]) -> None:
        """In an order, keys that begin alike stand together: what a key begins with is on the stack."""
        while self._stack and not keys[0].startswith(self._stack[-1]):
            self._stack.pop()
        if not self._stack and not any(map(str.startswith, keys[1:], keys)):
            self._stack = [keys[-1]]
            return
        for key in keys:
            while self._stack and not key.startswith(self._stack[-1]):
                self._stack.pop()
            self.clash = self.clash or any(key[len(other) : len(other) + 1] == "/" for other in self._stack)
            self._stack.append(key)


@dataclass
class Survey:
    """Sums over the pages of a plan. Bytes are those of what moves."""

    listed: int = 0
    moving: int = 0
    bytes: int = 0
    converting: int = 0
    excluded: int = 0
    failing: int = 0
    """They cannot be copied, for whatever reason."""
    bad_names: int = 0
    too_large: int = 0
    renamed: int = 0
    archived: int = 0
    """Moving, and in a class or tier whose objects may have to be restored first."""
    unseen: int = 0
    """They are there and could not be looked at, whether they were asked for or not."""
    largest: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    """Exclusions by reason, '…' for those beyond the first 50 reasons."""
    classes: Counter[str] = field(default_factory=Counter)
    """Moving objects by storage class."""
    sample: list[dict[str, Any]] = field(default_factory=list)
    targets: Ordered = field(default_factory=Ordered)
    """Of what moves."""
    troubled: bool = False
    """Something is the matter with a name or a size, or was renamed."""
    _common: str | None = None

    @property
    def common_folder(self) -> str:
        """The innermost folder that all targets are in, '' or ending in '/'."""
        return (self._common or "")[: (self._common or "").rfind("/") + 1]

    def take(self, page: Page) -> None:
        """Count a page in."""
        self.listed += len(page)
        actions = Counter(page.actions)
        self.converting += actions["convert"]
        self.excluded += actions["exclude"]
        self.failing += actions["fail"]
        moving = actions["copy"] + actions["convert"]
        if any(page.reasons):
            self._take_reasons(page)
        if moving != len(page):
            self._take_moving(*_moving(page), moving)
        elif moving:
            self._take_moving(page.targets, page.sizes, page.classes, moving)
        if len(self.sample) < SAMPLE:
            shown = (entry for entry in page.entries() if entry.moves)
            told = [{"source": one.key, "target": one.target_key, "bytes": one.size_bytes, "action": one.action} for one in shown]
            self.sample += told[: SAMPLE - len(self.sample)]

    def _take_moving(self, targets: list[str], sizes: list[int], classes: list[str], moving: int) -> None:
        if not moving:
            return
        self.moving += moving
        self.bytes += sum(sizes)
        self.largest = max(self.largest, *sizes)
        counted = Counter(classes)
        self.classes.update(counted)
        self.archived += sum(count for name, count in counted.items() if may_be_archived(name))
        self.targets.take(targets)
        ends = [min(targets), max(targets)]
        self._common = commonprefix(ends if self._common is None else [self._common, *ends])  # noqa: RUF071 (characters are meant)

    def _take_reasons(self, page: Page) -> None:
        for (reason, action), count in Counter(zip(page.reasons, page.actions, strict=True)).items():
            self.bad_names += count * (action == "fail" and reason.startswith(BAD_NAME))
            self.too_large += count * (action == "fail" and reason.startswith(TOO_LARGE))
            self.renamed += count * reason.startswith(RENAMED)
            self.unseen += count * reason.startswith(UNSEEN)
            self.troubled = self.troubled or reason.startswith(_TROUBLES)
            if action == "exclude":
                short = next((beginning.strip(" :") for beginning in (*_TROUBLES, UNSEEN) if reason.startswith(beginning)), reason)
                self.reasons[short if short in self.reasons or len(self.reasons) < _REASONS else "…"] += count

    def report(self) -> dict[str, Any]:
        return {
            "listed": self.listed, "to_copy": self.moving - self.converting, "to_convert": self.converting, "bytes": self.bytes,
            "excluded": self.excluded, "cannot_be_copied": self.failing, "renamed": self.renamed, "excluded_by_reason": dict(self.reasons),
            "storage_classes": dict(self.classes),
        }  # fmt: skip


def may_be_archived(storage_class: str) -> bool:
    """Whether objects of a storage class or access tier must be restored before they can be read, unless they have been."""
    return storage_class.lower() in _ARCHIVES


def _moving(page: Page) -> tuple[list[str], list[int], list[str]]:
    places = [n for n, action in enumerate(page.actions) if action in ("copy", "convert")]
    return [page.targets[n] for n in places], [page.sizes[n] for n in places], [page.classes[n] for n in places]
