"""What one worker remembers of queue/: the names of the jobs that are ready, in the order of claims.

It is a hint and never the truth: each claim looks at the file under the job's lock, and a name that is gone costs one failing read. The
index is filled by listing the folder, fed with the names that file events tell, and filled again when the folder has changed: at once where
that is cheap or no events come, else so seldom that listing takes a small part of the time. Names that cannot be claimed now stay aside.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from portal.spool.layout import READY_LENGTH, Layout
from portal.spool.listing import Stamp, settled_stamp, stamp_of

_SHARE = 50
"""After a listing that took t seconds the next comes t times this later: it takes at most 2 % of the time."""
_LATEST_S = 30.0
_CHEAP_S = 0.005
_MOST_HEARD = 50_000
"""Names that are told while nothing is claimed, and that other workers may long have taken: beyond it a listing is cheaper than the memory."""
_FULL_S = 1.0


@dataclass(frozen=True, slots=True)
class Parked:
    """A name that waits for something with a name of its own, and the stamp of its file from before it was read."""

    key: str
    stamp: Stamp


class ReadyIndex:
    """The ready names of one queue."""

    def __init__(self, layout: Layout) -> None:
        self._folder, self._running = str(layout.queue), str(layout.running)
        self._sorted: list[str] = []
        """From the last listing, the next one last."""
        self._fresh: list[str] = []
        """A heap of names that came since."""
        self._kept: list[str] = []
        self._parked: dict[str, Parked] = {}
        self._buckets: dict[str, list[str]] = {}
        """For each key a heap of its parked names; a name counts only while `_parked` says the same."""
        self._just_parked: list[str] = []
        self._odd: set[str] = set()
        self._fed = False
        self.unfinished = False
        """The last look was cut short: there is more to look at."""
        self._stamp: Stamp | None = None
        self._cost_s = self._next_s = 0.0
        self._full: set[str] = set()
        self._full_stamp: Stamp | None = None
        self._full_until_s = 0.0

    def hear(self, names: Collection[str] | None) -> None:
        """Take in the names of files that came into the folder. None: events were lost, or none will come."""
        self._fed = names is not None
        if names is None:
            self._stamp, self._next_s = None, 0.0
            return
        for name in names:
            if len(name) == READY_LENGTH:
                self._parked.pop(name, None)
                heappush(self._fresh, name)
            elif _is_odd(name):
                self._odd.add(name)
        if len(self._fresh) + len(self._odd) > _MOST_HEARD:
            self._fresh, self._odd, self._stamp, self._next_s = [], set(), None, 0.0

    def refresh(self) -> None:
        """List the folder if it may hold what nobody told, and if it is time."""
        if time.monotonic() < self._next_s and (self._fed or self._cost_s > _CHEAP_S):
            return
        if self._stamp is None or self._stamp != stamp_of(self._folder):
            self._list()

    def _list(self) -> None:
        begun_s = time.monotonic()
        stamp = settled_stamp(self._folder)
        self._sorted = []  # the old names go before the new ones come: there may be very many
        found = os.listdir(self._folder)
        self._odd = {name for name in found if len(name) != READY_LENGTH and _is_odd(name)}
        names = [name for name in found if len(name) == READY_LENGTH]
        del found
        if self._parked:
            names = self._without_parked(names)
        names.sort(reverse=True)
        self._sorted, self._fresh, self._kept, self._stamp = names, [], [], stamp
        ended_s = time.monotonic()
        self._cost_s = ended_s - begun_s
        self._next_s = ended_s + min(self._cost_s * _SHARE, _LATEST_S)

    def _without_parked(self, names: list[str]) -> list[str]:
        """Forget the parked names whose file is gone or was replaced; return the names that are not parked."""
        present = set(names)
        self._parked = {
            name: parked for name, parked in self._parked.items() if name in present and stamp_of(f"{self._folder}/{name}") == parked.stamp
        }  # fmt: skip
        self._buckets, self._just_parked = {}, []
        for name, parked in self._parked.items():
            self._buckets.setdefault(parked.key, []).append(name)
        for bucket in self._buckets.values():
            heapify(bucket)
        return [name for name in names if name not in self._parked]

    def each(self, *closed: Collection[str]) -> Iterator[str]:
        """Yield the names in the order of claims. Each is taken out; `keep` and `park` put it back for later looks.

        Args:
            closed: keys whose parked names are passed over; they may become more during the look.
        """
        self.unfinished = False
        self._put_back()
        heads = [(bucket[0], key) for key, bucket in self._buckets.items() if bucket]
        heapify(heads)
        last = ""
        while name := self._take(heads, closed):
            if name != last:  # an event and a listing may both have told it
                yield name
            last = name

    def _put_back(self) -> None:
        """Let what the look before left take part in this one."""
        for name in self._kept:
            heappush(self._fresh, name)
        for name in self._just_parked:
            if parked := self._parked.get(name):
                heappush(self._buckets.setdefault(parked.key, []), name)
        self._kept, self._just_parked = [], []

    def _take(self, heads: list[tuple[str, str]], closed: tuple[Collection[str], ...]) -> str | None:
        listed = self._sorted[-1] if self._sorted else None
        fresh = self._fresh[0] if self._fresh else None
        plain = min((name for name in (listed, fresh) if name is not None), default=None)
        while heads and (plain is None or heads[0][0] < plain):
            name, key = heads[0]
            if (parked := self._unpark(name, key, heads, closed)) is not None:
                return parked
        if plain is None:
            return None
        if plain == fresh:
            heappop(self._fresh)
        else:
            self._sorted.pop()
        return plain

    def _unpark(self, name: str, key: str, heads: list[tuple[str, str]], closed: tuple[Collection[str], ...]) -> str | None:
        """Take the first name of a bucket, and let the bucket's next one compete; None when it is not to be had."""
        heappop(heads)
        bucket = self._buckets.get(key)
        if not bucket or any(key in keys for keys in closed):
            return None
        heappop(bucket)
        if bucket:
            heappush(heads, (bucket[0], key))
        else:
            del self._buckets[key]
        parked = self._parked.get(name)
        if parked is None or parked.key != key:
            return None
        del self._parked[name]
        return name

    def keep(self, name: str) -> None:
        """Offer a name again at the next look: somebody holds its job's lock, or it could not be worked on."""
        self._kept.append(name)

    def park(self, name: str, key: str, stamp: Stamp) -> None:
        """Lay a name aside until `key` is not closed any more, or until its file is replaced."""
        self._parked[name] = Parked(key, stamp)
        self._just_parked.append(name)

    def full(self) -> set[str]:
        """Limits that a look found full, believed as long as no job starts or ends, and not for long; for this look to add to."""
        now_s, stamp = time.monotonic(), settled_stamp(self._running)
        if stamp is None or stamp != self._full_stamp or now_s >= self._full_until_s:
            self._full, self._full_stamp, self._full_until_s = set(), stamp, now_s + _FULL_S
        return self._full

    def take_odd(self) -> Iterable[str]:
        """Return the names of JSON files that are not those of jobs, once for each time they were seen."""
        odd, self._odd = self._odd, set()
        return sorted(odd)


def _is_odd(name: str) -> bool:
    return name.endswith(".json") and not name.startswith(".")
