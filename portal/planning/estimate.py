"""What a transfer would do, how long it would take and what it would cost: the result of a dry run."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from portal.planning import extras, plan
from portal.planning.plan import SKIPPED, Page, Verdict
from portal.planning.planner import Planned
from portal.planning.policies import Policies
from portal.planning.preflight import Preflight
from portal.planning.prices import Prices
from portal.planning.problems import NAMES_FILE

SHOWN = 20
_AZURE_UNIT = 4 << 20
"""Azure counts a read or a write once for every 4 MiB."""
_GB = 10**9
_MOVES = ("copy", "convert")
_WRITTEN = ("copy", "convert", "replace")
_WORDS = {
    Verdict.NEW: "copy", Verdict.UNKNOWN: "copy", Verdict.REPLACE: "replace", Verdict.EXISTS: "skip", Verdict.SAME: "unchanged",
    Verdict.SAME_CONTENT: "unchanged", Verdict.NOT_OLDER: "unchanged",
}  # fmt: skip


@dataclass(frozen=True)
class Way:
    """What of a route decides on its cost."""

    source: str
    target: str
    """Schemes of URLs."""
    block_bytes: int
    pulls: bool = False
    """The target's service fetches by itself where it can: Azure from S3, or one S3 between its buckets."""
    reads_back: bool = False
    max_bandwidth: float = 0
    """Bytes a second; 0: no limit."""
    max_requests_s: float = 0
    tags: bool = False


