"""A bucket of AWS S3, or of what speaks like it, as an end of the thin path."""

from __future__ import annotations

from portal.wire.s3_writing import S3Writing


class S3End(S3Writing):
    """See `portal.wire.ends.End` and `SigningEnd`."""
