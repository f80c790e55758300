"""Finds the engines and describes their parameters: form, flags, docs and validation all come from here."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import types
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from difflib import get_close_matches
from enum import Enum
from typing import Any, Literal, NoReturn, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from portal.errors import BadParameters
from portal.jobs import ENGINE_PATTERN
from portal.params import EngineParams
from portal.redact import Redactor
from portal.settings import CODE_ROOT
from portal.stores.url import StoreURL

Kind = Literal["text", "integer", "number", "boolean", "choice", "list", "url", "connection", "date", "datetime", "json"]


@dataclass(frozen=True)
class FieldSpec:
    """One parameter, as a form, a flag or a page of documentation needs it."""

    name: str
    kind: Kind
    title: str
    help: str
    required: bool
    default: Any
    """JSON value."""
    group: str = "Options"
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    unit: str = ""
    placeholder: str = ""
    advanced: bool = False
    multiline: bool = False
    optional: bool = False
    """None is a value."""

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")


@dataclass(frozen=True)
class EngineSpec:
    """One engine: the first line of its docstring, the rest of it, and its parameters."""

    name: str
    summary: str
    description: str
    params: type[EngineParams]
    fields: tuple[FieldSpec, ...]


def names() -> list[str]:
    """Return the names of the engines there are."""
    files = (CODE_ROOT / "engines").glob("*.py")
    return sorted(file.stem for file in files if ENGINE_PATTERN.fullmatch(file.stem))


def engine(name: str) -> EngineSpec:
    """Describe an engine. Raises BadParameters when there is none of that name."""
    if name not in names():
        near = get_close_matches(name, names(), 1)
        raise BadParameters(f"There is no engine {name!r}.", hint=f"{f'Did you mean {near[0]}? ' if near else ''}Engines: {', '.join(names())}.")
    module = importlib.import_module(f"engines.{name}")
    return describe(name, module.__doc__ or "", module.Params)


def describe(name: str, doc: str, params: type[EngineParams]) -> EngineSpec:
    summary, _, rest = doc.strip().partition("\n")
    return EngineSpec(name, summary.strip(), rest.strip(), params, tuple(_specs(params)))


def validate(name: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of an engine as canonical JSON values, defaults left out. Raises BadParameters."""
    values: dict[str, Any] = read_params(engine(name).params, params).model_dump(mode="json", exclude_defaults=True)
    return values


def read_params(kind: type[EngineParams], params: Mapping[str, Any]) -> Any:
    """Return the Params of an engine. Raises BadParameters, naming every parameter that is wrong and how."""
    try:
        return kind.model_validate(dict(params))
    except ValidationError as error:
        problems = [_problem(kind, item) for item in _causes(error)]
    raise _wrong(problems)


def check_partly(name: str, params: Mapping[str, Any], later: Collection[str]) -> None:
    """Check the parameters of an engine while those named in `later` are not known yet. Raises BadParameters."""
    kind = engine(name).params
    if strange := sorted(set(later) - set(kind.model_fields)):
        raise BadParameters(f"{strange[0]} is not a parameter of {name}; there are {', '.join(kind.model_fields)}.")
    try:
        kind.model_validate({key: value for key, value in params.items() if key not in later})
    except ValidationError as error:
        if found := [_problem(kind, item) for item in _causes(error) if item["loc"] and item["loc"][0] not in later]:
            raise _wrong(found) from None


def _causes(error: ValidationError) -> list[Any]:
    """Return what is wrong, without lists that are too short for pydantic only because it has left out their wrong items."""
    found = error.errors(include_url=False)
    holders = {item["loc"][:end] for item in found for end in range(len(item["loc"]))}
    return [item for item in found if item["type"] != "too_short" or item["loc"] not in holders]


def _wrong(problems: list[str]) -> BadParameters:
    first, *rest = problems
    return BadParameters("\n  - ".join([f"{len(problems)} parameters are wrong:", *problems]) if rest else f"A parameter is wrong: {first}")


_EXAMPLES = {
    "int": "write a whole number, like 10485760 for 10 MiB", "float": "write a number, like 2.5", "bool": "write true or false",
    "datetime": "write a moment, like 2026-11-21 or 2026-11-21T22:00:00Z", "date": "write a day, like 2026-11-21",
}  # fmt: skip
"""Said instead of pydantic's words, by the beginning of its types of errors (int_parsing, datetime_from_date_parsing)."""


def _problem(kind: type[EngineParams], item: Mapping[str, Any]) -> str:
    place = ".".join(str(part) for part in item["loc"])
    if item["type"] == "missing":
        return f"{place} is missing: {kind.model_fields[str(item['loc'][0])].description}"
    if item["type"] == "extra_forbidden":
        return f"{place} is not a parameter; there are {', '.join(kind.model_fields)}"
    said = _EXAMPLES.get(str(item["type"]).partition("_")[0], "") or str(item["msg"]).removeprefix("Value error, ")
    given = repr(item["input"])
    known = said.startswith(given) or Redactor()(given) != given  # what looks like a secret is not repeated
    shown = "" if not place or known else f" (it is {given})"
    return f"{place}: {said}{shown}" if place else said


def _specs(params: type[EngineParams]) -> Iterator[FieldSpec]:
    for name, info in params.model_fields.items():
        yield _spec(name, info)


