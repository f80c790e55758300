"""Threads that talk to Java: each has a connection of its own there, which has to be closed."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TypeVar

_In = TypeVar("_In")
_Out = TypeVar("_Out")


@contextmanager
def talking() -> Iterator[None]:
    """What runs inside is all that this thread has to say to Java."""
    try:
        yield
    finally:
        with suppress(Exception):  # Java may be gone already
            importlib.import_module("pyspark.util").InheritableThread._clean_py4j_conn_for_current_thread()


def mapped(function: Callable[[_In], _Out], items: Iterable[_In], threads: int) -> Iterator[_Out]:
    """Yield what a function that asks Java returns for each item, in order, several at the same time."""

    def called(item: _In) -> _Out:
        with talking():
            return function(item)

    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(called, items)
