"""What an engine's parameters are written with: a frozen pydantic model whose fields also make the form, the flags and the docs."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue


class EngineParams(BaseModel):
    """Parameters of an engine. Form, flags, documentation and validation all come from the fields; see `param`."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def param(
    default: Any = ...,
    *,
    help: str,  # noqa: A002 - the word every command-line tool uses
    group: str = "Options",
    title: str | None = None,
    unit: str = "",
    placeholder: str = "",
    advanced: bool = False,
    multiline: bool = False,
    **constraints: Any,
) -> Any:
    """Return a field of an EngineParams model; everything but the default and the constraints is for people."""
    shown: dict[str, JsonValue] = {"group": group, "unit": unit, "placeholder": placeholder, "advanced": advanced, "multiline": multiline}
    return Field(default, description=help, title=title, json_schema_extra=shown, **constraints)
