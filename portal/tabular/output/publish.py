"""Brings finished parts to the target: an object that is proven before anybody sees it where the store can rename, and whole in any case."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from portal.errors import AlreadyExists, NotFound, ProofFailed, StoreError
from portal.stores.base import Copies, ObjectInfo, Renames, Store
from portal.stores.checksums import crc64, crc64_hex
from portal.stores.partial import partial_name
from portal.tabular.output.sink import Part
from portal.tabular.rows import Check

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Published:
    """A part at the target."""

    part: Part
    object: ObjectInfo
    crc64: str
    """CRC64NVME, 16 hexadecimal digits, of the bytes as they were sent."""


Prove = Callable[[Sequence[Published]], None]
"""Reads parts back from the target; see `portal.tabular.proving.read_back.read_back`. Raises ProofFailed, Unreachable."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where to publish, and how."""

    store: Store
    overwrite: bool
    metadata: Mapping[str, str]
    """Of every object."""
    check: Check


def publish_file(part: Part, target: Target, key: str, prove: Prove) -> Published:
    """Make a part an object. What it replaces stays until it is proven: it has another name until then, where the store can rename, or where it
    can copy and something would be replaced.

    Raises AlreadyExists, ProofFailed, what stores raise and what `check` raises; then nothing of ours is there."""
    refuse_existing(target, key)
    copies = isinstance(target.store, Copies) and target.overwrite and _is_there(target.store, key)
    if not (isinstance(target.store, Renames) or copies):
        done = _sent(part, target, key)
        withdrawing(target, [done], lambda: prove([done]))
        return done
    staged = stage(part, target, key)
    withdrawing(target, [staged], lambda: prove([staged]))
    return _replaced(staged, target, key) if copies else unveil(staged, target, key)


def _is_there(store: Store, key: str) -> bool:
    try:
        store.stat(key)
    except NotFound:
        return False
    return True


def _replaced(staged: Published, target: Target, key: str) -> Published:
    """Copy a proven part to its place, in which something stands. Raises ProofFailed when it is not the same there; the proven one stays then."""
    store = target.store
    if not isinstance(store, Copies):
        raise TypeError("a store that cannot copy has nothing staged")
    found: list[ObjectInfo] = []
    withdrawing(target, [staged], lambda: found.append(store.copy(staged.object, key)))
    done = replace(staged, object=found[0])
    if _crc_of(store, done.object, target.check) != staged.crc64:
        hint = f"What was proven is at {store.url.at(staged.object.key)}: copy it from there, or run it again."
        raise ProofFailed(f"{store.url.at(key)} is not what was copied there, or was replaced by somebody else in that moment.", hint=hint)
    withdraw(store, staged)
    return done


def _crc_of(store: Store, info: ObjectInfo, check: Check) -> str:
    """Return the CRC64NVME that the store computed of an object, or that of its bytes."""
    if "crc64nvme" in info.checksums:
        return info.checksums["crc64nvme"]
    crc = 0
    with store.open_read(info.key, pin=info) as reader:
        while block := reader.read(_BLOCK):
            check()
            crc = crc64(block, crc)
    return crc64_hex(crc)


def refuse_existing(target: Target, key: str) -> None:
    """Raises AlreadyExists."""
    if not target.overwrite:
        with suppress(NotFound):
            target.store.stat(key)
            hint = "Choose another name, or let targets be replaced: overwrite."
            raise AlreadyExists(f"{target.store.url.at(key)} exists already.", hint=hint)


def publish_one(part: Part, store: Store, key: str, *, overwrite: bool, metadata: Mapping[str, str], check: Check) -> Published:
    """Write a part to a store as one object. Raises AlreadyExists, what stores raise and what `check` raises; then nothing is there."""
    return _sent(part, Target(store, overwrite, metadata, check), key)


def stage(part: Part, target: Target, key: str) -> Published:
    """Write a part beside its place, under a name that listings pass over."""
    folder, slash, _ = key.rpartition("/")
    return _sent(part, replace(target, overwrite=False), folder + slash + partial_name())


def unveil(staged: Published, target: Target, key: str, *, durable: bool = True) -> Published:
    """Give a staged part its name; `durable`: see `Renames.rename`. Raises AlreadyExists, ProofFailed; then the part is gone."""
    store = target.store
    if not isinstance(store, Renames):
        raise TypeError("a store that cannot rename has nothing staged")
    withdrawing(target, [staged], lambda: store.rename(staged.object.key, key, overwrite=target.overwrite, durable=durable))
    done = replace(staged, object=store.stat(key))
    if done.object.size_bytes != staged.part.size_bytes:
        raise ProofFailed(f"{store.url.at(key)} was replaced by somebody else in the moment it was published.")
    return done


def withdrawing(target: Target, published: Sequence[Published], act: Callable[[], None]) -> None:
    """Do something; when it raises, remove these objects."""
    try:
        act()
    except BaseException:
        for each in published:
            withdraw(target.store, each)
        raise


def withdraw(store: Store, published: Published) -> None:
    """Remove a published object again, unless somebody has replaced it meanwhile. Never raises for what the store does."""
    with suppress(StoreError):
        if store.stat(published.object.key).etag == published.object.etag:
            store.delete(published.object.key)


def _sent(part: Part, target: Target, key: str) -> Published:
    crc, buffer = 0, memoryview(bytearray(_BLOCK))
    with (
        part.path.open("rb", buffering=0) as file,
        target.store.open_write(
            key, overwrite=target.overwrite, size_bytes=part.size_bytes, content_type=part.content_type, metadata=target.metadata
        ) as writer,
    ):  # fmt: skip
        while size := file.readinto(buffer):
            target.check()
            crc = crc64(buffer[:size], crc)
            writer.write(buffer[:size])
        return Published(part, writer.commit(), crc64_hex(crc))