@dataclass
class Sums:
    """What a plan's entries come to. Sizes in bytes."""

    objects: Counter[str] = field(default_factory=Counter)
    """By what would be done."""
    bytes: Counter[str] = field(default_factory=Counter)
    moving: int = 0
    moving_bytes: int = 0
    blocks: int = 0
    """Ranges that are read and written one by one, of objects larger than one block."""
    large: int = 0
    units: int = 0
    """Of 4 MiB, begun ones counted whole."""
    class_bytes: Counter[str] = field(default_factory=Counter)
    sample: list[dict[str, Any]] = field(default_factory=list)
    """The first that would be written."""

    def take(self, page: Page, verdicts: bytearray, block_bytes: int) -> None:
        """Count a page in."""
        found = verdicts[page.first : page.first + len(page)]
        words = [_word(action, verdict) for action, verdict in zip(page.actions, found, strict=True)]
        self.objects.update(words)
        if len(self.sample) < SHOWN:
            told = zip(page.keys, page.targets, page.sizes, words, strict=True)
            self.sample += [{"source": key, "target": target, "bytes": size, "action": word} for key, target, size, word in told if word in _WRITTEN]
            del self.sample[SHOWN:]
        for word, size, kind in zip(words, page.sizes, page.classes, strict=True):
            self.bytes[word] += size
            if word in _WRITTEN:
                self.moving += 1
                self.moving_bytes += size
                self.units += -(-size // _AZURE_UNIT) or 1
                self.class_bytes[kind] += size
                if size > block_bytes:
                    self.large += 1
                    self.blocks += -(-size // block_bytes)


def _word(action: str, verdict: int) -> str:
    if action not in _MOVES:
        return action
    return "convert" if action == "convert" and verdict not in SKIPPED else _WORDS.get(Verdict(verdict), "copy")


class Estimate:
    """The estimate of one plan that was checked against its target."""

    def __init__(self, planned: Planned, found: Preflight, policies: Policies, way: Way, prices: Prices) -> None:
        self._planned, self._found, self._policies, self._way, self._prices = planned, found, policies, way, prices
        self.sums = Sums()
        for page in plan.pages(planned.path):
            self.sums.take(page, found.verdicts, way.block_bytes)

    def report(self, folder: Path) -> dict[str, Any]:
        """Return what is shown of it; `folder` is the job's."""
        lines = self.cost_lines()
        survey = self._planned.survey
        return {
            "actions": self.actions(), "excluded_by_reason": dict(survey.reasons), "renamed": survey.renamed,
            "conflicts": self._found.shown, "conflicts_by_class": self._found.counts, "occupied": self._found.occupied,
            "renames": _renames(folder / NAMES_FILE), "deletions": self._deletions(), "time_s": round(self.time_s(), 3),
            "cost": {"currency": self._prices.currency, "total": round(sum(line["cost"] for line in lines), 6), "lines": lines},
            "assumptions": self.assumptions(), "sample": self.sums.sample,
        }  # fmt: skip

    def actions(self) -> dict[str, dict[str, int]]:
        """Objects and bytes by what would be done."""
        told = {word: {"objects": count, "bytes": self.sums.bytes[word]} for word, count in sorted(self.sums.objects.items())}
        if self._found.extras_path:
            told["delete" if self._policies.delete_extra else "extra"] = {"objects": self._found.extras, "bytes": self._found.extra_bytes}
        return told

    def _deletions(self) -> dict[str, Any]:
        if not (self._found.extras_path and self._policies.delete_extra):
            return {}
        sample = [extra.key for extra in islice(extras.read(self._found.extras_path), SHOWN)]
        return {"objects": self._found.extras, "bytes": self._found.extra_bytes, "sample": sample}

    def time_s(self) -> float:
        """Seconds, by the speeds of the price table and the limits that were set."""
        speed, way, sums = self._prices.speed, self._way, self.sums
        rate = speed.pulled_bytes_per_s if way.pulls else speed.bytes_per_s
        requests = sums.moving + 2 * sums.blocks
        by_requests = requests / min(speed.objects_per_s, way.max_requests_s or float("inf"))
        by_bytes = sums.moving_bytes * (2 if way.reads_back else 1) / min(rate, way.max_bandwidth or float("inf"))
        deleted = self._found.extras if self._policies.delete_extra else 0
        return self._planned.listed / speed.listed_per_s + (self._found.looked + deleted) / speed.looks_per_s + max(by_requests, by_bytes)

    def cost_lines(self) -> list[dict[str, Any]]:
        """What is paid for: what, count (requests or gigabytes), cost."""
        found = [*self._source_lines(), *self._target_lines()]
        return [{"what": what, "count": round(count, 3), "cost": round(cost, 6)} for what, count, cost in found if count]

    def _source_lines(self) -> list[tuple[str, float, float]]:
        way, sums, listed = self._way, self.sums, self._planned.listed
        gigabytes = sums.moving_bytes / _GB
        egress = way.source != way.target
        looked = self._found.looked if self._policies.overwrite == "checksum" else self._planned.survey.archived
        if way.source == "s3":
            of = self._prices.s3
            copies = way.pulls and way.target == "s3"  # paid for as writing, but each object is looked at first
            gets = 0 if copies else sums.moving - sums.large + sums.blocks
            looks = looked + (sums.moving if copies else sums.large)
            return [
                _thousand("S3 LIST", -(-listed // 1000), of.list_per_1000), _thousand("S3 GET", gets, of.get_per_1000),
                _thousand("S3 HEAD", looks, of.head_per_1000), *self._retrieval("S3", of.retrieval_per_gb),
                *([("S3 egress, GB", gigabytes, gigabytes * of.egress_per_gb)] if egress else []),
            ]  # fmt: skip
        if way.source == "abfss":
            azure = self._prices.azure
            return [
                _ten_thousand("Azure list", -(-listed // 5000), azure.list_per_10000), _ten_thousand("Azure read", sums.units, azure.read_per_10000),
                _ten_thousand("Azure look", looked, azure.other_per_10000), *self._retrieval("Azure", azure.retrieval_per_gb),
                *([("Azure egress, GB", gigabytes, gigabytes * azure.egress_per_gb)] if egress else []),
            ]  # fmt: skip
        return []

    def _retrieval(self, cloud: str, prices: dict[str, float]) -> list[tuple[str, float, float]]:
        told = ((name, size / _GB) for name, size in sorted(self.sums.class_bytes.items()) if name in prices)
        return [(f"{cloud} retrieval from {name}, GB", size, size * prices[name]) for name, size in told]

    def _target_lines(self) -> list[tuple[str, float, float]]:
        way, sums, found = self._way, self.sums, self._found
        deleted = found.extras if self._policies.delete_extra else 0
        back = sums.moving_bytes / _GB if way.reads_back else 0.0
        if way.target == "s3":
            of = self._prices.s3
            puts = sums.moving - sums.large + sums.blocks + 2 * sums.large
            return [
                _thousand("S3 LIST at the target", found.listing_requests, of.list_per_1000), _thousand("S3 PUT", puts, of.put_per_1000),
                _thousand("S3 HEAD at the target", found.looked, of.head_per_1000), _thousand("S3 DELETE", deleted, of.delete_per_1000),
                _thousand("S3 GET, reading back", (sums.moving - sums.large + sums.blocks) * way.reads_back, of.get_per_1000),
                ("S3 egress, reading back, GB", back, back * of.egress_per_gb),
            ]  # fmt: skip
        if way.target == "abfss":
            azure = self._prices.azure
            return [
                _ten_thousand("Azure list at the target", found.listing_requests, azure.list_per_10000),
                _ten_thousand("Azure write", sums.units + sums.large, azure.write_per_10000),
                _ten_thousand("Azure look at the target", found.looked, azure.other_per_10000),
                _ten_thousand("Azure delete", deleted, azure.delete_per_10000),
                _ten_thousand("Azure read, reading back", sums.units * way.reads_back, azure.read_per_10000),
                ("Azure egress, reading back, GB", back, back * azure.egress_per_gb),
            ]  # fmt: skip
        return []

    def assumptions(self) -> list[str]:
        """What the figures rest on."""
        prices, speed, way = self._prices, self._prices.speed, self._way
        rate = speed.pulled_bytes_per_s if way.pulls else speed.bytes_per_s
        pulled = ", copied by S3 itself" if way.target == "s3" else ", fetched by Azure itself"
        told = [
            f"Time: {speed.objects_per_s:,.0f} requests and {rate / 1e6:,.0f} MB a second"
            f"{pulled if way.pulls else ''}, unless a limit is lower; not measured on your stores.",
            f"Prices: list prices of {prices.regions}, {prices.as_of}; prices.toml in the home folder changes them.",
            "One request an object and block, none repeated; conditions and permissions that cost more requests are not foreseen.",
        ]  # fmt: skip
        if way.source == way.target and way.source != "file":
            told.append("Within one cloud no egress is counted: source and target are taken to be in one region.")
        if way.tags:
            told.append("Tags: objects that have any cost one more read each, and a listing does not tell which; they are not counted.")
        if self._found.looked:
            told.append(f"{self._found.looked:,} objects were looked at one by one to compare them, and would be again.")
        return told


def _thousand(what: str, count: float, price: float) -> tuple[str, float, float]:
    return what, count, count / 1000 * price


def _ten_thousand(what: str, count: float, price: float) -> tuple[str, float, float]:
    return what, count, count / 10_000 * price


def _renames(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [{"source": line["source_key"], "target": line["target_key"], "why": line["why"]} for line in islice(csv.DictReader(file), SHOWN)]
