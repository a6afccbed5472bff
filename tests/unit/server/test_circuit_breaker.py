"""The breaker against a model of it that is written another way: a list of what happened, read from the start."""

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from tts_server.circuit_breaker import SERVICE, Breaker, BreakerSettings, Permit, State

LIMITS = BreakerSettings(failures_to_open=3, open_seconds=5, longest_open_seconds=15)
COUNTERS = BreakerSettings(failures_to_open=1, open_seconds=0.125, longest_open_seconds=2)


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def opened(clock: Clock) -> Breaker:
    breaker = Breaker(clock, LIMITS)
    for _ in range(3):
        fail(breaker)
    return breaker


def state(breaker: Breaker) -> State:
    return breaker.state


def fail(breaker: Breaker) -> bool:
    permit = breaker.permit()
    assert permit is not None
    return breaker.failed(permit)


def test_failures_in_a_row_open_it_and_one_success_between_them_does_not() -> None:
    breaker = Breaker(Clock(), LIMITS)
    assert [fail(breaker), fail(breaker)] == [False, False]
    permit = breaker.permit()
    assert permit is not None
    breaker.succeeded(permit)
    assert [fail(breaker), fail(breaker), fail(breaker)] == [False, False, True]
    assert breaker.state is State.OPEN
    assert breaker.permit() is None


def test_one_probe_closes_it() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.seconds += 5
    assert state(breaker) is State.HALF_OPEN
    probe = breaker.permit()
    assert probe is not None
    assert breaker.permit() is None, "one probe at a time"
    breaker.succeeded(probe)
    assert breaker.state is State.CLOSED


def test_each_failed_probe_doubles_the_wait_up_to_a_limit() -> None:
    clock = Clock()
    breaker = opened(clock)
    for seconds in (5, 10, 15, 15):
        clock.seconds += seconds - 0.01
        assert breaker.permit() is None
        clock.seconds += 0.01
        assert fail(breaker)


def test_a_probe_whose_listener_left_makes_room_for_another() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.seconds += 5
    probe = breaker.permit()
    assert probe is not None
    breaker.abandoned(probe)
    assert breaker.allows


def test_what_began_before_it_opened_says_nothing_afterwards() -> None:
    clock = Clock()
    breaker = Breaker(clock, LIMITS)
    late = [breaker.permit(), breaker.permit()]
    for _ in range(3):
        fail(breaker)
    assert late[0] is not None
    breaker.succeeded(late[0])
    assert state(breaker) is State.OPEN
    clock.seconds += 5
    assert late[1] is not None
    assert not breaker.failed(late[1])
    assert breaker.state is State.HALF_OPEN


def test_a_success_that_comes_late_counts_in_its_own_period_only() -> None:
    clock = Clock()
    breaker = Breaker(clock, LIMITS)
    late = breaker.permit()
    for _ in range(3):
        fail(breaker)
    clock.seconds += 5
    probe = breaker.permit()
    assert probe is not None
    breaker.succeeded(probe)
    assert [fail(breaker), fail(breaker)] == [False, False]
    assert late is not None
    breaker.succeeded(late)
    assert fail(breaker), "the third in a row: what succeeded had begun before"


def test_a_probe_that_succeeds_too_late_closes_nothing() -> None:
    clock = Clock()
    breaker = Breaker(clock, SERVICE)
    fail(breaker)
    clock.seconds += 5
    silent = breaker.permit()
    clock.seconds += 5
    fail(breaker)
    assert silent is not None
    breaker.succeeded(silent)
    assert breaker.state is State.OPEN


def test_a_service_is_waited_for_by_one_caller_and_its_pause_stays_the_same() -> None:
    clock = Clock()
    breaker = Breaker(clock, SERVICE)
    others = [breaker.permit(), breaker.permit()]
    assert fail(breaker)
    for late in others:
        assert late is not None
        clock.seconds += 1
        assert not breaker.failed(late), "those who waited beside it add nothing to the pause"
    clock.seconds += 3
    for _ in range(3):
        assert fail(breaker)
        clock.seconds += 4.99
        assert breaker.permit() is None
        clock.seconds += 0.01
    probe = breaker.permit()
    assert probe is not None
    breaker.succeeded(probe)
    assert [breaker.permit() is not None for _ in range(3)] == [True] * 3


