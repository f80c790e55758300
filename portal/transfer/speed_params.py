"""The parameters that say how fast an engine may move objects, the same for every engine that does; nothing else depends on them."""

from __future__ import annotations

from portal.params import EngineParams, param


class SpeedParams(EngineParams):
    """How many at a time, and how much."""

    concurrency: int = param(0, help="Objects and blocks moved at the same time; 0: adapts to both stores", group="Speed", advanced=True, ge=0, le=64)
    processes: int = param(0, help="Processes that move objects; 0: one for each processor, at most 8", group="Speed", advanced=True, ge=0, le=8)
    max_bandwidth: int = param(0, help="Most bytes in a second, in all; 0: no limit", group="Speed", unit="bytes/s", advanced=True, ge=0)
    max_requests_s: int = param(
        0, help="Most requests in a second to each store; 0: no limit", group="Speed", title="Max requests", unit="requests/s", advanced=True, ge=0
    )
    block_bytes: int = param(0, help="Size of the blocks of large objects; 0: by the object's size", group="Speed", unit="bytes", advanced=True, ge=0)
    stall_s: int = param(
        60, help="Without a byte for so long, a connection counts as stalled and the object is tried again", group="Speed", unit="s", advanced=True,
        ge=1, le=3600,
    )  # fmt: skip
