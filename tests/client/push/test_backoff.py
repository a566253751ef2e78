"""Waiting between attempts."""

from collections.abc import Callable

import pytest

from veredus.client.backoff import Backoff


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def longest(low: float, high: float) -> float:
    assert low == 0
    return high


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def backoff(clock: Clock) -> Backoff:
    return Backoff(clock=clock, uniform=longest)


def test_it_doubles_up_to_a_minute(backoff: Backoff) -> None:
    assert [backoff.next_s() for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]


def test_the_whole_range_is_used() -> None:
    waits = [Backoff().next_s() for _ in range(1000)]
    assert 0 <= min(waits) < 0.05
    assert 0.45 < max(waits) <= 0.5


def test_a_connection_that_was_healthy_for_a_minute_makes_it_begin_again(
    backoff: Backoff, clock: Clock
) -> None:
    for _ in range(5):
        backoff.next_s()
    backoff.connected()
    clock.now += 59.9
    assert backoff.next_s() == 16
    backoff.connected()
    clock.now += 60
    assert backoff.next_s() == 0.5


def test_time_that_passes_without_a_connection_heals_nothing(backoff: Backoff, clock: Clock) -> None:
    backoff.connected()
    for expected in (0.5, 1, 2):
        assert backoff.next_s() == expected
        clock.now += 3600


def test_what_was_received_makes_it_begin_again(backoff: Backoff) -> None:
    for _ in range(5):
        backoff.next_s()
    backoff.reset()
    assert backoff.next_s() == 0.5


@pytest.mark.parametrize(("uniform", "wait_s"), [(longest, 30.5), (lambda low, high: low, 30)])
def test_it_never_waits_less_than_the_server_asks(
    uniform: Callable[[float, float], float], wait_s: float
) -> None:
    assert Backoff(uniform=uniform).next_s(30) == wait_s
