"""Names: how the paths in Iceberg's metadata are read, and which one a file has at the target.

| where a file lies | its name below the target |
| --- | --- |
| below the table's location | the same |
| anywhere else (an earlier location, write.data.path, another bucket, the files of a Hive table) | `elsewhere/` scheme `/` container `/` key |
| where the target could not hold that name | `elsewhere/renamed/` and the name as `portal.planning.names` encodes it |
| below the location in a folder `elsewhere`, `elsewhere_` … | with one `_` more: nobody's place is taken |

No two files get one name, and a name depends on the path and the table's location alone, so every run finds the same ones.
"""

from __future__ import annotations

import re
from dataclasses import replace
from urllib.parse import unquote

from portal.lake.iceberg.refusals import TableRefused
from portal.planning import names
from portal.stores.url import StoreURL

ELSEWHERE = "elsewhere"
_OWN = re.compile(rf"{ELSEWHERE}_*(?=/|$)")
_SCHEMES = {"s3a": "s3", "s3n": "s3", "abfs": "abfss", "wasb": "abfss", "wasbs": "abfss"}
_FILE = re.compile(r"file:(?://[^/]*)?(?=/)")
_BLOB = ".blob."
_COMMITS = re.compile(r"metadata/(?:[^/]*\.metadata\.json(?:\.gz)?|version-hint\.text)")
"""What a catalog of folders goes by: such a file must not come but by a commit."""


def read_path(text: str) -> StoreURL:
    """Return where a path in metadata leads: s3, s3a and s3n are one, and so are abfss, abfs and wasbs; `file:/a`, `file:///a` and `/a` too.

    Raises TableRefused for what no store of ours holds."""
    if text.startswith("/"):
        return StoreURL("file", "", "", text[1:])
    if match := _FILE.match(text):
        return StoreURL("file", "", "", text[match.end() + 1 :])
    scheme, separator, rest = text.partition("://")
    scheme = _SCHEMES.get(scheme.lower(), scheme.lower())
    place, _, key = rest.partition("/")
    container, at, account = place.partition("@")
    if not separator or scheme not in ("s3", "abfss") or not container or (scheme == "abfss") != bool(at and account):
        raise _unreachable(text)
    return StoreURL(scheme, container, account.replace(_BLOB, ".dfs."), key)


def _unreachable(text: str) -> TableRefused:
    if text.startswith(("hdfs:", "viewfs:", "webhdfs:")):
        return TableRefused(
            f"{text} lies in a Hadoop file system, and only s3://, abfss:// and file:// are reached from here.",
            hint="Mount the file system and use file://, or bring the table to S3 with Spark first (ingest_hive with a target catalog there).",
        )
    return TableRefused(f"{text} cannot be reached: the files of a table lie in s3://, abfss:// or file://.", hint="Move the table there first.")


def written_path(url: StoreURL) -> str:
    """Return a URL as it stands in metadata, where readers other than ours need the account's whole name."""
    if url.scheme == "abfss" and "." not in url.account:
        return str(replace(url, account=f"{url.account}.dfs.core.windows.net"))
    return str(url)


def identity(url: StoreURL) -> str:
    """Return the same text for every way to write where one file lies."""
    return str(replace(url, account=url.account.partition(".")[0])) if url.scheme == "abfss" else str(url)


def _as_folder(url: StoreURL) -> str:
    return names.as_folder(identity(url))


class Paths:
    """The names of a table's files at the target.

    Args:
        location: the table's location, as its metadata has it
        target: the folder that becomes the table's location

    Raises TableRefused when one lies in the other: the source's own metadata would be written over.
    """

    def __init__(self, location: str, target: StoreURL) -> None:
        self.source = read_path(location.rstrip("/"))
        self.target = target.at(target.key.rstrip("/"))
        self._raw = location.rstrip("/") + "/"
        self._base = _as_folder(self.source)
        self._folder = names.as_folder(self.target.key)
        self._written = written_path(self.target.at(self._folder))
        self._refuse_nesting()

    def _refuse_nesting(self) -> None:
        target = _as_folder(self.target)
        if target.startswith(self._base) or self._base.startswith(target):
            raise TableRefused(
                f"The table lies in {self.source} and would be copied to {self.target}: one is within the other.",
                hint="Choose a target folder that has nothing to do with the table's own.",
            )

    @property
    def location(self) -> str:
        """The table's location at the target, as its metadata has it."""
        return self._written.rstrip("/")

    def name(self, path: str) -> str:
        """Return the name below the target of a file, given its path in the source's metadata. Raises TableRefused."""
        name = self._below(path[len(self._raw) :]) if path.startswith(self._raw) else self._anywhere(read_path(path))
        if _COMMITS.fullmatch(name):
            raise TableRefused(
                f"The table names {path} among its files, and at the target a file of that name would be taken for a commit.",
                hint="No writer of Iceberg calls data files, manifests or lists so: see who wrote this table's metadata.",
            )
        if names.harmless([self._folder + name]) or not names.refusal(self.target.scheme, self._folder + name):
            return name
        folder = f"{ELSEWHERE}/renamed/"
        return folder + names.encoded(self.target.scheme, name, self._folder + folder)

    def written(self, path: str) -> str:
        """Return the path that stands for it in the target's metadata. Raises TableRefused."""
        return self._written + self.name(path)

    def place(self, name: str) -> StoreURL:
        """Return where a file of a name below the table's location lies at the target."""
        return self.target.at(self._folder + name)

    def url(self, path: str) -> StoreURL:
        """Return where it lies at the target. Raises TableRefused."""
        return self.place(self.name(path))

    def folder(self, path: str) -> str:
        """Return what becomes of a folder that the table's properties name, as the target's metadata has it. Raises TableRefused."""
        bare = path.rstrip("/")
        return self.location if identity(read_path(bare)) == self._base[:-1] else self.written(bare)

    def _anywhere(self, url: StoreURL) -> str:
        text = identity(url)
        if text.startswith(self._base):
            return self._below(text[len(self._base) :])
        account = [url.account.partition(".")[0]] if url.scheme == "abfss" else []
        container = [url.container] if url.container else []
        return "/".join([ELSEWHERE, url.scheme, *account, *container, url.key])

    @staticmethod
    def _below(name: str) -> str:
        own = _OWN.match(name)
        return f"{own[0]}_{name[own.end() :]}" if own else name


def plain_name(path: str) -> str:
    """Return the last part of a path, for a person."""
    return unquote(path.rpartition("/")[2])
