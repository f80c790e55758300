"""The price table of the estimate: the built-in `prices.toml` under whatever `prices.toml` in the home folder says."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from portal.errors import SettingError

PRICES_FILE = "prices.toml"
_BUILT_IN = Path(__file__).with_name(PRICES_FILE)


Price = Annotated[float, Field(ge=0)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, allow_inf_nan=False)


class S3Prices(_Table):
    list_per_1000: Price
    get_per_1000: Price
    head_per_1000: Price
    put_per_1000: Price
    delete_per_1000: Price
    egress_per_gb: Price
    retrieval_per_gb: dict[str, Price]


class AzurePrices(_Table):
    list_per_10000: Price
    read_per_10000: Price
    write_per_10000: Price
    other_per_10000: Price
    delete_per_10000: Price
    egress_per_gb: Price
    retrieval_per_gb: dict[str, Price]


class Speed(_Table):
    objects_per_s: float = Field(gt=0)
    bytes_per_s: float = Field(gt=0)
    pulled_bytes_per_s: float = Field(gt=0)
    looks_per_s: float = Field(gt=0)
    listed_per_s: float = Field(gt=0)


class Prices(_Table):
    """Prices in `currency`; a gigabyte is 10⁹ bytes."""

    currency: str
    as_of: str
    """When they were looked up, as the estimate tells it."""
    regions: str
    s3: S3Prices
    azure: AzurePrices
    speed: Speed


def load(home: Path) -> Prices:
    """Read the price table. Raises SettingError when the file in the home folder cannot be used, naming what is wrong."""
    own = home / PRICES_FILE
    values = tomllib.loads(_BUILT_IN.read_text("utf-8"))
    if own.exists():
        _merge(values, _read(own), own, "")
    try:
        return Prices.model_validate(values)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        name = ".".join(map(str, problem["loc"]))
        said = str(problem["msg"])
        raise SettingError(f"{own}: {name} = {problem['input']!r} cannot be used: {said[:1].lower()}{said[1:]}.", hint=f"See {_BUILT_IN}.") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"{path} cannot be read.", hint="It must be text in UTF-8 that the portal's user may read.") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingError(f"{path} is not TOML: {error}.", hint=f"Copy lines from {_BUILT_IN} and change their numbers.") from None


def _merge(values: dict[str, Any], changes: Mapping[str, Any], path: Path, table: str) -> None:
    for name, value in changes.items():
        if name not in values and not table.endswith("retrieval_per_gb."):
            near = get_close_matches(name, values, 1)
            hint = f"Did you mean {table}{near[0]}?" if near else f"Known are {', '.join(table + known for known in values)}."
            raise SettingError(f"{path}: {table}{name} is no price.", hint=hint)
        if isinstance(values.get(name), dict) and isinstance(value, dict):
            _merge(values[name], value, path, f"{table}{name}.")
        else:
            values[name] = value
