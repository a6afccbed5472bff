"""The requests that one replica admitted lately, to write the shared logs of sliding windows again if they are lost."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice

from tts_server.quota.limit_table import Kind, Limit, Limits, Scope
from tts_server.quota.limits import Request


@dataclass(frozen=True, slots=True)
class UnsyncedRequest:
    """An admitted request, as sliding windows count it."""

    id: str
    moment: float
    """Seconds of this replica's monotonic clock."""
    limits: tuple[Limit, ...]
    """The sliding limits that count it."""
    client: str = field(repr=False)
    """Empty if no limit of the client counts it."""

    def is_over(self, now: float) -> bool:
        """Whether it has left all windows that count it."""
        return self.moment <= now - max((limit.window.seconds for limit in self.limits), default=0)


def unsynced_request(id_: str, moment: float, limits: Limits, request: Request) -> UnsyncedRequest:
    """A request that was admitted under these limits."""
    counting, by_client = _counting(limits, bool(request.client))
    return UnsyncedRequest(id_, moment, counting, request.client if by_client else "")


@lru_cache(maxsize=256)
def _counting(limits: Limits, has_client: bool) -> tuple[tuple[Limit, ...], bool]:
    """The sliding limits that count a request, and whether one of them counts its client."""
    sliding = [limit for limit, _ in limits.items if limit.window.kind is Kind.SLIDING]
    counting = tuple(limit for limit in sliding if limit.scope is Scope.TENANT or has_client)
    return counting, any(limit.scope is Scope.CLIENT for limit in counting)


class RecentRequests:
    """One tenant's requests that sliding windows count: in the shared logs, or `unwritten`."""

    def __init__(self) -> None:
        self._written: OrderedDict[str, UnsyncedRequest] = OrderedDict()
        """By id, oldest first."""
        self._unwritten: OrderedDict[str, UnsyncedRequest] = OrderedDict()

    def add(self, request: UnsyncedRequest, *, written: bool) -> None:
        """Adds an admitted request; `written` if the shared logs have it."""
        if request.limits:
            for requests in (self._written, self._unwritten):  # both: a store may be away for days
                _forget(requests, request.moment)
            (self._written if written else self._unwritten)[request.id] = request

    def remove(self, id_: str) -> None:
        """Removes a refunded request."""
        self._written.pop(id_, None)
        self._unwritten.pop(id_, None)

    def mark_unreachable(self) -> None:
        """All requests must be written again: the shared logs may have been lost."""
        self._unwritten |= self._written
        self._written.clear()

    def unwritten(self, now: float, most: int) -> list[UnsyncedRequest]:
        """The oldest requests that the shared logs lack, at most so many."""
        _forget(self._unwritten, now)
        return list(islice(self._unwritten.values(), most))

    def mark_written(self, requests: Sequence[UnsyncedRequest]) -> None:
        """The shared logs have these. A request that was removed meanwhile stays removed."""
        for request in requests:
            if self._unwritten.pop(request.id, None) is not None:
                self._written[request.id] = request


def _forget(requests: OrderedDict[str, UnsyncedRequest], now: float) -> None:
    """Drop requests that have left their windows. They are nearly in order: one out of order is dropped late."""
    while requests and next(iter(requests.values())).is_over(now):
        requests.popitem(last=False)
