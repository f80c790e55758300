"""What an upload is told: which files, where they go and under which keys, and what follows once each is there."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import field_validator

from portal.params import param
from portal.planning.formats import Format
from portal.planning.policies import Verify
from portal.planning.selection import SourceParams
from portal.stores.url import StoreURL
from portal.transfer.uploading import template as templates


class _PlaceParams(SourceParams):
    source: StoreURL = param(help="A file, or a folder with everything below it", group="Source", placeholder="file:///srv/box/out/")
    formats: tuple[Format, ...] = param(
        ("any",), group="Source",
        help="Only files of these formats, told by their names (csv: also .tsv; json: also .ndjson, .jsonl; .gz and .zst too)",
    )  # fmt: skip
    keys: tuple[str, ...] = param(
        (), help="Only these files: whole paths without the leading slash; formats, patterns, sizes and dates then do not matter", group="Source",
        advanced=True,
    )  # fmt: skip
    min_age_s: float = param(0, help="Leave out files that changed in the last so many seconds", group="Source", unit="s", advanced=True, ge=0)
    allow_empty: bool = param(False, help="Succeed when there is nothing to upload, instead of failing", group="Source", advanced=True)

    target: StoreURL = param(help="Bucket or container, and a folder in it if the template is to begin there", group="Target", placeholder="s3://lake/")
    target_connection: str = param("", help="Connection of the target; none: the default of its kind", group="Target")
    create_bucket: bool = param(False, help="Create the bucket or container when there is none", group="Target")
    overwrite: Literal["different", "replace", "skip", "fail", "apart"] = param(
        "different", group="Target",
        help="When a target exists: different replaces it unless it has the same bytes; replace always does; skip leaves other bytes as they are; "
        "fail then uploads nothing at all; apart leaves other bytes as they are and gives the file a key of its own",
    )  # fmt: skip
    twins: Literal["rename", "skip", "fail"] = param(
        "rename", group="Target", advanced=True,
        help="When several files would get one key: rename gives the later ones a name of their own, skip uploads the first, fail nothing at all",
    )  # fmt: skip
    bad_names: Literal["fail", "rename"] = param(
        "fail", group="Target", advanced=True,
        help="When the target cannot hold a name: fail lets that file fail, rename encodes the name so that it can be read back (names.csv)",
    )  # fmt: skip
    endpoint: Literal["blob", "dfs"] = param(
        "blob", help="Azure: blob needs one request for a small object; dfs writes beside the target and renames", group="Target", advanced=True
    )
    tier: str = param("", help="Storage class or access tier of what is written; none: the target's default", group="Target", advanced=True)


class KeyParams(_PlaceParams):
    template: str = param(templates.DEFAULT, help="The key below the target: text, and {names} as docs/uploading.md lists them", group="Key")
    layer: str = param("Raw", help="What {layer} stands for", group="Key")
    source_name: str = param("Local", help="What {source} stands for", group="Key")
    dataset: str = param(
        "", help="What {dataset} stands for; none: of each file the first folder that it lies in, else its name without endings", group="Key"
    )
    moment: datetime | None = param(
        None, help="What date parts are of (RFC 3339; without a zone: time_zone's); none: the moment at which the job began", group="Key",
        advanced=True,
    )  # fmt: skip
    dates: Literal["job", "file"] = param(
        "job", help="Date parts of: job, that moment; file, when each file was changed last", group="Key", advanced=True
    )
    time_zone: str = param("UTC", help="Time zone of date parts", group="Key", placeholder="Europe/Berlin", advanced=True)

    @field_validator("template")
    @classmethod
    def _can_be_read(cls, value: str) -> str:
        templates.parsed(value)
        return value

    @field_validator("layer", "source_name", "dataset")
    @classmethod
    def _may_be_folders(cls, value: str) -> str:
        return templates.refuse_folders(value)

    @field_validator("time_zone")
    @classmethod
    def _is_known(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            raise ValueError(f"nobody knows the time zone {value!r}; write it as Europe/Berlin or UTC") from None
        return value


class UploadParams(KeyParams):
    reencode: Literal["none", "utf-8"] = param("none", help="Write CSV files as UTF-8, whatever their encoding is", group="Content")
    encoding: str = param(
        "auto", help="With reencode: encoding of the files; auto: told by their bytes, where those speak clearly", group="Content", advanced=True
    )

    queue: str = param("", help="SQS queue that is told of each object: name or URL; none: nobody is", group="Afterwards", placeholder="arrivals")
    queue_connection: str = param("", help="Connection of kind s3 that leads to SQS too; none: the default", group="Afterwards")
    create_queue: bool = param(False, help="Create the queue when there is none", group="Afterwards")
    after: Literal["keep", "move", "delete"] = param("keep", help="What happens to a file once it has arrived and is announced", group="Afterwards")
    done_folder: StoreURL | None = param(
        None, help="With after=move: the folder that files are moved to, under their paths below the source", group="Afterwards",
        placeholder="file:///srv/box/UploadedToS3/",
    )  # fmt: skip

    verify: Verify = param(
        "none", help="Read every object again and compare CRC64 or MD5; none relies on the store, which compares every request", group="Proof"
    )
    md5: bool = param(False, help="Compute MD5 too, and store it with the target (Azure: Content-MD5)", group="Proof", title="MD5", advanced=True)
