"""The breaker's table: who is let through, and when."""

from tts_server.stores.breaker import Breaker


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_one_failure_opens_it_and_one_success_closes_it() -> None:
    clock = Clock()
    breaker = Breaker(5, clock)
    assert breaker.admits()
    breaker.failed()
    assert [breaker.admits() for _ in range(3)] == [False] * 3
    clock.seconds = 5
    assert [breaker.admits() for _ in range(3)] == [True, False, False], "one call tries"
    breaker.succeeded()
    assert [breaker.admits() for _ in range(3)] == [True] * 3


def test_a_try_that_fails_keeps_it_open() -> None:
    clock = Clock()
    breaker = Breaker(5, clock)
    breaker.failed()
    clock.seconds = 5
    assert breaker.admits()
    clock.seconds = 7
    breaker.failed()
    clock.seconds = 11.9
    assert not breaker.admits()
    clock.seconds = 12
    assert breaker.admits()


def test_a_try_that_never_reports_back_costs_one_pause() -> None:
    clock = Clock()
    breaker = Breaker(5, clock)
    breaker.failed()
    clock.seconds = 5
    assert breaker.admits()
    clock.seconds = 10
    assert breaker.admits()
