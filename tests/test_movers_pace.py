"""How fast to go: back when an end throttles, more threads while the network is waited for, and never above the user's caps."""

from __future__ import annotations

import threading
import time

import pytest

from portal.errors import Cancelled
from portal.movers.pace import FEWEST_THREADS, Crew, Gate, Memory, Rate
from tests.moved import Trip
from tests.proxy import Proxy, Rule, asks, faults
from tests.transferring import Clouds, put


def never() -> bool:
    return False


def gate(most: int) -> Gate:
    return Gate(most, Rate(0, never), never)


def test_a_gate_is_halved_once_a_second_and_grows_by_one_a_window() -> None:
    end = gate(16)
    for _ in range(8):
        end.__enter__()
    end.throttled(0)
    end.throttled(0)
    assert end.limit == 4, "half of those in flight, once"
    for _ in range(8):
        end.__exit__(None, None, None)
    assert end.limit == 5
    assert not end.open
    for _ in range(1000):
        with end:
            pass
    assert end.limit == 16 and end.open
    end.throttled(0, in_flight=10)
    assert end.limit == 16, "once a second"


def test_a_gate_that_nobody_went_through_is_halved_from_what_is_under_way() -> None:
    end = gate(64)
    assert end.open
    end.throttled(0, in_flight=10)
    assert (end.limit, end.open) == (5, False)


def test_nobody_passes_a_full_gate_and_a_cancel_ends_the_wait() -> None:
    stopped = threading.Event()
    end = Gate(4, Rate(0, never), stopped.is_set)
    end.__enter__()
    end.throttled(0)
    assert end.limit == 1
    told: list[str] = []

    def wait() -> None:
        try:
            with end:
                told.append("in")
        except Cancelled:
            told.append("cancelled")

    waiting = threading.Thread(target=wait)
    waiting.start()
    stopped.set()
    waiting.join(2)
    assert told == ["cancelled"]


def test_an_end_is_left_alone_for_as_long_as_it_asked() -> None:
    end = gate(4)
    end.throttled(0.3)
    began = time.monotonic()
    with end:
        assert time.monotonic() - began >= 0.29


def test_an_end_that_asks_to_be_left_alone_for_years_is_asked_again_soon() -> None:
    end = gate(4)
    end.throttled(3986 * 86_400.0)
    assert end._held_until - time.monotonic() <= 30


def test_large_blocks_share_the_memory_and_one_goes_through_however_large() -> None:
    stopped = threading.Event()
    memory = Memory(10, stopped.is_set)
    with memory.holding(100):
        stopped.set()
        with pytest.raises(Cancelled), memory.holding(1):
            pass
    with memory.holding(4), memory.holding(6):
        assert memory.held_bytes == 10
    assert memory.held_bytes == 0


def test_a_rate_makes_wait_and_a_cancel_ends_that() -> None:
    rate = Rate(10, never)
    began = time.monotonic()
    for _ in range(7):
        rate.take(1)
    assert 0.4 <= time.monotonic() - began < 1, "seven at ten a second, a quarter of a second of them at once"
    with pytest.raises(Cancelled):
        Rate(0.001, lambda: True).take(1)


def test_threads_are_doubled_while_that_pays_and_the_process_waits() -> None:
    crew = Crew(32)
    sizes = [crew.look(n, busy=0.1, rate=100 * crew.size, all_at_work=True) for n in range(6)]
    assert sizes == [4, 8, 16, 32, 32, 32]
    crew = Crew(32)
    assert [crew.look(n, busy=0.9, rate=100, all_at_work=True) for n in range(3)] == [FEWEST_THREADS] * 3, "it has enough to compute"
    assert crew.look(4, busy=0.1, rate=100, all_at_work=False) == FEWEST_THREADS, "there is no work for more"
    assert [crew.look(n, busy=0.1, rate=100, all_at_work=True) for n in (5, 6, 7)] == [4, 2, 2], "more brought nothing"


def many(clouds: Clouds, count: int) -> Trip:
    for n in range(count):
        put(clouds.local, f"{clouds.home}/data/f/{n:03}"[1:], b"x" * n)
    return Trip(clouds, f"file://{clouds.home}/data/f/", f"{clouds.lake}/", processes=1)


def test_far_away_many_connections_are_used_and_close_by_few(wires: tuple[Clouds, Proxy, Proxy]) -> None:
    clouds, _, adls = wires
    trip = many(clouds, 300)
    adls.rules = [Rule(faults.latency(0.05), asks("PUT"), times=-1)]
    assert trip.run().books.outcomes == {"copied": 300}
    assert adls.most_at_once > 6


def test_concurrency_is_never_passed(wires: tuple[Clouds, Proxy, Proxy]) -> None:
    clouds, _, adls = wires
    trip = many(clouds, 60)
    trip.route = type(trip.route)(**{**vars(trip.route), "concurrency": 3})
    adls.rules = [Rule(faults.latency(0.02), asks("PUT"), times=-1)]
    trip.run()
    assert adls.most_at_once == 3


def test_bandwidth_and_requests_are_capped(wires: tuple[Clouds, Proxy, Proxy]) -> None:
    clouds, _, _ = wires
    put(clouds.local, f"{clouds.home}/data/g/a"[1:], b"x" * 100_000)
    for cap in ({"max_bandwidth": 100_000}, {"max_requests_s": 6}):
        trip = Trip(clouds, f"file://{clouds.home}/data/g/", f"{clouds.lake}/{next(iter(cap))}/", processes=1, block_bytes=25_000, **cap)
        began = time.monotonic()
        assert trip.run().books.outcomes == {"copied": 1}
        assert time.monotonic() - began > 0.7, cap


def test_what_throttles_is_asked_less(wires: tuple[Clouds, Proxy, Proxy]) -> None:
    clouds, _, adls = wires
    trip = many(clouds, 40)
    adls.rules = [Rule(faults.answer(503, "ServerBusy", {"Retry-After": "1"}), asks("PUT"), times=3)]
    began = time.monotonic()
    moved = trip.run()
    assert moved.books.outcomes == {"copied": 40} and max(row["attempts"] for row in moved.rows.values()) > 1
    assert time.monotonic() - began > 1
