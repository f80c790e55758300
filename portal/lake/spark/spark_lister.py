"""Lists a container on the executors of Spark, as `portal.planning.listing.Lister` does on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from portal.lake.spark.calls import Calls
from portal.planning.spreading import part
from portal.planning.spreading.azure_parts import AzureParts, ListsLevels
from portal.planning.spreading.part import Reading
from portal.planning.spreading.s3_parts import S3Parts
from portal.planning.spreading.spread_lister import Cuts, SpreadLister
from portal.transfer.side import Side
from portal.wire.ends import Listed
from portal.wire.opening import open_end

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


class SparkLister:
    """Lists one side of a transfer. Used by one thread."""

    def __init__(self, session: SparkSession, side: Side, folder: Path, check: Callable[[], None]) -> None:
        """
        Args:
            folder: one that nobody else uses, for what is listed before its turn
            check: called often, and may raise Cancelled
        """
        self._session, self._side, self._folder, self._check = session, side, folder, check
        self.tasks_run = 0

    def pages(self, prefix: str, continuation: str | None = None) -> Iterator[Listed]:
        """Yield what `Lister.pages` yields, and raise what it raises; SparkFailed, too."""
        calls: Calls[Any, Reading] = Calls(self._session, part.read, None, name="listing")
        with calls:
            lister = SpreadLister(self._cuts(), self._side.access, calls, self._folder, self._check)
            yield from lister.pages(prefix, continuation)
            self.tasks_run = lister.tasks_run

    def _cuts(self) -> Cuts:
        if self._side.access().kind == "blob":
            return AzureParts(lambda: cast(ListsLevels, open_end(self._side.access())), self._check)
        store = self._side.store
        return S3Parts(
            lambda prefix, continuation: store.list_page(prefix, recursive=False, continuation=continuation),
            lambda: open_end(self._side.access()), self._check,
        )  # fmt: skip

    def close(self) -> None:
        """Nothing is open between two listings."""
