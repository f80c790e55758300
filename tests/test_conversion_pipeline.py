"""Work in threads: order, bounded memory, errors in their place, and a cancel that is heard while everything waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal.errors import Cancelled
from portal.tabular.conversion.pipeline import in_order


def nothing() -> None:
    """No cancel."""


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 3), max_size=40), st.integers(1, 4))
def test_results_come_in_the_order_of_the_items_however_long_each_takes(delays: list[int], workers: int) -> None:
    def work(item: tuple[int, int]) -> int:
        time.sleep(item[1] / 4000)
        return item[0]

    assert list(in_order(enumerate(delays), work, check=nothing, workers=workers)) == list(range(len(delays)))


def test_no_more_items_are_taken_than_threads_and_a_few() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in range(1000):
            taken += 1
            yield number

    results = in_order(items(), lambda item: item, check=nothing, workers=2)
    for seen in range(20):
        assert next(results) == seen
        assert taken <= seen + 8
    results.close()  # type: ignore[attr-defined]


def test_an_error_comes_after_all_results_before_it() -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise ValueError("no sixth")

    seen: list[int] = []
    with pytest.raises(ValueError, match="no sixth"):
        for result in in_order(items(), lambda item: item, check=nothing):
            seen.append(result)
    assert seen == [0, 1, 2, 3, 4]


def test_the_first_error_in_order_wins_over_one_that_is_quicker() -> None:
    late = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            late.wait(5)
            raise ValueError("first")
        late.set()
        raise ValueError("second")

    with pytest.raises(ValueError, match="first"):
        list(in_order(range(2), work, check=nothing, workers=2))


def test_a_cancel_is_heard_while_the_source_is_silent_and_the_reader_is_closed_when_it_speaks() -> None:
    speaks, closed = threading.Event(), threading.Event()

    def items() -> Iterator[int]:
        try:
            yield 1
            speaks.wait(30)
            yield 2
        finally:
            closed.set()

    began = time.monotonic()

    def check() -> None:
        if time.monotonic() - began > 0.1:
            raise Cancelled

    with pytest.raises(Cancelled):
        list(in_order(items(), lambda item: item, check=check))
    assert time.monotonic() - began < 5
    speaks.set()
    assert closed.wait(5)


def test_a_timeout_of_the_work_itself_is_an_error_like_any_other() -> None:
    def work(item: int) -> int:
        raise TimeoutError("of the store")

    with pytest.raises(TimeoutError, match="of the store"):
        list(in_order([1], work, check=nothing))


def test_no_thread_is_left_when_the_results_are_given_up() -> None:
    before = threading.active_count()
    results = in_order(iter(range(100)), lambda item: item, check=nothing)
    assert next(results) == 0
    results.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
