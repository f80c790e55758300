"""A class of Java by its whole name: asked for once, not package by package, for each of which Java looks through all its jars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_KNOWN: WeakKeyDictionary[Any, dict[str, Any]] = WeakKeyDictionary()
"""By the Java that they are of."""


def java_class(spark: SparkSession, name: str) -> Any:
    """Return a class, to be called or asked for what is static: `java_class(spark, "java.util.HashMap")()`."""
    known = _KNOWN.setdefault(spark._jvm, {})
    if name not in known:
        known[name] = getattr(spark._jvm, name)
    return known[name]
