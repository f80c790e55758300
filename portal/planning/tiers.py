"""Access tiers and storage classes, by name."""

from __future__ import annotations

_KNOWN = {
    "abfss": ("Hot", "Cool", "Cold", "Archive"),
    "s3": ("STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE", "REDUCED_REDUNDANCY"),
}  # fmt: skip
"""Of block blobs and of AWS; an S3 of another maker may have classes of its own, in capitals."""


def refusal(tier: str, scheme: str, endpoint: str) -> str:
    """Return why nothing can be written in a tier ('' the store's default), or ''. `scheme` is that of the target's URL."""
    if not tier:
        return ""
    if scheme == "file":
        return "tier: files have none; leave it out"
    if scheme == "abfss" and endpoint == "dfs":
        return "tier cannot be combined with endpoint=dfs, which stores no access tier: write through endpoint=blob"
    known = _KNOWN[scheme]
    if tier not in known and not (scheme == "s3" and tier.isascii() and tier.isupper()):
        return f"tier {tier!r} is none of {', '.join(known)}"
    return ""
