"""What is wrong with the parameters of a conversion and can be told without looking at a file; no heavy imports."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterable, Mapping

from portal.errors import ConversionFailed
from portal.tabular.options import ConvertOptions
from portal.tabular.shaping import expression

PLACES = ("source", "source_name", "job", "loaded_at")
"""What constants may name in braces."""
_PLACE = re.compile(r"\{([A-Za-z_]+)\}")
_LEVELS = {"zstd": 22, "gzip": 9, "snappy": 0, "none": 0}


def one_character(value: str, names: Mapping[str, str]) -> str:
    """Return one character, or '', given as itself or by a name. Raises ValueError."""
    value = names.get(value, value)
    if len(value) > 1:
        raise ValueError("it is one character" + (f", or one of {', '.join(names)}" if names else ""))
    if value in ("\n", "\r"):
        raise ValueError("a line break ends records and cannot be anything else")
    return value


def encoding(value: str) -> str:
    """Return the name of an encoding as it was given. Raises ValueError when there is none of that name."""
    if value == "auto":
        return value
    try:
        known = codecs.lookup(value)
    except LookupError:
        raise ValueError(f"{value!r} is no encoding; write a name like utf-8, cp1252 or utf-16, or auto") from None
    if not getattr(known, "_is_text_encoding", True):
        raise ValueError(f"{value!r} encodes bytes, not text; write a name like utf-8, cp1252 or utf-16, or auto")
    return value


def document(value: str) -> str:
    """Return a schema document that is a JSON object, or ''. Raises ValueError."""
    if not value.strip():
        return ""
    try:
        found = json.loads(value)
    except ValueError as error:
        raise ValueError(f"it is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError("it is not the JSON object that a conversion writes as _NAME.schema.json")
    return value


def refusal(options: ConvertOptions) -> str:
    """Return why options cannot go together, '' when they can."""
    return next(filter(None, (check(options) for check in _CHECKS)), "")


def _characters(options: ConvertOptions) -> str:
    taken: dict[str, str] = {}
    for name in ("delimiter", "quote", "escape", "comment"):
        value: str = getattr(options, name)
        if value and value in taken and not (name == "escape" and taken[value] == "quote"):
            return f"{taken[value]} and {name} are both {value!r}: nobody could tell them apart"
        taken[value] = name
    return ""


def _digits(options: ConvertOptions) -> str:
    if options.thousands == options.decimal_point:
        return f"decimal_point and thousands are both {options.thousands!r}: 1{options.thousands}234 would be two numbers"
    return ""


def _twice(options: ConvertOptions) -> str:
    for name in ("columns", "partition_by", "bloom_filters"):
        if again := _repeated(getattr(options, name)):
            return f"{name} names {again!r} twice"
    if again := _repeated(name.removeprefix("-") for name in options.sort_by):
        return f"sort_by names {again!r} twice"
    return ""


def _repeated(names: Iterable[str]) -> str:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return ""


def _names(options: ConvertOptions) -> str:
    if any(not name for name in (*options.columns, *options.rename.values(), *options.constants)):
        return "a column needs a name: columns, rename and constants must not name an empty one"
    if again := _repeated((*options.rename.values(), *options.constants)):
        return f"rename and constants give two columns the name {again!r}"
    if options.columns and (missing := [name for name in options.rename if name not in options.columns]):
        return f"rename names {missing[0]!r}, which columns leaves out"
    return _of_output(options)


def _of_output(options: ConvertOptions) -> str:
    """Sorting, partitioning and bloom filters name columns as they are written."""
    if not options.columns:
        return ""
    written = {*(options.rename.get(name, name) for name in options.columns), *options.constants}
    for option in ("partition_by", "sort_by", "bloom_filters"):
        for name in getattr(options, option):
            if name not in written and name.removeprefix("-") not in written:
                return f"{option} names {name!r}, which is not among the columns that are written: {', '.join(sorted(written))}"
    if written <= set(options.partition_by):
        return "partition_by takes every column: none would be left for the files"
    return ""


def _constants(options: ConvertOptions) -> str:
    for name, text in options.constants.items():
        if strange := [place for place in _PLACE.findall(text) if place not in PLACES]:
            return f"constants: {name!r} names {{{strange[0]}}}; there are {', '.join(f'{{{place}}}' for place in PLACES)}"
    return ""


def _writing(options: ConvertOptions) -> str:
    usual = ConvertOptions.model_fields
    for name in ("bloom_filters", "compression", "compression_level"):
        if options.output != "parquet" and getattr(options, name) != usual[name].default:
            return f"{name} is for Parquet files, and output is {options.output}"
    level, most = options.compression_level, _LEVELS[options.compression]
    if level is not None and level > most:
        return f"compression_level {level}: {options.compression} has {f'levels from 1 to {most}' if most else 'no levels'}"
    return ""


def _expression(options: ConvertOptions) -> str:
    if not options.where.strip():
        return ""
    try:
        expression.parse(options.where)
    except ConversionFailed as error:
        return f"{error.message} {error.hint}".strip()
    return ""


_CHECKS: tuple[Callable[[ConvertOptions], str], ...] = (_characters, _digits, _twice, _names, _constants, _writing, _expression)