def test_a_probe_that_never_reports_back_costs_one_pause() -> None:
    clock = Clock()
    breaker = Breaker(clock, SERVICE)
    fail(breaker)
    clock.seconds += 5
    silent = breaker.permit()
    assert silent is not None
    assert breaker.permit() is None
    clock.seconds += 5
    second = breaker.permit()
    assert second is not None
    breaker.succeeded(second)
    assert not breaker.failed(silent)
    assert breaker.state is State.CLOSED


def test_after_a_success_the_next_loss_begins_with_a_short_wait_again() -> None:
    clock = Clock()
    breaker = Breaker(clock, COUNTERS)
    fail(breaker)
    for seconds in (0.125, 0.25, 0.5, 1.0, 2.0, 2.0):
        clock.seconds += seconds - 0.001
        assert breaker.permit() is None
        clock.seconds += 0.001
        fail(breaker)
    clock.seconds += 2
    probe = breaker.permit()
    assert probe is not None
    breaker.succeeded(probe)
    fail(breaker)
    clock.seconds += 0.125
    assert breaker.allows


class Machine(RuleBasedStateMachine):
    """Any order of attempts, ends and waits."""

    permits: Bundle[Permit] = Bundle("permits")

    @initialize()
    def begin(self) -> None:
        self.clock = Clock()
        self.breaker = Breaker(self.clock, LIMITS)
        self.open_since: float | None = None
        self.wait = LIMITS.open_seconds
        self.failures = 0
        self.current: list[Permit] = []
        """Permits under way that were given in this state."""

    def expected(self) -> State:
        if self.open_since is None:
            return State.CLOSED
        return State.OPEN if self.clock.seconds < self.open_since + self.wait else State.HALF_OPEN

    @rule(seconds=st.sampled_from([0.5, 4.0, 5.0, 20.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.seconds += seconds

    @rule(target=permits)
    def attempt(self) -> Permit:
        state, permit = self.expected(), self.breaker.permit()
        due = state is State.CLOSED or (state is State.HALF_OPEN and not self.current)
        assert (permit is not None) == due
        if permit is None:
            return Permit(-1, probe=False)  # of no period: its end changes nothing
        assert permit.probe == (state is State.HALF_OPEN)
        self.current.append(permit)
        return permit

    @rule(permit=consumes(permits))
    def success(self, permit: Permit) -> None:
        self.breaker.succeeded(permit)
        if not self._counts(permit):
            return
        self.failures = 0
        if self.open_since is not None:
            self.open_since, self.wait, self.current = None, LIMITS.open_seconds, []

    @rule(permit=consumes(permits))
    def failure(self, permit: Permit) -> None:
        opens = self.breaker.failed(permit)
        if not self._counts(permit):
            assert not opens
            return
        self.failures += 1
        if self.open_since is not None:
            self.wait = min(2 * self.wait, LIMITS.longest_open_seconds)
        assert opens == (self.open_since is not None or self.failures == LIMITS.failures_to_open)
        if opens:
            self.open_since, self.failures, self.current = self.clock.seconds, 0, []

    @rule(permit=consumes(permits))
    def abandon(self, permit: Permit) -> None:
        self.breaker.abandoned(permit)
        self._counts(permit)

    @invariant()
    def states_agree(self) -> None:
        if hasattr(self, "breaker"):
            assert self.breaker.state is self.expected()

    def _counts(self, permit: Permit) -> bool:
        """Whether it was given in this state; it is over then."""
        found = next((known for known in self.current if known is permit), None)
        if found is not None:
            self.current = [known for known in self.current if known is not permit]
        return found is not None


TestBreaker = Machine.TestCase
