"""Where a table's files may lie. Its metadata is written by whoever may write to the table, and could name any file that our connections read:
somebody else's would go over with the table's own.

The container that the table's metadata file lies in is its own, for that is the catalog's word. What the metadata says of itself (`location`,
`write.data.path`) is not believed: other containers and folders are allowed by whoever runs the job.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from portal.lake.iceberg.paths import identity, read_path
from portal.lake.iceberg.refusals import TableRefused
from portal.planning import names
from portal.stores.url import StoreURL

_CLIMBS = re.compile(r"/\.\.?(?:/|$)")
"""Parts of a path that some client or service on the way may resolve, and so leave the folder."""


class Fence:
    """The places that a table's files may lie in.

    Args:
        metadata_path: the table's metadata file, as the catalog has it
        elsewhere: further containers, or folders in them, that are allowed
    """

    def __init__(self, metadata_path: str, elsewhere: Iterable[StoreURL] = ()) -> None:
        self.own = names.as_folder(identity(read_path(metadata_path).root))
        self._places = (self.own, *(names.as_folder(identity(place)) for place in elsewhere))

    def holds(self, url: str) -> bool:
        """Tell whether a file is within, given its URL as `paths.identity` writes it."""
        return url.startswith(self._places) and not _CLIMBS.search(url)

    def refuse(self, urls: Iterable[str], what: str) -> None:
        """Raises TableRefused when any is not within, naming the first one and how many they are."""
        first, count = "", 0
        for url in urls:
            if not self.holds(url):
                first, count = first or url, count + 1
        if count:
            raise TableRefused(
                f"{count:,} of the table's {what} lie outside of its own container {self.own}, and nobody has allowed that: the first is {first}.",
                hint="Whoever may write to a table can have its metadata name files of others. If they are the table's, allow their container or "
                "folder with the parameter elsewhere (s3://bucket/folder/).",
            )
