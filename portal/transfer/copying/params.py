"""What a copy is told: which objects, where they go, what is done about what is in the way, and how they are proven."""

from __future__ import annotations

from typing import Literal

from portal.params import param
from portal.planning.policies import Overwrite, Verify
from portal.planning.selection import SourceParams
from portal.stores.url import StoreURL


class CopyParams(SourceParams):
    keys: tuple[str, ...] = param(
        (), help="Only these objects: whole keys, as a listing shows them; formats, patterns, sizes and dates then do not matter", group="Source"
    )
    keys_file: StoreURL | None = param(
        None, help="The same from a text file with one key a line, or from a Parquet inventory of the list engine (column key)",
        group="Source", advanced=True,
    )  # fmt: skip
    allow_empty: bool = param(False, help="Succeed when nothing matches, instead of failing", group="Source", advanced=True)

    target: StoreURL = param(help="Where it goes: a container and folder", group="Target", placeholder="abfss://container@account/folder/")
    target_connection: str = param("", help="Connection of the target; none: the default of its kind", group="Target")
    endpoint: Literal["blob", "dfs"] = param(
        "blob", help="Azure: blob needs one request for a small object; dfs writes beside the target and renames", group="Target", advanced=True
    )
    layout: Literal["prefix", "flat"] = param(
        "prefix", group="Target",
        help="prefix keeps the folders below the source; flat puts every file into one folder (see flat_folder) under its last name part",
    )  # fmt: skip
    flat_folder: str = param(
        "raw_data", help="The folder below the target that layout=flat fills; empty: the target itself", group="Target", advanced=True
    )
    overwrite: Overwrite = param(
        "fail", group="Target",
        help="When a target exists: fail stops before anything moves and lists them; skip leaves them; newer copies when the source is later or of "
        "another size; different when the target is not the copy of this very version; checksum compares stored checksums (a request for each); "
        "replace copies always",
    )  # fmt: skip
    bad_names: Literal["fail", "skip", "rename"] = param(
        "fail", group="Target", advanced=True,
        help="When the target cannot hold a name: fail stops before anything moves, skip leaves those objects out, rename encodes the name so that "
        "it can be read back (names.csv and the metadata source_url tell both)",
    )  # fmt: skip
    twins: Literal["fail", "skip", "rename"] = param(
        "fail", group="Target", advanced=True,
        help="When several sources have one target name, or one needs a folder where another is a file: fail stops before anything moves, skip "
        "takes the first, rename gives the others a name of their own",
    )  # fmt: skip
    archived: Literal["fail", "skip"] = param(
        "fail", help="When objects must be restored before they can be read: fail stops before anything moves, skip leaves them out",
        group="Target", advanced=True,
    )  # fmt: skip
    too_large: Literal["fail", "skip"] = param(
        "fail", help="When objects are larger than the target can hold: fail stops before anything moves, skip leaves them out",
        group="Target", advanced=True,
    )  # fmt: skip
    mirror: bool = param(
        False, help="Bring the target to what the source is: overwrite is then different, and what only the target has is listed", group="Target"
    )
    delete_extra: bool = param(False, help="With mirror: delete what only the target has, after everything else went well", group="Target")
    max_deletes: int = param(
        1000, help="With delete_extra: with more to delete than this, nothing is done at all", group="Target", unit="objects", advanced=True, ge=0
    )
    confirm_delete: str = param("", help="With delete_extra: the target's URL again, to show that it is meant", group="Target")
    tier: str = param("", help="Storage class or access tier of what is written; none: the target's default", group="Target", advanced=True)

    verify: Verify = param(
        "none", help="Read every target again and compare CRC64 or MD5; none still compares every block and the source's stored checksum",
        group="Proof",
    )  # fmt: skip
    md5: bool = param(
        False, help="Compute MD5 too, compare it with the one that the source stores, and store it with the target (Content-MD5)", group="Proof",
        title="MD5", advanced=True,
    )  # fmt: skip
    accept_size: bool = param(
        False, help="Copy objects that store no CRC64 server-side too: of those only the length is then proven", group="Proof", advanced=True
    )

    mode: Literal["auto", "server", "stream"] = param(
        "auto", group="How", advanced=True,
        help="server: Azure fetches the bytes from S3, or S3 copies them, by itself; stream: they pass this machine; auto: server where proven",
    )  # fmt: skip
    carry: bool = param(True, help="Carry headers, metadata, tags and times along", group="How", advanced=True)
    carry_tags: bool = param(True, help="Carry tags too, which may cost a request an object", group="How", advanced=True)

    convert: Literal["none", "parquet"] = param("none", help="Write CSV and JSON files as Parquet; other files are copied", group="Conversion")
