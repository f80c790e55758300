"""Opens the end that an Access leads to. Each kind's module is imported only when one is opened: a process that moves objects starts quickly."""

from __future__ import annotations

import importlib

from portal.errors import SettingError
from portal.wire.ends import Access, End

_ENDS = {
    "s3": ("portal.wire.s3_end", "S3End"),
    "blob": ("portal.wire.blob_end", "BlobEnd"),
    "dfs": ("portal.wire.dfs_end", "DfsEnd"),
    "file": ("portal.wire.local_end", "LocalEnd"),
}


def open_end(access: Access) -> End:
    """Open one thread's way to a container; nothing is sent yet. Raises SettingError for a kind that nobody knows."""
    if access.kind not in _ENDS:
        raise SettingError(f"There is no way to move objects of kind {access.kind!r}.", hint=f"Kinds: {', '.join(_ENDS)}.")
    module, name = _ENDS[access.kind]
    end: End = getattr(importlib.import_module(module), name)(access)
    return end
