"""How what is found becomes entries of a plan: a page of a listing at a time, column by column."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields

from portal.planning import names
from portal.planning.filters import Filters
from portal.planning.plan import BAD_NAME, RENAMED, TOO_LARGE, UNSEEN, Names, Page
from portal.planning.policies import BadNames, FailOrSkip
from portal.wire.ends import Listed

FOLDER_MARKER = "it is a folder marker: an empty object whose name ends in '/'"
_COLUMNS = tuple(column.name for column in fields(Listed) if column.name not in ("continuation", "unseen"))


@dataclass(frozen=True)
class Rules:
    """How objects become entries."""

    source_prefix: str
    target_prefix: str
    target_scheme: str
    filters: Filters = field(default_factory=Filters)
    flat_folder: str | None = None
    """Set: everything lands in this folder, under the last part of its name."""
    bad_names: BadNames = "fail"
    too_large: FailOrSkip = "fail"
    limit_bytes: float = float("inf")
    """The largest object that the target can hold."""
    converted_name: Callable[[str], str | None] | None = None
    """Gives the target's name of an object that is converted, None for one that is copied."""
    key_of: Callable[[str, str], str] | None = None
    """Gives the name below the target, of the name below the source and the time (RFC 3339, '' unknown) of an object; None: they are the same."""

    @property
    def folder(self) -> str:
        """The folder that targets lie in, '' or ending in '/'."""
        return names.target_folder(self.target_prefix, self.flat_folder)

    @property
    def names(self) -> Names:
        return Names(names.as_folder(self.source_prefix), names.as_folder(self.target_prefix))

    def page(self, found: Listed, first: int, following: str | None) -> Page:
        """Return the entries of a page of a listing; real folders and neighbours of the source are no entries."""
        found, below = self._meant(found)
        reasons = self.filters.refusals(below, found)
        if any(name.endswith("/") for name in below):
            markers = zip(below, found.sizes, found.folders, reasons, strict=True)
            reasons = [FOLDER_MARKER if name.endswith("/") and (folder or not size) else reason for name, size, folder, reason in markers]
        actions = ["exclude" if reason else "copy" for reason in reasons]
        page = Page(
            first, found.keys, found.sizes, found.etags, found.modified, below, actions, reasons, found.classes, found.md5s,
            [""] * len(below), following,
        )  # fmt: skip
        if found.unseen:
            self._judge_unseen(page, found)
        if below:
            self._aim(page)
        return page

    def _judge_unseen(self, page: Page, found: Listed) -> None:
        """What is there and could not be looked at fails, unless nobody asked for it by its name; either way the plan says so."""
        refused = self.filters.by_name_alone().refusals(page.targets, found)
        for n, key in enumerate(found.keys):
            if why := found.unseen.get(key):
                page.actions[n] = "exclude" if refused[n] else "fail"
                page.reasons[n] = names.readable(f"{UNSEEN}{why}")

    def _meant(self, found: Listed) -> tuple[Listed, list[str]]:
        """Return what is meant, and its names below the source."""
        folder = names.as_folder(self.source_prefix)
        cut = len(folder)
        real = any(found.folders) and any(folder and not key.endswith("/") for folder, key in zip(found.folders, found.keys, strict=True))
        if not real and all(map(str.startswith, found.keys, [folder] * len(found.keys))):
            below = [key[cut:] for key in found.keys]
            if "" not in below:
                return found, below
        told = [names.below(key, self.source_prefix) for key in found.keys]
        entry = [not folder or key in found.unseen for key, folder in zip(found.keys, found.folders, strict=True)]
        kept = [n for n, name in enumerate(told) if name is not None and (entry[n] or name.endswith("/"))]
        columns = {name: [getattr(found, name)[n] for n in kept] for name in _COLUMNS}
        return Listed(**columns, continuation=found.continuation, unseen=found.unseen), [told[n] or "" for n in kept]

    def _aim(self, page: Page) -> None:
        """Give each entry its target; `page.targets` holds the names below the source."""
        if self.converted_name:
            self._convert(page, self.converted_name)
        if self.key_of:
            page.targets = list(map(self.key_of, page.targets, page.modified))
        if self.flat_folder is not None:
            page.targets = [name.rpartition("/")[2] for name in page.targets]
        folder = self.folder
        full = [folder + name for name in page.targets]
        if not (names.harmless(full, but="%" if self.bad_names == "rename" else "//") and "".join(page.keys).isascii()):
            self._judge_names(page, full)
        page.targets = [names.readable(key) if action != "exclude" else "" for key, action in zip(full, page.actions, strict=True)]
        if max(page.sizes) > self.limit_bytes:
            self._judge_sizes(page)

    def _convert(self, page: Page, converted_name: Callable[[str], str | None]) -> None:
        for n, name in enumerate(page.targets):
            if not page.reasons[n] and (other := converted_name(name)):
                page.targets[n], page.actions[n] = other, "convert"

    def _judge_names(self, page: Page, full: list[str]) -> None:
        legible = [names.readable(key) for key in page.keys]
        for n, key in enumerate(page.keys):
            if not page.reasons[n]:
                self._judge_name(page, full, n, "" if key == legible[n] else "the source's name is not valid Unicode")
        page.keys = legible

    def _judge_name(self, page: Page, full: list[str], n: int, illegible: str) -> None:
        key = full[n]
        why = names.refusal(self.target_scheme, key) or illegible
        if self.bad_names == "rename" and not illegible and (other := self.renamed(page.targets[n])) != key:
            if not names.refusal(self.target_scheme, other):
                full[n], page.reasons[n] = other, f"{RENAMED}{why or 'its name looks like an encoded one'}"
                return
        if why:
            page.reasons[n] = names.readable(f"{BAD_NAME}{key!r}: {why}")
            page.actions[n] = "exclude" if self.bad_names == "skip" else "fail"

    def renamed(self, name: str) -> str:
        """Return the target's key of a name below the source as bad_names=rename writes it."""
        return self.folder + names.encoded(self.target_scheme, name, self.folder)

    def set_apart(self, target: str, key: str) -> str:
        """Return a name of its own for a source whose target name another has, '' when the target cannot hold it. Where names are made by
        `key_of` it depends on the source's name below the source alone: the same files have the same names from whichever folder they come."""
        below = names.below(key, self.source_prefix) if self.key_of else None
        return names.set_apart(self.target_scheme, target, below or key)

    def _judge_sizes(self, page: Page) -> None:
        for n, size in enumerate(page.sizes):
            if size > self.limit_bytes and page.actions[n] in ("copy", "convert"):
                page.reasons[n] = f"{TOO_LARGE}it has {size:,} bytes, and {self.limit_bytes:,.0f} are the most"
                page.actions[n] = "exclude" if self.too_large == "skip" else "fail"
                page.targets[n] = "" if self.too_large == "skip" else page.targets[n]
