"""The JSON of temporary AWS credentials: as `aws sts` prints it (`{"Credentials": {…}}`) or flat (`aws configure export-credentials`)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from portal import clock
from portal.errors import SettingError

_HINT = 'It must be JSON with AccessKeyId, SecretAccessKey and SessionToken, as "aws sts get-session-token" prints it.'


@dataclass(frozen=True)
class AwsCredentials:
    """Keys of an AWS account. `expires_at` is RFC 3339, '' when the file does not tell."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)
    expires_at: str = ""


def read(path: str | Path) -> AwsCredentials:
    """Read a credentials file. Raises SettingError, naming the file and the field that is wrong, never a value."""
    file = Path(path).expanduser()
    try:
        data: Any = json.loads(file.read_text("utf-8"))
    except OSError as error:
        raise SettingError(f"The credentials file {file} cannot be read.", hint=_HINT) from error
    except ValueError:
        # The parser's own message may quote what it stumbled over.
        raise SettingError(f"The credentials file {file} is not JSON.", hint=_HINT) from None
    inner = data.get("Credentials", data) if isinstance(data, dict) else None
    if not isinstance(inner, dict):
        raise SettingError(f"The credentials file {file} does not hold credentials.", hint=_HINT)
    token = _text(file, inner, "SessionToken", required=False) or _text(file, inner, "Token", required=False)
    return AwsCredentials(_text(file, inner, "AccessKeyId"), _text(file, inner, "SecretAccessKey"), token, _expiry(file, inner))


def _text(file: Path, values: dict[str, Any], name: str, *, required: bool = True) -> str:
    value = values.get(name)
    if value is None and not required:
        return ""
    if not isinstance(value, str) or not value.strip():
        raise SettingError(f"The credentials file {file} does not hold credentials: {name} is missing or empty.", hint=_HINT)
    return value.strip()


def _expiry(file: Path, values: dict[str, Any]) -> str:
    told = values.get("Expiration")
    if not told:
        return ""
    try:
        clock.parse_ms(str(told))
    except ValueError:
        raise SettingError(f"The credentials file {file} has an Expiration that is no moment.", hint="Write it as 2026-11-21T10:58:31Z.") from None
    return str(told)
