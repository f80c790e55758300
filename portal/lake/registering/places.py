"""Places as Snowflake writes them (azure://ACCOUNT.blob.core.windows.net/CONTAINER/PATH) and as the portal and Iceberg do (abfss://…)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from portal.errors import PortalError
from portal.lake.iceberg.paths import read_path
from portal.stores.url import StoreURL

_AZURE_HOST = ".blob.core.windows.net"
_S3 = ("s3", "s3gov", "s3china")


@dataclass(frozen=True, slots=True)
class Place:
    """A file or folder in a cloud, however it is written."""

    provider: str
    """`azure` or `s3`."""
    account: str
    container: str
    path: str
    """Without a leading slash."""

    @classmethod
    def of(cls, url: StoreURL) -> Self | None:
        """Return where a URL of ours leads, None for one that Snowflake cannot reach."""
        if url.scheme == "abfss":
            return cls("azure", url.account.partition(".")[0], url.container, url.key)
        return cls("s3", "", url.container, url.key) if url.scheme == "s3" else None

    @classmethod
    def of_file(cls, location: str) -> Self | None:
        """The same for a path as Iceberg's metadata has it."""
        try:
            return cls.of(read_path(location))
        except PortalError:
            return None

    @classmethod
    def of_base(cls, url: str) -> Self | None:
        """Return where a URL of Snowflake's leads, None when it is of another cloud."""
        scheme, _, rest = url.partition("://")
        host, _, path = rest.partition("/")
        if scheme in _S3:
            return cls("s3", "", host, path)
        container, _, key = path.partition("/")
        return cls("azure", host.partition(".")[0], container, key) if scheme == "azure" and container else None

    def below(self, base: Place) -> str | None:
        """Return what leads from a folder to this place, without a leading slash; None when it lies elsewhere."""
        folder = f"{base.path.strip('/')}/" if base.path.strip("/") else ""
        inside = (self.provider, self.account, self.container) == (base.provider, base.account, base.container) and self.path.startswith(folder)
        return self.path.removeprefix(folder) if inside else None


def base_url(folder: StoreURL) -> str:
    """Return a folder of ADLS as the base URL of a volume, with a slash at its end."""
    account, dot, rest = folder.account.partition(".")
    host = f"{account}{dot}{rest.replace('dfs.', 'blob.', 1)}" if dot else f"{account}{_AZURE_HOST}"
    key = folder.key.strip("/")
    return f"azure://{host}/{folder.container}/" + (f"{key}/" if key else "")


def told(url: str) -> Place | None:
    """Return where a file lies that Snowflake names, as azure:// or as the metadata has it; None when it is in another cloud."""
    return Place.of_base(url) or Place.of_file(url)


def readable(url: str, like: StoreURL) -> StoreURL | None:
    """Return a file that Snowflake names as a URL of ours, with the account as `like` writes it; None when it is in another cloud."""
    place = told(url)
    if place is None:
        return None
    if place.provider == "s3":
        return StoreURL("s3", place.container, "", place.path)
    account = like.account if like.scheme == "abfss" and like.account.partition(".")[0] == place.account else place.account
    return StoreURL("abfss", place.container, account, place.path)
