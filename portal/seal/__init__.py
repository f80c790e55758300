"""A signed chain of daily digests over the archive, which shows what was changed, removed or slipped in afterwards.

Each closed day that has records gets `archive/YYYY/MM/DD.seal.json`: the SHA-256 of every record by id, the digest of the seal before it,
and an Ed25519 signature (RFC 8032) of the whole. The signing key and the newest seal's digest lie in the folder of the keys. So nobody without
that folder can alter a sealed day unseen; and from a head that was exported on, nobody at all can.
"""

from __future__ import annotations

from portal.seal.links import ChainBroken, Head, Seal, chain, day_of, digests, head, head_of, is_whole, kept_head, paths, read
from portal.seal.sealing import GRACE, alone, due, seal_closed_days
from portal.seal.verifying import Finding, verify

__all__ = [
    "GRACE", "ChainBroken", "Finding", "Head", "Seal", "alone", "chain", "day_of", "digests", "due", "head", "head_of", "is_whole", "kept_head",
    "paths", "read", "seal_closed_days", "verify",
]  # fmt: skip
