"""Decisions follow from limits and counts, without any store."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_server.quota.limit_table import Limits
from tts_server.quota.limits import Counts, DayCounts, Request, exceeded, limit_status, share_of_rest
from tts_server.text.duration_estimate import estimated_seconds

EVENING = datetime(2026, 11, 21, 23, 59, 30, tzinfo=UTC)


def limited(values: tuple[int, ...], replicas: int = 1) -> Limits:
    fields = (
        "requests_per_minute", "per_client_requests_per_minute", "concurrent_requests", "requests_per_day",
        "characters_per_day", "audio_seconds_per_day",
    )  # fmt: skip
    return Limits(**dict(zip(fields, values, strict=True)), replicas=replicas)


def counts(today: DayCounts) -> Counts:
    return Counts(EVENING, {}, 0, today)


def test_a_day_ends_at_midnight_utc() -> None:
    limits = Limits(requests_per_day=3)
    assert limit_status(limits, counts(DayCounts(requests=2)))["requestsPerDay"] == (3, 1, 30.0)
    refusal = exceeded(limits, Request(), counts(DayCounts(requests=3)))
    assert refusal is not None
    assert (refusal.retry_after_seconds, refusal.resets_at) == (30.0, datetime(2026, 11, 22, tzinfo=UTC))
    assert refusal.message == "requestsPerDay is used up: 3 a day (UTC). Try again in 30 s."


TOO_LITTLE: dict[str, tuple[Limits, Request, DayCounts, int, str]] = {
    # the story                limits, what is wanted, what is used, what is left, what the caller reads
    "room for a shorter one": (
        Limits(characters_per_day=100), Request(characters=41), DayCounts(characters=60), 40,
        "charactersPerDay: 40 are left of 100 a day (UTC), this request takes 41. Try again in 30 s.",
    ),
    "no day has room for it": (
        Limits(characters_per_day=100), Request(characters=101), DayCounts(), 100,
        "charactersPerDay: 100 are left of 100 a day (UTC), this request takes 101. Send a shorter text.",
    ),
    "parts of a second": (
        Limits(audio_seconds_per_day=9), Request(audio_seconds=2.1), DayCounts(audio_microseconds=7_500_000), 1,
        "audioSecondsPerDay: 1 are left of 9 a day (UTC), this request takes 3. Try again in 30 s.",
    ),
    "less than one is nothing": (
        Limits(audio_seconds_per_day=9), Request(audio_seconds=2.1), DayCounts(audio_microseconds=8_500_000), 0,
        "audioSecondsPerDay is used up: 9 a day (UTC). Try again in 30 s.",
    ),
    "over a limit that was lowered": (
        Limits(characters_per_day=100), Request(characters=1), DayCounts(characters=600), 0,
        "charactersPerDay is used up: 100 a day (UTC). Try again in 30 s.",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("limits", "wanted", "today", "remaining", "message"), TOO_LITTLE.values(), ids=TOO_LITTLE)
def test_a_limit_that_has_some_left_is_not_called_used_up(
    limits: Limits, wanted: Request, today: DayCounts, remaining: int, message: str
) -> None:
    refusal = exceeded(limits, wanted, counts(today))
    assert refusal is not None
    assert (refusal.remaining, refusal.message) == (remaining, message)


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_audio_is_compared_to_the_microsecond(used: int, limit: int) -> None:
    """A script compares the same whole numbers: both must come to the same end."""
    limits = Limits(audio_seconds_per_day=limit)
    for wanted in (limit * 1_000_000 - used, limit * 1_000_000 - used + 1):
        if wanted >= 0:
            request = Request(audio_seconds=wanted / 1_000_000)
            refusal = exceeded(limits, request, counts(DayCounts(audio_microseconds=used)))
            assert (refusal is not None) == (used + request.audio_microseconds > limit * 1_000_000)


@given(st.integers(1, 10_000), st.integers(0, 20_000), st.integers(1, 50))
def test_what_is_left_of_a_day_is_given_out_once(limit: int, used: int, replicas: int) -> None:
    share = share_of_rest(Limits(requests_per_day=limit), replicas, DayCounts(requests=used)).requests_per_day
    assert share is not None
    assert max(0, share - used) * replicas <= max(0, limit - used)


def test_parts_keep_what_is_not_limited_unlimited() -> None:
    assert Limits(replicas=3).share == Limits()
    limits, shares = (30, 9, 6, 300, 3000, 90), (10, 3, 2, 100, 1000, 30)
    assert limited(limits, replicas=3).share == limited(shares)


@pytest.mark.parametrize(
    ("text", "speed", "seconds"),
    [("a" * 100, 1.0, 6.5), ("你好", 1.0, 0.4), ("a" * 100, 2.0, 3.25), ("7" * 10, 1.0, 3.0)],
)
def test_an_estimate_knows_scripts_and_speed(text: str, speed: float, seconds: float) -> None:
    assert estimated_seconds(text, speed) == pytest.approx(seconds)
