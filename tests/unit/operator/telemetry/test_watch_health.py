"""A watch that delivers nothing is told from one that has nothing to deliver."""

from __future__ import annotations

from tts_operator.telemetry.watch_health import GRACE_SECONDS, WatchHealth

LATER = GRACE_SECONDS + 1


def test_nothing_exists_and_nothing_is_stale() -> None:
    freshness = WatchHealth()
    freshness.exists("pods", "", now=0)
    assert freshness.stale(now=LATER) == []


def test_a_watch_that_has_delivered_the_newest_object_is_fresh_however_long_ago() -> None:
    freshness = WatchHealth()
    freshness.saw("pods", "17")
    freshness.exists("pods", "17", now=0)
    assert freshness.stale(now=1_000_000) == []


def test_a_watch_that_does_not_deliver_what_exists_is_stale_after_a_grace() -> None:
    freshness = WatchHealth()
    freshness.saw("pods", "17")
    freshness.exists("pods", "18", now=0)
    assert freshness.stale(now=GRACE_SECONDS) == []
    assert freshness.stale(now=LATER) == ["pods"]


def test_newer_objects_do_not_prolong_the_grace() -> None:
    freshness = WatchHealth()
    freshness.exists("pods", "18", now=0)
    freshness.exists("pods", "19", now=GRACE_SECONDS)
    assert freshness.stale(now=LATER) == ["pods"]


def test_a_late_delivery_makes_it_fresh_again() -> None:
    freshness = WatchHealth()
    freshness.exists("pods", "9", now=0)
    assert freshness.stale(now=LATER) == ["pods"]
    freshness.saw("pods", "10")
    assert freshness.stale(now=LATER) == []


def test_one_dead_watch_does_not_blame_another() -> None:
    freshness = WatchHealth()
    for kind in ("pods", "ttstenants"):
        freshness.exists(kind, "5", now=0)
    freshness.saw("ttstenants", "5")
    assert freshness.stale(now=LATER) == ["pods"]


def test_versions_that_are_no_numbers_blame_nobody() -> None:
    freshness = WatchHealth()
    freshness.exists("pods", "opaque", now=0)
    assert freshness.stale(now=LATER) == []


def test_after_storage_was_restored_nothing_from_before_counts() -> None:
    """Versions count from an older one then: what was seen before would hide what a watch misses from now on."""
    freshness = WatchHealth()
    freshness.saw("pods", "500")
    freshness.exists("services", "501", now=0)
    freshness.reset()
    assert freshness.stale(now=LATER) == [], "nobody will ever deliver it"
    freshness.exists("pods", "300", now=LATER)
    assert freshness.stale(now=2 * LATER + 1) == ["pods"]
