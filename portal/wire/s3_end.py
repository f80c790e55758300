"""A bucket of AWS S3, or of what speaks like it, as an end of the thin path."""

from __future__ import annotations

from portal.wire.s3_copying import S3Copying


class S3End(S3Copying):
    """See `portal.wire.ends.End` and `SigningEnd`."""
