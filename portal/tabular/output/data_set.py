"""Publishes many parts as one data set in a folder: nothing of it can be taken for whole before all of it is there and proven.

Where the store can rename, parts stand under hidden names until they are proven, and get their names one right after the other; elsewhere they
appear one by one. Either way `_SUCCESS` is written last, and `_UNFINISHED` tells the next try what may be cleared away if this one is killed.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from portal.errors import NotFound, StoreError
from portal.stores.base import ObjectInfo, Renames, Store
from portal.tabular.output.manifest import SUCCESS, UNFINISHED, Earlier, Manifest, earlier
from portal.tabular.output.many import folders_of, in_threads, missing_folders, remove_empty, sync_folders
from portal.tabular.output.publish import Prove, Published, Target, publish_one, stage, unveil
from portal.tabular.output.sink import Part

_LOG = logging.getLogger("portal.tabular")


def publish_data_set(
    parts: Sequence[Part], target: Target, folder: str, prove: Prove, *, mark: str, before: Sequence[str] = ()
) -> tuple[list[Published], ObjectInfo]:  # fmt: skip
    """Publish parts below a folder (a key that ends in '/'); returns them and `_SUCCESS`.

    Arguments:
        mark: of the work that this is done for; what an earlier try of the same left is replaced even without `overwrite`.
        before: marks of the work that this does again, whose leavings are replaced too.

    Raises:
        AlreadyExists: the folder holds a data set that may not be replaced, or objects of others.
        ProofFailed, what stores raise and what `check` raises: what was there before is there still, unless its removal had begun.
    """
    there = earlier(target.store, folder, overwrite=target.overwrite, marks=[mark, *before])
    attempt = _Attempt(target, folder, there, mark, _names(parts, folder))
    try:
        attempt.begin()
        done = attempt.bring(parts, prove)
        attempt.clear()
        return done, attempt.finish(done)
    except BaseException:
        attempt.give_up()
        raise


def _names(parts: Iterable[Part], folder: str) -> list[str]:
    """Return the parts' keys, with some letters of this attempt: none is that of a part that is there already."""
    tag = secrets.token_hex(4)
    pieces = (part.name.rpartition(".") for part in parts)
    return [f"{folder}{stem}-{tag}.{suffix}" for stem, _, suffix in pieces]


class _Attempt:
    """One attempt: what it has changed so far, and the way back. `names`: the keys that the parts get, which nobody else uses."""

    def __init__(self, target: Target, folder: str, there: Earlier, mark: str, names: Sequence[str]) -> None:
        self._target, self._store, self._folder, self._there, self._mark, self._names = target, target.store, folder, there, mark, names
        self._brought: dict[int, Published] = {}
        self._made: list[str] = []
        self._named = self._hidden = self._clears = self._finishes = self._done = False

    def begin(self) -> None:
        self._made = missing_folders(self._store, self._folder, self._names)
        _put(self._store, self._folder + UNFINISHED, Manifest(self._mark, {**self._there.objects, **dict.fromkeys(self._names, "")}).to_json())
        if not isinstance(self._store, Renames):
            self._hide()

    def _hide(self) -> None:
        """What was there is no whole data set from now on: parts of another appear beside it, one by one."""
        if self._there.success is not None:
            self._hidden = True
            self._store.delete(self._folder + SUCCESS)

    def bring(self, parts: Sequence[Part], prove: Prove) -> list[Published]:
        renames, check = isinstance(self._store, Renames), self._target.check
        self._named = not renames
        in_threads(self._stage if renames else self._publish, list(enumerate(parts)), check, telling="published")
        prove(self._in_order())
        if renames:
            self._hide()
            self._named = True
            in_threads(self._unveil, range(len(parts)), check, telling="named")
            sync_folders(self._store, folders_of(self._folder, self._names), check)
        return self._in_order()

    def _in_order(self) -> list[Published]:
        return [self._brought[place] for place in range(len(self._names))]

    def _publish(self, numbered: tuple[int, Part]) -> None:
        place, part = numbered
        target = self._target
        self._brought[place] = publish_one(
            part, self._store, self._names[place], overwrite=False, metadata=target.metadata, check=target.check
        )  # fmt: skip

    def _stage(self, numbered: tuple[int, Part]) -> None:
        place, part = numbered
        self._brought[place] = stage(part, self._target, self._names[place])

    def _unveil(self, place: int) -> None:
        self._brought[place] = unveil(self._brought[place], self._target, self._names[place], durable=False)

    def clear(self) -> None:
        """Remove the data set that is replaced."""
        self._clears = bool(self._there.objects)
        in_threads(self._store.delete, list(self._there.objects))
        remove_empty(self._store, folders_of(self._folder, self._there.objects))

    def finish(self, done: Sequence[Published]) -> ObjectInfo:
        """Once `_SUCCESS` stands all is done: `_UNFINISHED` beside it tells the next attempt nothing that it does not know."""
        self._finishes = True
        found = _put(self._store, self._folder + SUCCESS, Manifest.of(self._mark, done).to_json(), self._target.metadata)
        self._done = True
        try:
            self._store.delete(self._folder + UNFINISHED)
        except StoreError as error:
            _LOG.warning("The data set %s is finished; %s stays there: %s", self._store.url.at(self._folder), UNFINISHED, error)
        return found

    def give_up(self) -> None:
        """Leave what was there before. Once its removal has begun, the new parts stay, and `_UNFINISHED`, so that the next try may clear all;
        and so do they when a store that was not reached may or may not have taken away what tells that they are whole."""
        if self._done or self._clears:
            return
        try:
            self._go_back()
        except StoreError as error:
            _LOG.warning("The unfinished data set %s stays as it is for the next try: %s", self._store.url.at(self._folder), error)

    def _go_back(self) -> None:
        """In this order, so that nothing half done is ever without `_UNFINISHED`, or with `_SUCCESS`."""
        if self._finishes:
            self._store.delete(self._folder + SUCCESS)
        brought = {each.object.key: each.object.etag for each in self._brought.values()}
        named = dict.fromkeys(self._names, "") if self._named else {}
        in_threads(lambda item: self._remove(*item), list({**named, **brought}.items()))
        if self._hidden and self._there.success is not None:
            _put(self._store, self._folder + SUCCESS, self._there.success)
        if self._there.unfinished is not None:
            _put(self._store, self._folder + UNFINISHED, self._there.unfinished)
        else:
            self._store.delete(self._folder + UNFINISHED)
        remove_empty(self._store, self._made)

    def _remove(self, key: str, etag: str) -> None:
        """Remove an object of ours, unless somebody has replaced it meanwhile. One that was named without our hearing of it is ours too."""
        with suppress(NotFound):
            if self._store.stat(key).etag == etag or not etag:
                self._store.delete(key)


def _put(store: Store, key: str, text: bytes, metadata: Mapping[str, str] | None = None) -> ObjectInfo:
    with store.open_write(key, overwrite=True, size_bytes=len(text), content_type="application/json", metadata=metadata) as writer:
        writer.write(text)
        return writer.commit()
