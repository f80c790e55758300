"""See `portal.tabular.proving.digest`."""

from portal.tabular.proving.digest import ColumnDigest

__all__ = ["ColumnDigest"]
