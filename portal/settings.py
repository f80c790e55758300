"""Every setting of the portal itself, read from the environment and from `.env`; nothing else reads the environment.

`.env` is parsed, never loaded into the process environment, so that children do not inherit what it holds. A variable that is
really set wins over `.env`. Credentials of stores and warehouses are not here: see `portal.connections`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

from dotenv import dotenv_values
from dotenv.parser import parse_stream
from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError

from portal.errors import SettingError

CODE_ROOT = Path(__file__).resolve().parent.parent
"""Where app.py, worker.py and engines/ are; the working directory of every engine."""


class Settings(BaseSettings):
    """What the operator can set; the name in the environment is the field's name with `PORTAL_` in front."""

    model_config = SettingsConfigDict(env_prefix="PORTAL_", env_ignore_empty=True, frozen=True, extra="ignore")

    home: Path = Field(CODE_ROOT, description="Folder that holds queue/, logs/, archive/, .env and connections.toml")
    keys_dir: Path | None = Field(None, description="Folder of the queue's key pair; default <home>/.keys, never inside queue/")
    slots: int = Field(2, ge=1, le=256, description="Jobs that one worker runs at a time")
    warm: int | None = Field(None, ge=0, le=256, description="Processes kept ready so that a job starts at once; default: slots; 0: none")
    poll_s: float = Field(2.0, gt=0, le=60, description="Seconds between two looks at the queue; file events wake it earlier")
    min_free_mb: int = Field(512, ge=0, description="Submitting is refused when the disk of queue/ has less than this free (MiB)")
    min_free_inodes: int = Field(10_000, ge=0, description="The same for inodes; 0 for file systems that have none")
    max_attempts: int = Field(3, ge=1, le=100, description="Attempts a job gets when it does not say")
    max_interruptions: int = Field(10, ge=1, description="Times a job may be cut off by a dying host, worker or runner")
    retry_base_s: float = Field(5.0, ge=0, description="Delay before the second attempt; doubles with each, with jitter")
    retry_max_s: float = Field(900.0, ge=0, description="Longest delay between two attempts")
    key_days: int = Field(30, ge=1, description="Days an idempotency key is remembered")
    keep_logs_days: int | None = Field(None, ge=1, description="Days the files of a finished job are kept in logs/; empty: for ever")
    keep_archive_days: int | None = Field(None, ge=1, description="Days the record of a finished job is kept in archive/; empty: for ever")
    log_max_mb: int = Field(256, ge=1, description="Size at which a job's log is rotated (MiB)")
    kill_after_s: float = Field(10.0, ge=0, description="Seconds between TERM and KILL when a job is cancelled or times out")
    limits: dict[str, Annotated[int, Field(ge=0)]] = Field(
        default_factory=dict, description='How many jobs may hold a limit at once, as JSON: {"table:x": 1, "engine:migrate": 2}; others 1'
    )
    local_roots: Annotated[tuple[Path, ...], NoDecode] = Field(
        (), description="Folders that file:// URLs may name, separated by ':'; none: only <home>/data"
    )
    host: str = Field("127.0.0.1", description="Address the launcher listens on; others need sign-in to be configured")
    port: int = Field(8501, ge=1, le=65535, description="Port of the launcher")
    url: str = Field("", pattern=r"^(https?://[^\s?#]+)?$", description="Address at which people open the launcher; notifications link to it")

    @field_validator("keys_dir")
    @classmethod
    def _apart_from_the_queue(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        home: Path = info.data.get("home", CODE_ROOT)
        folder = value and (home / value.expanduser()).resolve()
        if folder and folder.is_relative_to(home / "queue"):
            raise ValueError("the keys must not lie in the queue's folder, where whoever backs up the jobs gets them too")
        return folder

    @field_validator("local_roots", mode="before")
    @classmethod
    def _split_paths(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(Path(part).expanduser() for part in value.split(os.pathsep) if part)

    @property
    def queue_dir(self) -> Path:
        return self.home / "queue"

    @property
    def logs_dir(self) -> Path:
        return self.home / "logs"

    @property
    def archive_dir(self) -> Path:
        return self.home / "archive"

    @property
    def key_pair_dir(self) -> Path:
        return self.keys_dir or self.home / ".keys"

    @property
    def allowed_roots(self) -> tuple[Path, ...]:
        """Folders that file:// URLs may name."""
        return self.local_roots or (self.home / "data",)

    @property
    def env_file(self) -> Path:
        return self.home / ".env"

    @property
    def connections_file(self) -> Path:
        return self.home / "connections.toml"

    @property
    def variables(self) -> Mapping[str, str]:
        """The process environment over `.env`: what `connections` and `env:NAME` values are looked up in."""
        return {**_env_file_values(self.env_file), **os.environ}


def _env_file_values(path: Path) -> dict[str, str]:
    with _readable(path):
        return {name: value for name, value in dotenv_values(path, interpolate=False).items() if value}


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SettingError(f"{path} cannot be read.", hint="Give it to the user that runs the portal.") from error
    except UnicodeDecodeError:
        raise SettingError(f"{path} is not text in UTF-8.", hint="Save it as UTF-8.") from None


def _check_env_file(path: Path) -> None:
    """Refuse a line that nobody would read, and a setting of ours that does not exist; never show a value."""
    if not path.exists():
        return
    with _readable(path), path.open(encoding="utf-8") as file:
        bindings = list(parse_stream(file))
    known = [f"PORTAL_{name.upper()}" for name in Settings.model_fields]
    for binding in bindings:
        line = binding.original.line
        if binding.error:
            raise SettingError(f"Line {line} of {path} cannot be read.", hint="Write NAME=value, one a line, quotes closed.")
        if binding.key and binding.key.startswith("PORTAL_") and binding.key not in known:
            near = get_close_matches(binding.key, known, 1)
            hint = f"Did you mean {near[0]}?" if near else "`.env.example` explains every setting."
            raise SettingError(f"Line {line} of {path}: {binding.key} is no setting of the portal.", hint=hint)


def load(home: Path | None = None) -> Settings:
    """Read the settings for a home folder (default: PORTAL_HOME, else the folder of the code).

    Raises:
        SettingError: a value cannot be used; the message names the variable and what to put there.
    """
    folder = (home or Path(os.environ.get("PORTAL_HOME") or CODE_ROOT)).expanduser().resolve()
    env_file = folder / ".env"
    _check_env_file(env_file)
    where = f"Correct it in {env_file} or in the environment."
    try:
        return Settings(home=folder, _env_file=env_file)
    except ValidationError as error:
        raise SettingError(_first_problem(error), hint=where) from None
    except SettingsError as error:
        raise SettingError(f"A setting is not the JSON it should be: {error}", hint=where) from error.__cause__


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    name = str(problem["loc"][0])
    meaning = Settings.model_fields[name].description if name in Settings.model_fields else ""
    return f"PORTAL_{name.upper()}={problem['input']!r} cannot be used: {problem['msg'].removeprefix('Value error, ')}. It means: {meaning}"
