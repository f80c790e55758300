"""Expressions bound to the columns of a table: types checked before the first row, values computed by Arrow, nulls as in SQL."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from portal.errors import ConversionFailed
from portal.tabular.columns.type_names import named
from portal.tabular.shaping.comparing import NUMBERS, Family, Unlike, brought, common, family
from portal.tabular.shaping.expression import Applied, Expression, Named, Node, Value
from portal.tabular.shaping.lexing import wrong
from portal.tabular.shaping.moments import a_date, a_moment

Batch = Any
"""pyarrow.RecordBatch."""


def _divided(left: Any, right: Any) -> Any:
    return pc.divide(left, pc.if_else(pc.equal(right, 0.0), None, right))


_COMPARED: dict[str, Callable[[Any, Any], Any]] = {
    "=": pc.equal, "!=": pc.not_equal, "<": pc.less, "<=": pc.less_equal, ">": pc.greater, ">=": pc.greater_equal,
}  # fmt: skip
_COMPUTED: dict[str, Callable[[Any, Any], Any]] = {"+": pc.add_checked, "-": pc.subtract_checked, "*": pc.multiply_checked, "/": _divided}
_MATCHED: dict[str, Callable[[Any, str], Any]] = {
    "like": pc.match_like, "ilike": lambda values, pattern: pc.match_like(values, pattern, ignore_case=True),
    "starts_with": pc.starts_with, "ends_with": pc.ends_with, "contains": pc.match_substring,
}  # fmt: skip
_TEXTS: frozenset[Family] = frozenset({"text"})
_DAYS: frozenset[Family] = frozenset({"date", "timestamp"})
_ONE: dict[str, tuple[frozenset[Family], Callable[[Any], Any]]] = {
    "lower": (_TEXTS, pc.utf8_lower), "upper": (_TEXTS, pc.utf8_upper), "trim": (_TEXTS, pc.utf8_trim_whitespace), "length": (_TEXTS, pc.utf8_length),
    "year": (_DAYS, pc.year), "month": (_DAYS, pc.month), "day": (_DAYS, pc.day), "not": (frozenset({"boolean"}), pc.invert),
    "abs": (NUMBERS, pc.abs_checked), "negative": (NUMBERS, pc.negate_checked),
}  # fmt: skip
"""Functions of one argument: the families that it may have."""
_OF_NULL = {"not": pa.bool_(), "abs": pa.int64(), "negative": pa.int64(), "year": pa.date32(), "month": pa.date32(), "day": pa.date32()}
"""As what a bare null is taken; else as a text."""
_UNSIGNED_TO_SIGNED = frozenset({"negative", "abs"})


@dataclass(frozen=True, slots=True)
class Bound:
    """A part of an expression that can be computed: a batch in, an Arrow array or scalar of `type` out."""

    type: Any
    value: Callable[[Batch], Any]
    node: Node

    @property
    def text(self) -> str | None:
        """The text of a plain literal, None of anything else."""
        literal = isinstance(self.node, Value) and isinstance(self.node.value, str) and not self.node.form
        return str(self.node.value) if literal and isinstance(self.node, Value) else None


class Predicate:
    """A condition on the rows of one schema."""

    def __init__(self, expression: Expression, schema: Any) -> None:
        """`schema` is a pyarrow.Schema. Raises ConversionFailed, naming the place: unknown columns, types that do not go together."""
        self._expression = expression
        self._schema = schema
        self._root = self._bind(expression.root)
        if family(self._root.type) not in ("boolean", "null"):
            raise self._wrong(expression.root, f"this is a value ({named(self._root.type)}), not a condition", "Compare it with something.")
        self.mask(pa.RecordBatch.from_arrays([pa.nulls(0, item.type) for item in schema], schema=schema))

    def mask(self, batch: Batch) -> Any:
        """Return a boolean array: true, false or null for each row.

        Raises:
            ConversionFailed: a value cannot be computed exactly (overflow, division by zero).
        """
        try:
            found = self._root.value(batch)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            text = self._expression.text
            hint = "Each part is computed for every row: write it so that none overflows."
            raise ConversionFailed(f"where: {text!r} cannot be computed for every row.", hint=hint) from error
        found = found.cast(pa.bool_())
        return found if isinstance(found, pa.Array) else pa.repeat(found, batch.num_rows)

    def _wrong(self, node: Node, message: str, hint: str = "") -> ConversionFailed:
        return wrong(self._expression.text, node.at, message, hint)

    def _bind(self, node: Node) -> Bound:
        if isinstance(node, Value):
            return self._literal(node)
        if isinstance(node, Named):
            return self._column(node)
        parts = [self._bind(argument) for argument in node.arguments]
        if node.name in ("and", "or"):
            return self._connected(node, parts)
        if node.name in _COMPARED:
            return self._compared(node, _COMPARED[node.name], *parts)
        if node.name == "in":
            equal = [self._compared(node, pc.equal, parts[0], part) for part in parts[1:]]
            return equal[0] if len(equal) == 1 else self._connected(Applied("or", node.arguments, node.at), equal)
        return self._applied(node, parts)

    def _applied(self, node: Applied, parts: list[Bound]) -> Bound:
        if node.name in _COMPUTED:
            return self._computed(node, *parts)
        if node.name in _MATCHED:
            return self._matched(node, *parts)
        if node.name == "null":
            return Bound(pa.bool_(), lambda batch: pc.is_null(parts[0].value(batch)), node)
        if node.name == "coalesce":
            return self._coalesced(node, parts)
        return self._of_one(node, *parts)

    def _literal(self, node: Value) -> Bound:
        try:
            scalar = _scalar(node)
        except ValueError as error:
            example = "2026-01-31" if node.form == "date" else "2026-01-31T05:00:00, then maybe Z or +01:00"
            raise self._wrong(node, f"{node.value!r} is no {node.form}", f"Write it like {example}.") from error
        return Bound(scalar.type, lambda _: scalar, node)

    def _column(self, node: Named) -> Bound:
        name, *fields = node.path
        if name not in self._schema.names:
            alike = [other for other in self._schema.names if other.lower() == name.lower() or other == ".".join(node.path)]
            known = f'Is "{alike[0]}" meant?' if alike else f"There are {_listed(self._schema.names)}. A text stands in '…': '{name}'."
            raise self._wrong(node, f"there is no column {name!r}", known)
        kind = self._schema.field(name).type
        for field in fields:
            if family(kind) != "struct" or kind.get_field_index(field) < 0:
                raise self._wrong(node, f"there is no field {field!r} in it ({named(kind)})")
            kind = kind.field(field).type
        return Bound(kind, lambda batch: pc.struct_field(batch.column(name), fields) if fields else batch.column(name), node)

    def _connected(self, node: Applied, parts: list[Bound]) -> Bound:
        for part in parts:
            if family(part.type) not in ("boolean", "null"):
                told = f"{node.name} connects conditions, and this is a value ({named(part.type)})"
                raise self._wrong(part.node, told, "Compare it with something.")
        connect = pc.and_kleene if node.name == "and" else pc.or_kleene
        return Bound(pa.bool_(), lambda batch: reduce(connect, (part.value(batch).cast(pa.bool_()) for part in parts)), node)

    def _compared(self, node: Applied, compare: Callable[[Any, Any], Any], left: Bound, right: Bound) -> Bound:
        left, right = self._as_time(left, right), self._as_time(right, left)
        left, right = _as_short(left, right), _as_short(right, left)
        kind = self._common(node, left, right)
        if family(kind) == "null":
            return Bound(pa.bool_(), lambda batch: pa.nulls(batch.num_rows, pa.bool_()), node)
        far = _beyond(left, kind) or _beyond(right, kind)
        bring = _in_seconds if far else brought
        return Bound(pa.bool_(), lambda batch: compare(bring(left.value(batch), kind), bring(right.value(batch), kind)), node)

    def _common(self, node: Applied, left: Bound, right: Bound) -> Any:
        try:
            return common(left.type, right.type)
        except Unlike as error:
            raise self._wrong(node, f"{error}: {named(left.type)} {node.name} {named(right.type)}", _advice(left.type, right.type)) from error

    def _as_time(self, part: Bound, other: Bound) -> Bound:
        """A text beside a date or a timestamp is one."""
        kind = family(other.type)
        if part.text is None or kind not in ("date", "timestamp"):
            return part
        plain_date = kind == "date" and len(part.text) <= len("2026-01-31")
        return self._literal(Value(part.text, part.node.at, "date" if plain_date else "timestamp"))

    def _computed(self, node: Applied, left: Bound, right: Bound) -> Bound:
        for part in (left, right):
            if family(part.type) not in NUMBERS | {"null"}:
                raise self._wrong(part.node, f"{node.name} needs numbers, and this is {named(part.type)}")
        compute = _COMPUTED[node.name]
        floats = node.name == "/" or "float" in (family(left.type), family(right.type))
        kinds = (pa.float64(), pa.float64()) if floats else _operands(left.type, right.type, compute)
        if kinds is None:
            raise self._wrong(node, f"{named(left.type)} {node.name} {named(right.type)} would have too many digits")
        result = compute(*(pa.nulls(0, kind) for kind in kinds)).type
        bring = _rounded if floats else brought
        return Bound(result, lambda batch: compute(bring(left.value(batch), kinds[0]), bring(right.value(batch), kinds[1])), node)

    def _matched(self, node: Applied, values: Bound, pattern: Bound) -> Bound:
        self._needs(node, values, _TEXTS)
        if pattern.text is None:
            raise self._wrong(pattern.node, f"{node.name} needs a text in '…' here")
        match, text = _MATCHED[node.name], pattern.text
        return Bound(pa.bool_(), lambda batch: match(brought(values.value(batch), pa.large_string()), text), node)

    def _coalesced(self, node: Applied, parts: list[Bound]) -> Bound:
        first = next((part for part in parts if part.text is None and family(part.type) != "null"), parts[0])
        parts = [self._as_time(part, first) for part in parts]
        try:
            kind = reduce(common, (part.type for part in parts))
        except Unlike as error:
            raise self._wrong(node, f"coalesce needs values of one kind: {error}") from error
        return Bound(kind, lambda batch: pc.coalesce(*(brought(part.value(batch), kind) for part in parts)), node)

    def _of_one(self, node: Applied, part: Bound) -> Bound:
        accepted, compute = _ONE[node.name]
        self._needs(node, part, accepted)
        kind = part.type
        if family(kind) == "null":
            kind = _OF_NULL.get(node.name, pa.large_string())
        elif family(kind) == "text":
            kind = pa.large_string()
        elif node.name in _UNSIGNED_TO_SIGNED and pa.types.is_unsigned_integer(kind):
            kind = _operand(kind, kind == pa.uint64())
        return Bound(compute(pa.nulls(0, kind)).type, lambda batch: compute(brought(part.value(batch), kind)), node)

    def _needs(self, node: Applied, part: Bound, accepted: frozenset[Family]) -> None:
        if family(part.type) not in accepted | {"null"}:
            wanted = " or ".join(sorted(accepted))
            raise self._wrong(part.node, f"{'-' if node.name == 'negative' else node.name} needs {wanted}, and this is {named(part.type)}")


def _listed(names: list[str], most: int = 12) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _scalar(node: Value) -> Any:
    value = node.value
    if node.form:
        return a_date(str(value)) if node.form == "date" else a_moment(str(value))
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
        value = Decimal(value)
    return pa.scalar(value, pa.large_string()) if isinstance(value, str) else pa.scalar(value)


def _as_short(part: Bound, other: Bound) -> Bound:
    """A fraction beside a 32-bit float is one: 0.1 there is another number than 0.1 in 64 bits."""
    value = part.node.value if isinstance(part.node, Value) else None
    if other.type != pa.float32() or not isinstance(value, float | Decimal) or not value % 1:
        return part
    scalar = brought(pa.scalar(value), pa.float32(), safe=False)
    return Bound(scalar.type, lambda _: scalar, part.node)


def _operand(kind: Any, decimals: bool) -> Any:
    """Return the type in which a number is computed with."""
    if family(kind) in ("decimal", "float"):
        return kind
    return pa.decimal128(20 if kind == pa.uint64() else 19, 0) if decimals else pa.int64()


def _operands(left: Any, right: Any, compute: Callable[[Any, Any], Any]) -> tuple[Any, Any] | None:
    """Return the types in which two numbers are computed with, wide enough for the result; None when there are none."""
    decimals = "decimal" in (family(left), family(right)) or pa.uint64() in (left, right)
    one, other = _operand(left, decimals), _operand(right, decimals)
    for widen in (False, True):
        kinds = (_widened(one), _widened(other)) if widen else (one, other)
        with suppress(pa.ArrowInvalid, pa.ArrowNotImplementedError):
            compute(*(pa.nulls(0, kind) for kind in kinds))
            return kinds
    return None


def _widened(kind: Any) -> Any:
    return pa.decimal256(kind.precision, kind.scale) if family(kind) == "decimal" else kind


def _rounded(value: Any, kind: Any) -> Any:
    """What is computed in floats is rounded anyway."""
    return brought(value, kind, safe=False)


def _advice(left: Any, right: Any) -> str:
    kinds = {family(left), family(right)}
    if "text" in kinds and kinds & NUMBERS:
        return "Texts stand in '…', numbers without; the type of a column can be set in types."
    return "Moments with a zone need one: '2026-01-31T05:00:00Z'." if "timestamp" in kinds else ""


def _beyond(part: Bound, kind: Any) -> bool:
    """Whether a literal lies outside what the unit of the other side reaches (the year 9999 in nanoseconds)."""
    if family(kind) != "timestamp" or not isinstance(part.node, Value):
        return False
    try:
        brought(part.value(None), kind)
    except pa.ArrowInvalid:
        return True
    return False


def _in_seconds(value: Any, kind: Any) -> Any:
    """Beside a moment beyond its reach, a column's fractions of a second tell nothing."""
    return pc.cast(value, pa.timestamp("s", kind.tz), safe=False)
