"""A listing that is read ahead is the same listing: every page once, errors where they belong, nothing left waiting."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from portal.planning.ahead import read_ahead


@settings(deadline=None)
@given(some.lists(some.integers()), some.booleans())
def test_it_yields_what_the_iterator_yields_and_raises_what_it_raises(values: list[int], fails: bool) -> None:
    def items() -> Iterator[int]:
        yield from values
        if fails:
            raise LookupError("at the end")

    got = []
    try:
        for value in read_ahead(items()):
            got.append(value)
    except LookupError:
        assert fails
    else:
        assert not fails
    assert got == values


def test_the_next_item_is_on_its_way_while_one_is_worked_on() -> None:
    begun = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        begun.set()
        yield 2

    pages = read_ahead(items())
    assert next(pages) == 1
    assert begun.wait(5), "nobody asked for the second item, and it was not fetched"
    assert list(pages) == [2]


def test_left_before_its_end_it_closes_the_iterator() -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.set()

    pages = read_ahead(items())
    next(pages)
    pages.close()  # type: ignore[attr-defined]
    assert closed.wait(5)


def test_nobody_waits_for_an_iterator_that_is_silent() -> None:
    hold = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        hold.wait(30)
        yield 2

    pages = read_ahead(items())
    next(pages)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        pages.throw(KeyboardInterrupt)  # type: ignore[attr-defined]
    assert time.monotonic() - began < 5
    hold.set()
