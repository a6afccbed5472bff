"""An endpoint without replicas, which still answers."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from e2e.platform import Platform, fixed

REQUESTS = 100


def closed_for(minutes: int) -> dict[str, object]:
    """Schedule with one replica, and none from the present minute on for so long."""
    now = datetime.now(UTC)
    end = now + timedelta(minutes=minutes)
    window = {"name": "closed", "start": f"{now:%H:%M}", "end": f"{end:%H:%M}", "minReplicas": 0}
    return {"timeZone": "UTC", "default": {"minReplicas": 1}, "windows": [window]}


async def test_a_request_at_zero_is_slow_and_none_of_a_hundred_fails(platform: Platform) -> None:
    """Given an endpoint that its calendar has scaled to zero, when a hundred requests come, they wait for a pod, and
    none of them fails. The time of the first audio is printed."""
    acme = await platform.onboards_team("acme", await platform.publishes_model(), schedule=fixed(1))
    await acme.sees_condition("Ready", within_seconds=120)
    assert (await acme.asks()).status == 200
    await acme.changes(schedule={**closed_for(120), "wakeOnRequest": True, "maxWaitSeconds": 120})
    await acme.sees_reason("Available", "ScaledToZero", within_seconds=60)
    await acme.sees_pods(0, within_seconds=120)
    answers = await acme.asks_at_once(REQUESTS, within_seconds=150)
    failed = [f"{status} after {seconds:.1f} s: {error}" for status, seconds, error in answers if status != 200]
    first_audio_seconds = min(seconds for _, seconds, _ in answers)
    print(f"{REQUESTS} requests at zero: {len(failed)} failed, first audio after {first_audio_seconds:.1f} s")
    assert failed == []
    await acme.sees_status("activeWindow", "wake", within_seconds=10)
    began = time.monotonic()
    assert (await acme.asks()).status == 200
    print(f"and then {time.monotonic() - began:.1f} s")


async def test_an_endpoint_at_zero_says_when_it_wakes(platform: Platform) -> None:
    """Given an endpoint at zero that no request may wake, when one comes, it gets a 503 that says until when."""
    # A Service that was created a moment ago may not be known to the node yet: this one has answered before.
    acme = await platform.onboards_team("acme", await platform.publishes_model(), schedule=fixed(1))
    await acme.sees_condition("Ready", within_seconds=120)
    assert (await acme.asks()).status == 200
    await acme.changes(schedule=closed_for(120))
    await acme.sees_reason("Available", "ScaledToZero", within_seconds=60)
    await acme.sees_pods(0, within_seconds=120)
    await acme.sees_condition("Ready", within_seconds=60)
    answer = await acme.asks()
    assert answer.status == 503
    assert answer.error["code"] == "scaled_to_zero"
    assert "UTC" in answer.error["message"]
    assert 0 < int(answer.headers["retry-after"]) <= 120 * 60


async def test_night_falls_to_zero_and_no_caller_notices(platform: Platform) -> None:
    """Given callers of an endpoint, when its schedule scales it to zero and requests may wake it, none fails."""
    acme = await platform.onboards_team("acme", await platform.publishes_model(), schedule=fixed(1))
    await acme.sees_condition("Ready", within_seconds=120)
    async with acme.keeps_calling(requests_per_second=4) as calls:
        await calls.see(8)
        await acme.changes(schedule={**closed_for(120), "wakeOnRequest": True, "maxWaitSeconds": 25})
        await acme.sees_status("activeWindow", "wake", within_seconds=60)
        await acme.sees_condition("Available", within_seconds=90)
        await calls.see(40, within_seconds=60)
    assert calls.failed == []
    print(f"slowest answer: {calls.slowest.seconds:.1f} s")
