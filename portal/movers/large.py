"""A large object from its first look to its end: which steps there are to take, and what they prove together. The parent's side of `blocks`.

Its blocks are spread over all processes. A checksum that combines (CRC) lets them be read in any order; a hash needs each part, or the whole,
read by one thread from its beginning to its end. Blocks that an earlier attempt brought to the target are not moved again while the source
is still the same; if the upload is gone, or what was read is not what the source stores, the object is begun anew, twice at most.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from portal.errors import ProofFailed
from portal.movers import pulling, sums
from portal.movers.layout import Layout, Parts, block_bytes, runs
from portal.movers.messages import Answered, Failure, Item, Moved, Options, Unit, disproved, failure_of
from portal.movers.shared import now_ms
from portal.movers.sums import Piece
from portal.transfer import proof
from portal.wire.ends import Block

_REREAD_BYTES = 64 << 20
_MOST_RESTARTS = 2
_AGAIN = frozenset({"UploadGone", "ProofFailed"})


class Known(NamedTuple):
    """What an earlier attempt brought to the target."""

    upload: str
    step_bytes: int
    blocks: Sequence[Block]
    pieces: Sequence[Piece] = ()


class Hooks(Protocol):
    """What the object is given to work with."""

    options: Options
    target_kind: str

    def number(self) -> int: ...
    def staged(self, n: int, upload: str, step_bytes: int, block: Block, pieces: Sequence[Piece]) -> None: ...
    def discarded(self, n: int) -> None:
        """What was staged is of no use any more."""
        ...

    def forget(self, n: int) -> list[int]:
        """Drop the steps that nobody has taken up; returns their numbers."""
        ...



class Large:
    """`first` gives the first steps; `answered` takes what came of a step and gives the next ones, until `moved` tells the end."""

    def __init__(self, item: Item, hooks: Hooks, known: Known | None = None) -> None:
        self.item, self._hooks, self._known = item, hooks, known
        self.moved: Moved | None = None
        self._began = now_ms()
        self._open: set[int] = set()
        self._failure: Failure | None = None
        self._restarts = 0
        self._stream_because = ""
        self._attempts, self._through = 1, 0
        self._reset()

    def _reset(self) -> None:
        self._told: Mapping[str, Any] = {}
        self._blocks: dict[int, Block] = {}
        self._pieces: dict[tuple[str, int, int], Piece] = {}
        self._rereads: list[tuple[int, int, int, str]] = []
        self._resumed = 0
        self._refused = ""
        self._step = "open"
        self._written: Mapping[str, Any] = {}
        self._compared = ""

    @property
    def upload(self) -> str:
        """What its blocks are gathered under."""
        return str(self._told.get("upload", ""))

    def first(self) -> list[Unit]:
        return [self._unit("open", upload=self._known.upload if self._known else None, stream=self._stream_because)]

    def _unit(self, kind: str, **told: Any) -> Unit:
        unit = Unit(self._hooks.number(), kind, self.item, told)
        self._open.add(unit.number)
        return unit

    def answered(self, answer: Answered) -> list[Unit]:
        if answer.number not in self._open:
            return []  # of an "abort", or of steps before the object was begun anew: nobody waits for those
        if not answer.told.get("end"):
            self._take_block(answer.told)
            return []
        self._open.discard(answer.number)
        self._attempts = max(self._attempts, answer.told.get("attempts", 1))
        self._through += answer.told.get("through", 0)
        if answer.told.get("disproved"):
            self.item = self.item._replace(doubts=True)  # what stands at the target is not taken for done
        if answer.failure and not self._failure:
            self._failure = answer.failure
            self._open.difference_update(self._hooks.forget(self.item.n))
        elif "refused" in answer.told:
            self._refused = self._refused or answer.told["refused"]
            self._open.difference_update(self._hooks.forget(self.item.n))
        elif not answer.failure:
            self._take(answer.told)
        return self._next(answer.told) if not self._open else []

    def _take(self, told: Mapping[str, Any]) -> None:
        if "block" in told:
            self._take_block(told)
        elif self._step == "reread":
            self._rereads.append((told["start"], told["size"], told["crc64"], told["md5"]))

    def _take_block(self, told: Mapping[str, Any]) -> None:
        self._pieces.update(((piece.name, piece.part, piece.start), piece) for piece in told["pieces"])
        block = told["block"]
        layout = self._layout()
        if block and layout.fits(block, told["start"]):
            self._blocks[block.number] = block
            self._hooks.staged(self.item.n, self._told["upload"], layout.step_bytes, block, told["pieces"])

    def _next(self, told: Mapping[str, Any]) -> list[Unit]:
        """All steps that were begun have ended: what follows?"""
        if self._step == "discard":
            return self._failed(self._unproven)
        if self._failure:
            return self._failed(self._failure)
        if self._refused:
            self._stream_because = self._refused
            return self._over()
        return _FOLLOWING[self._step](self, told)

    def _failed(self, failure: Failure) -> list[Unit]:
        if failure.kind in _AGAIN and self._restarts < _MOST_RESTARTS and self._step != "open":
            self._restarts += 1
            return self._over()
        failure = disproved(failure) if self.item.doubts else failure
        self._close(Moved(self.item.n, "failed", reason=failure.reason, cause=failure.cause, retryable=failure.retryable))
        # What may pass is left as it is: a later attempt goes on with the blocks that are staged.
        return [] if failure.retryable and failure.kind not in _AGAIN else self._abort()

    def _over(self) -> list[Unit]:
        before = self._abort()
        self._failure, self._known = None, None
        self._reset()
        return [*before, *self.first()]

    def _abort(self) -> list[Unit]:
        """Take back what was begun; nobody waits for the answer."""
        upload = self._told.get("upload")
        if upload is None or self._step in ("reread", "discard"):
            return []
        self._hooks.discarded(self.item.n)
        return [Unit(self._hooks.number(), "abort", self.item, {"upload": upload})]

    # open → run

    def _opened(self, told: Mapping[str, Any]) -> list[Unit]:
        if "done" in told:
            etag, level, reason = told["done"]
            size = self.item.size_bytes
            return self._close(Moved(self.item.n, "copied", size, etag, proof=level, reason=reason, resumed_bytes=size))
        self._told, self._step = told, "run"
        if self._known and self._known.step_bytes != self._layout().step_bytes:
            return self._over()  # it was cut otherwise: block 1 is not the block 1 of then, even where it has its length
        self._resume()
        units = list(self._pulls() if told["pulls"] else self._runs())
        return units or self._read(told)

    def _resume(self) -> None:
        """Take over what is known of an earlier attempt."""
        if self._known is None:
            return
        layout = self._layout()
        self._blocks = {block.number: block for block in self._known.blocks if layout.fits(block, block.number * layout.step_bytes)}
        self._pieces = {(piece.name, piece.part, piece.start): piece for piece in self._known.pieces}
        self._resumed = sum(block.size_bytes for block in self._blocks.values())

    def _layout(self) -> Layout:
        wanted = max(self._hooks.options.block_bytes, pulling.BLOCK_BYTES) if self._told["pulls"] else self._hooks.options.block_bytes
        return Layout(self.item.size_bytes, block_bytes(self.item.size_bytes, wanted, self._hooks.target_kind))

    def _pulls(self) -> Iterator[Unit]:
        for number, start, size in self._layout():
            if number not in self._blocks:
                yield self._unit("pull", pin=self._told["pin"], upload=self._told["upload"], number=number, start=start, size=size)

    def _runs(self) -> Iterator[Unit]:
        names, parts = self._told["names"], self._told["part_sizes"]
        covered = self._covered(names)
        blocks = [
            (number, start, size, self._blocks[number].crc64 if number in self._blocks else None) for number, start, size in self._layout()
        ]  # fmt: skip
        keep = {"pin": self._told["pin"], "upload": self._told["upload"], "names": names}
        cut = Parts(parts)
        for run in runs(blocks, names, parts, covered):
            first, sizes = cut.of(run)
            yield self._unit("run", **keep, first_part=first, part_sizes=sizes, blocks=run)

    def _covered(self, names: Sequence[str]) -> set[int]:
        """Return the numbers of the staged blocks that need not be read again: their other checksums are known too."""
        known = {(piece.name, piece.start) for piece in self._pieces.values()}
        return {
            number for number, start, _ in self._layout()
            if number in self._blocks and all((sums.base_of(name), start) in known for name in names)
        }  # fmt: skip

    # run → commit

    def _read(self, told: Mapping[str, Any]) -> list[Unit]:
        try:
            ordered = self._layout().ordered(self._blocks, self._hooks.options.source_root + self.item.key)
            self._crc64 = sums.combined("crc64nvme", [(block.crc64, block.size_bytes) for block in ordered]) if _all_told(ordered) else -1
            md5 = self._compare()
        except ProofFailed as error:
            return self._failed(failure_of(error))
        if self._refused:
            return self._next(told)
        self._step = "commit"
        keep = {name: self._told[name] for name in ("pin", "about", "upload", "modified")}
        return [self._unit("commit", **keep, blocks=ordered, crc64=max(0, self._crc64), md5=md5, look=self._told["pulls"])]

    def _compare(self) -> bytes:
        """Compare the whole with what the source stores; returns its MD5 where that was made. Raises ProofFailed."""
        stored, place = self._told["checksums"], self._hooks.options.source_root + self.item.key
        names = [] if self._told["pulls"] else self._told["names"]
        made = {name: sums.assembled(name, self._pieces.values(), len(self._told["part_sizes"])) for name in names}
        if self._crc64 >= 0:
            made["crc64nvme"] = sums.crc_hex("crc64nvme", self._crc64)
        elif self._told["pulls"] and "crc64nvme" in stored:
            self._refused = "streamed: the service did not tell the checksum of what it fetched"
        told = [proof.compare(place, name, stored[name], value) for name, value in sorted(made.items()) if name in stored]
        self._compared = " ".join(told)
        return bytes.fromhex(made.get("md5", ""))

    # commit → reread → end

    def _committed(self, told: Mapping[str, Any]) -> list[Unit]:
        self._written, self._step = told, "reread"
        verify = self._hooks.options.verify
        if verify == "none" or self._crc64 < 0:
            return self._copied()
        name = "md5" if verify == "md5" else "crc64nvme"
        keep = {"etag": told["etag"], "version": told["version"], "name": name}
        step = self.item.size_bytes if name == "md5" else _REREAD_BYTES
        starts = range(0, self.item.size_bytes, step)
        return [self._unit("reread", **keep, start=start, size=min(step, self.item.size_bytes - start)) for start in starts]

    def _reread(self, told: Mapping[str, Any]) -> list[Unit]:
        if self._hooks.options.verify == "md5":
            found, sent = self._rereads[0][3], sums.assembled("md5", self._pieces.values(), 0)
        else:
            found = sums.crc_hex("crc64nvme", sums.combined("crc64nvme", [(crc, size) for _, size, crc, _ in sorted(self._rereads)]))
            sent = sums.crc_hex("crc64nvme", self._crc64)
        if found == sent:
            return self._copied()
        self._step = "discard"
        reason = f"{self.item.target_key} was read back with another checksum: {found}; sent was {sent}."
        self._unproven = Failure("proof-failed", reason, True, "ProofFailed")
        return [self._unit("discard", etag=self._written["etag"])]

    def _copied(self) -> list[Unit]:
        told, written = self._told, self._written
        level = proof.level(
            read_back=bool(self._rereads), compared=bool(self._compared), checked=written["checked"], pulled=told["pulls"]
        )
        md5 = sums.assembled("md5", self._pieces.values(), 0) if "md5" in told["names"] and not told["pulls"] else None
        return self._close(
            Moved(
                self.item.n, "copied", self.item.size_bytes, written["etag"], told["pin"].version_id or None,
                sums.crc_hex("crc64nvme", self._crc64) if self._crc64 >= 0 else None, md5, self._compared or None, level, told["reason"],
                mode=told["mode"], resumed_bytes=self._resumed, carried=told["carried"],
            )
        )  # fmt: skip

    def _close(self, moved: Moved) -> list[Unit]:
        ended = now_ms()
        self.moved = moved._replace(
            attempts=self._attempts, started_at=self._began, finished_at=ended, duration_s=(ended - self._began) / 1000, bytes_through=self._through
        )
        return []


_FOLLOWING: Mapping[str, Callable[[Large, Mapping[str, Any]], list[Unit]]] = {
    "open": Large._opened, "run": Large._read, "commit": Large._committed, "reread": Large._reread,
}  # fmt: skip

def _all_told(blocks: Sequence[Block]) -> bool:
    return all(block.crc64 >= 0 for block in blocks)
