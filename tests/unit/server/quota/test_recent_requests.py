"""A replica remembers every request of the last minute that the shared log lacks, and none twice."""

from tts_server.quota.limit_table import BY_NAME, Limits
from tts_server.quota.limits import Request
from tts_server.quota.recent_requests import RecentRequests, UnsyncedRequest, unsynced_request

MINUTE = Limits(requests_per_minute=10)


def one(name: str, moment: float) -> UnsyncedRequest:
    return unsynced_request(name, moment, MINUTE, Request(client="ann"))


def names(recent: RecentRequests, now: float = 0.0, most: int = 9) -> list[str]:
    return [found.id for found in recent.unwritten(now, most)]


def test_only_what_a_limit_of_a_minute_counts_is_remembered() -> None:
    recent = RecentRequests()
    for limits in (Limits(), Limits(requests_per_day=5), Limits(concurrent_requests=5)):
        recent.add(unsynced_request("a", 0, limits, Request(client="ann")), written=False)
    recent.add(unsynced_request("b", 0, Limits(per_client_requests_per_minute=5), Request()), written=False)
    assert names(recent) == []
    recent.add(unsynced_request("c", 0, Limits(per_client_requests_per_minute=5), Request(client="ann")), written=False)
    assert recent.unwritten(0, 9) == [UnsyncedRequest("c", 0, (BY_NAME["perClientRequestsPerMinute"],), client="ann")]
    assert one("d", 0).client == "", "the client has no limit"


def test_what_was_written_is_written_again_only_after_a_doubt() -> None:
    recent = RecentRequests()
    for name in "abc":
        recent.add(one(name, 0), written=name == "a")
    assert names(recent, most=1) == ["b"]
    recent.mark_written(recent.unwritten(0, 9))
    assert names(recent) == []
    recent.mark_unreachable()
    assert sorted(names(recent)) == ["a", "b", "c"]


def test_what_was_refunded_is_forgotten_also_while_it_is_being_written() -> None:
    recent = RecentRequests()
    recent.add(one("a", 0), written=False)
    some = recent.unwritten(0, 9)
    recent.remove("a")
    recent.mark_written(some)
    recent.mark_unreachable()
    assert names(recent) == []


def test_a_minute_later_it_is_forgotten() -> None:
    recent = RecentRequests()
    for moment, name in enumerate("abc"):
        recent.add(one(name, moment), written=False)
    assert names(recent, 60.9) == ["b", "c"]
    recent.mark_written(recent.unwritten(60.9, 9))
    recent.add(one("d", 61.5), written=True)
    recent.mark_unreachable()
    assert names(recent, 61.5) == ["c", "d"]


def test_a_store_that_is_away_for_long_fills_no_memory() -> None:
    """No read takes place meanwhile."""
    recent = RecentRequests()
    for second in range(10_000):
        recent.add(one(str(second), second), written=second < 100)
    assert (len(recent._written), len(recent._unwritten)) == (0, 60)
