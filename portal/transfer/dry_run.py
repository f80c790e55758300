"""What a transfer would do and what that would cost, without doing it."""

from __future__ import annotations

import logging
from typing import Any

from portal.errors import visible
from portal.movers import pulling
from portal.movers.copying import one_service
from portal.planning import estimate, estimate_text
from portal.planning.planner import Planned
from portal.planning.preflight import Preflight
from portal.planning.prices import Prices
from portal.tabular.options import DATA_SET_MARK
from portal.transfer.migration import Migration
from portal.transfer.route import Route, usual_block_bytes


def dry_run(migration: Migration, planned: Planned, found: Preflight, prices: Prices, log: logging.Logger) -> dict[str, Any]:
    """Return what would be done (the keys of `report.dry_run`; `previews` of the first that would be converted), and tell it in the log."""
    told = estimate.Estimate(planned, found, migration.policies, _way(migration.route), prices).report(migration.folder)
    told["sample"] = [{**line, "target": _shown(line)} for line in told["sample"]]
    for line in told["sample"]:
        log.info("%s %s → %s (%s bytes)", line["action"], visible(line["source"]), visible(line["target"]), f"{line['bytes']:,}")
    log.info("all of them are in %s", planned.path)
    for problem in found.shown:
        log.warning("conflict: %s", problem)
    for url in found.occupied if migration.policies.overwrite == "fail" else ():
        log.warning("exists already: %s", url)
    for text in estimate_text.text(told):
        log.info("%s", text)
    if migration.route.convert:
        told["previews"] = migration.route.convert.previews(told["sample"])
    return told


def _shown(line: dict[str, Any]) -> str:
    """A target; of a conversion into many files the folder, and not what says that it is whole."""
    target = str(line["target"])
    return target.removesuffix(DATA_SET_MARK) if line["action"] == "convert" and target.endswith(f"/{DATA_SET_MARK}") else target


def _way(route: Route) -> estimate.Way:
    source, target = route.source.url.scheme, route.target.url.scheme
    pulls, block_bytes = _pulls(route), route.block_bytes or usual_block_bytes(target)
    if pulls and target == "s3":
        block_bytes = max(block_bytes, pulling.BLOCK_BYTES)
    return estimate.Way(
        source, target, block_bytes, pulls, route.verify != "none", route.max_bandwidth, route.max_requests_s, route.carry and route.carry_tags
    )


def _pulls(route: Route) -> bool:
    """Whether the target's service would fetch by itself what can be proven so."""
    if route.mode == "stream" or route.md5 or route.verify == "md5" or route.source.url.scheme != "s3":
        return False
    target = route.target.access()
    return one_service(route.source.access(), target) if target.kind == "s3" else target.kind == "blob"
