"""The packages of the lakehouse are an extra: everything else works without them, and who needs one that is not there is told so once, clearly."""

from __future__ import annotations

import importlib.util

from portal.errors import SettingError

PACKAGES = ("pyiceberg", "pyspark", "fastavro")
"""What requirements-lake.txt brings, by the names that are imported."""

_HINT = "Install the packages of the lakehouse where the worker runs: pip install -r requirements-lake.txt"


def there(*names: str) -> bool:
    """Tell whether packages can be imported, without importing them."""
    return all(importlib.util.find_spec(name) is not None for name in names or PACKAGES)


def need(*names: str) -> None:
    """Raises SettingError, naming what is missing and how to get it, when a package cannot be imported."""
    missing = [name for name in names or PACKAGES if not there(name)]
    if missing:
        what = " and ".join(missing)
        raise SettingError(f"The lakehouse needs {what}, and {'it is' if len(missing) == 1 else 'they are'} not installed.", hint=_HINT)
