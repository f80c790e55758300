"""Publishes many parts as one data set in a folder: nothing of it can be taken for whole before all of it is there and proven.

Where the store can rename, parts stand under hidden names until they are proven, and get their names one right after the other; elsewhere they
appear one by one. Either way `_SUCCESS` is written last, and `_UNFINISHED` tells the next try what may be cleared away if this one is killed.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from portal.errors import StoreError
from portal.stores.base import ObjectInfo, Renames, Store
from portal.tabular.output.manifest import SUCCESS, UNFINISHED, Earlier, Manifest, earlier
from portal.tabular.output.publish import Prove, Published, Target, publish_one, stage, unveil, withdraw
from portal.tabular.output.sink import Part


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
    names = _names(parts, folder)
    attempt = _Attempt(target, folder, there, mark)
    try:
        attempt.begin(names)
        done = attempt.bring(parts, names, prove)
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
    def __init__(self, target: Target, folder: str, before: Earlier, mark: str) -> None:
        self._target, self._store, self._folder, self._before, self._mark = target, target.store, folder, before, mark
        self._brought: list[Published] = []
        self._cleared = False

    def begin(self, names: Sequence[str]) -> None:
        _put(self._store, self._folder + UNFINISHED, Manifest(self._mark, {**self._before.objects, **dict.fromkeys(names, "")}).to_json())
        self._hide()

    def _hide(self) -> None:
        """Where parts appear one by one, what was there is no whole data set from now on."""
        if self._before.success and not isinstance(self._store, Renames):
            self._store.delete(self._folder + SUCCESS)

    def bring(self, parts: Sequence[Part], names: Sequence[str], prove: Prove) -> list[Published]:
        if not isinstance(self._store, Renames):
            for part, name in zip(parts, names, strict=True):
                found = publish_one(part, self._store, name, overwrite=False, metadata=self._target.metadata, check=self._target.check)
                self._brought.append(found)
            prove(self._brought)
            return self._brought
        for part, name in zip(parts, names, strict=True):
            self._brought.append(stage(part, self._target, name))
        prove(self._brought)
        self._store.delete(self._folder + SUCCESS)
        for place, name in enumerate(names):
            self._brought[place] = unveil(self._brought[place], self._target, name)
        return self._brought

    def clear(self) -> None:
        """Remove the data set that is replaced."""
        self._cleared = bool(self._before.objects)
        for key in self._before.objects:
            self._store.delete(key)

    def finish(self, done: Sequence[Published]) -> ObjectInfo:
        found = _put(self._store, self._folder + SUCCESS, Manifest.of(self._mark, done).to_json(), self._target.metadata)
        self._store.delete(self._folder + UNFINISHED)
        return found

    def give_up(self) -> None:
        """Leave what was there before. Once its removal has begun, the new parts stay, and `_UNFINISHED`, so that the next try may clear all."""
        if self._cleared:
            return
        for each in self._brought:
            withdraw(self._store, each)
        with suppress(StoreError):
            if self._before.success:
                _put(self._store, self._folder + SUCCESS, self._before.success)
            self._store.delete(self._folder + UNFINISHED)


def _put(store: Store, key: str, text: bytes, metadata: Mapping[str, str] | None = None) -> ObjectInfo:
    with store.open_write(key, overwrite=True, size_bytes=len(text), content_type="application/json", metadata=metadata) as writer:
        writer.write(text)
        return writer.commit()
