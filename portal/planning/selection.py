"""The parameters that say which objects an engine works on, the same for every engine that lists a source."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from pydantic import field_validator

from portal.params import EngineParams, param
from portal.planning.filters import Filters
from portal.planning.formats import Format
from portal.stores.url import StoreURL


class SourceParams(EngineParams):
    """A source, and filters over what is in it."""

    source: StoreURL = param(
        help="One object, or everything below a container or folder ('s3://b/dir' does not mean 's3://b/dir2')", group="Source",
        placeholder="s3://bucket/folder/",
    )  # fmt: skip
    source_connection: str = param("", help="Connection of the source; none: the default of its kind", group="Source")
    formats: tuple[Format, ...] = param(
        ("csv", "json", "parquet"), group="Source",
        help="Only files of these formats, told by their names (csv: also .tsv; json: also .ndjson, .jsonl; .gz and .zst too)",
    )  # fmt: skip
    include: tuple[str, ...] = param(
        (), group="Source",
        help="Only names that fit one of these patterns: '*.csv' is held against the last part of the name, 'a/*' against the name below the source",
    )  # fmt: skip
    exclude: tuple[str, ...] = param((), help="No names that fit one of these patterns", group="Source")
    regex: tuple[str, ...] = param(
        (), help="Only names below the source in which one of these regular expressions (Python's) is found", group="Source", advanced=True
    )
    min_bytes: int | None = param(
        None, help="Only objects of at least this size", group="Source", title="Min size", unit="bytes", advanced=True, ge=0
    )
    max_bytes: int | None = param(
        None, help="Only objects of at most this size", group="Source", title="Max size", unit="bytes", advanced=True, ge=0
    )
    modified_since: datetime | None = param(
        None, help="Only objects modified at or after this moment (RFC 3339; without a zone: UTC)", group="Source", advanced=True
    )
    modified_until: datetime | None = param(
        None, help="Only objects modified before this moment (RFC 3339; without a zone: UTC)", group="Source", advanced=True
    )
    storage_classes: tuple[str, ...] = param(
        (), help="Only objects in one of these storage classes or access tiers, as the store names them (STANDARD, GLACIER_IR, Cool, …)",
        group="Source", advanced=True,
    )  # fmt: skip

    @field_validator("regex")
    @classmethod
    def _expressions(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in value:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
        return value

    @field_validator("modified_since", "modified_until")
    @classmethod
    def _in_a_zone(cls, value: datetime | None) -> datetime | None:
        return value.replace(tzinfo=UTC) if value and value.tzinfo is None else value

    @property
    def filters(self) -> Filters:
        return Filters(
            self.formats, self.include, self.exclude, self.min_bytes, self.max_bytes, self.modified_since, self.modified_until, self.regex,
            self.storage_classes,
        )  # fmt: skip
