"""A watch that works is opened and ended all the time; one that does neither has ended, or hangs."""

from __future__ import annotations

import pytest

from tts_operator.telemetry.watch_activity import SILENCE_SECONDS, WatchActivity

LATER = SILENCE_SECONDS + 0.5
Step = tuple[float, str]
"""A time, and what happened then."""
STORIES: dict[str, tuple[bool, list[Step], float, bool, bool]] = {
    # the story                          trusting  steps                                    now  silent hanging
    "nothing was asked yet": (True, [], 1, True, False),
    "nothing was ever asked": (True, [], LATER, True, True),
    "a first session opened its watch": (True, [(0, "requested"), (0, "opened")], 1, False, False),
    "a later session opened its watch": (False, [(0, "requested"), (0, "opened")], 1, True, False),
    "a later session's watch ended": (False, [(0, "requested"), (0, "opened"), (4, "ended")], 5, False, False),
    "kopf ended after one watch": (True, [(0, "requested"), (0, "opened"), (4, "ended")], 4 + LATER, True, True),
    "watches open and deliver nothing": (
        True,
        [(0, "requested"), (0, "opened"), (6, "requested"), (6, "opened"), (12, "requested"), (12, "opened")],
        13,
        True,
        True,
    ),
    "requests fail in an outage": (
        True,
        [(0, "requested"), (0, "opened"), (4, "ended"), (4, "requested"), (9, "requested"), (14, "requested")],
        15,
        True,
        False,
    ),
    "a long list before the first watch": (
        False,
        [(0, "requested"), (8, "requested"), (16, "requested")],
        17,
        True,
        False,
    ),
}


@pytest.mark.parametrize(("trusting", "steps", "now", "silent", "hanging"), STORIES.values(), ids=STORIES)
def test_a_watch_is_judged(trusting: bool, steps: list[Step], now: float, silent: bool, hanging: bool) -> None:
    clock = [0.0]
    activity = WatchActivity(["/pods"], lambda: clock[0], trusting=trusting)
    for at, step in steps:
        clock[0] = at
        getattr(activity, step)("/pods")
    clock[0] = now
    assert activity.silent() == ["/pods"] * silent
    assert activity.hanging() == ["/pods"] * hanging


def test_one_watch_that_hangs_blames_no_other() -> None:
    clock = [0.0]
    activity = WatchActivity(["/pods", "/services"], lambda: clock[0])
    clock[0] = LATER
    for step in (activity.requested, activity.opened, activity.ended):
        step("/services")
    assert activity.hanging() == ["/pods"]
    assert activity.silent() == ["/pods"]


def test_a_request_for_anything_else_is_ignored() -> None:
    activity = WatchActivity([], lambda: 0.0)
    for step in (activity.requested, activity.opened, activity.ended):
        step("/version")
    assert activity.silent() == []


def test_the_age_is_that_of_the_oldest_watch() -> None:
    now = 0.0
    activity = WatchActivity(("/a", "/b"), lambda: now)
    for path, at in (("/a", 4.0), ("/b", 7.0)):
        now = at
        activity.ended(path)
    now = 10.0
    assert activity.age_seconds() == 6.0
    assert WatchActivity(("/a",), lambda: 3.0).age_seconds() == 0.0