def _spec(name: str, info: FieldInfo) -> FieldSpec:
    kind, choices, optional = _kind(name, info.annotation)
    extra: dict[str, Any] = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    limits = {key: getattr(item, key) for item in info.metadata for key in ("ge", "gt", "le", "lt") if getattr(item, key, None) is not None}
    default = None if info.is_required() else _as_json(info.get_default(call_default_factory=True))
    return FieldSpec(
        name, kind, info.title or name.replace("_", " ").capitalize(), info.description or "", info.is_required(), default,
        choices=choices, optional=optional, minimum=limits.get("ge", limits.get("gt")), maximum=limits.get("le", limits.get("lt")),
        **{key: extra[key] for key in ("group", "unit", "placeholder", "advanced", "multiline") if key in extra},
    )  # fmt: skip


def _as_json(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple | list | set | frozenset):
        return [_as_json(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float | str | dict) else str(value)


_PLAIN: dict[Any, Kind] = {
    str: "text", int: "integer", float: "number", bool: "boolean", StoreURL: "url", dict: "json", date: "date", datetime: "datetime",
}  # fmt: skip


def _kind(name: str, annotation: Any) -> tuple[Kind, tuple[str, ...], bool]:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        inner = [item for item in args if item is not type(None)]
        kind, choices, _ = _kind(name, inner[0]) if len(inner) == 1 else ("text", (), False)
        return kind, choices, type(None) in args
    if origin is Literal:
        return "choice", tuple(str(item) for item in args), False
    if origin in (list, tuple, set, frozenset):
        inner_kind, choices, _ = _kind(name, args[0])
        return "list", choices if inner_kind == "choice" else (), False
    if origin is dict:
        return "json", (), False
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return "choice", tuple(str(item.value) for item in annotation), False
    if annotation is str and name.endswith(("connection", "catalog")):
        return "connection", (), False
    return _PLAIN.get(annotation, "text"), (), False


_VALUE = "\0"
"""Stands before values that look like flags, out of sight of argparse; no argument of a process can hold it."""


def _of_list(word: str) -> str:
    return word.removeprefix(_VALUE)


class FlagParser(argparse.ArgumentParser):
    """Says which flag may have been meant by one that there is not, and takes `-name` for a value behind the flag of a list."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        return super().parse_known_args(self._values_marked(sys.argv[1:] if args is None else args), namespace)

    def _values_marked(self, args: Sequence[str]) -> list[str]:
        lists = {flag for action in self._actions if action.type is _of_list for flag in action.option_strings}
        known = {flag for action in self._actions for flag in action.option_strings}
        words, inside = [], False
        for word in args:
            inside = word in lists if word.startswith("--") else inside and word not in known
            words.append(_VALUE + word if inside and word.startswith("-") and word not in lists else word)
        return words

    def error(self, message: str) -> NoReturn:
        strange = [word for word in message.removeprefix("unrecognized arguments: ").split() if word.startswith("--")]
        known = [flag for action in self._actions for flag in action.option_strings]
        meant = get_close_matches(strange[0].partition("=")[0], known, 1) if strange and message.startswith("unrecognized") else []
        super().error(f"{message} (did you mean {meant[0]}?)" if meant else message)


def add_flags(parser: argparse.ArgumentParser, spec: EngineSpec) -> None:
    """Give a parser one flag per parameter, in the groups of the form."""
    groups: dict[str, Any] = {}
    for item in spec.fields:
        if item.group not in groups:
            groups[item.group] = parser.add_argument_group(item.group)
        group = groups[item.group]
        if item.kind == "boolean":
            group.add_argument(item.flag, action=argparse.BooleanOptionalAction, default=None, help=_flag_help(item))
        elif item.kind == "list":
            group.add_argument(item.flag, nargs="*", action="extend", default=None, type=_of_list, metavar=_metavar(item), help=_flag_help(item))
        else:
            group.add_argument(item.flag, default=None, metavar=_metavar(item), help=_flag_help(item))


def _metavar(item: FieldSpec) -> str:
    if item.choices:
        return "{" + ",".join(choice if choice[:1].isalnum() else repr(choice) for choice in item.choices) + "}"
    return {"url": "URL", "integer": "N", "number": "X", "connection": "NAME", "json": "JSON"}.get(item.kind, item.unit.upper() or "TEXT")


def _flag_help(item: FieldSpec) -> str:
    parts = [item.help]
    if item.unit:
        parts.append(f"[{item.unit}]")
    if item.required:
        parts.append("(required)")
    elif item.default not in (None, "", [], {}):
        shown = " ".join(map(str, item.default)) if isinstance(item.default, list) else item.default
        parts.append(f"(default: {shown})")
    return " ".join(parts).replace("%", "%%")


def from_flags(arguments: argparse.Namespace, spec: EngineSpec) -> dict[str, Any]:
    """Return the parameters that were given as flags. Raises BadParameters when a JSON flag is not JSON."""
    given: dict[str, Any] = {}
    for item in spec.fields:
        value = getattr(arguments, item.name, None)
        if value is None:
            continue
        if item.kind == "json":
            try:
                value = json.loads(value)
            except ValueError as error:
                raise BadParameters(f"{item.flag} must be JSON: {error}.") from None
        given[item.name] = value
    return given


def markdown(spec: EngineSpec) -> str:
    """Return the reference page of an engine."""
    lines = [f"## {spec.name}", "", spec.summary, "", spec.description, "", "| parameter | meaning | default |", "| --- | --- | --- |"]
    for item in spec.fields:
        default = "required" if item.required else f"`{json.dumps(item.default)}`"
        shape = f" One of {', '.join(f'`{choice}`' for choice in item.choices)}." if item.choices else ""
        unit = f" [{item.unit}]" if item.unit else ""
        lines.append(f"| `{item.name}` | {item.help}{unit}{shape} | {default} |".replace("\n", " "))
    return "\n".join(line.rstrip() for line in lines) + "\n"
