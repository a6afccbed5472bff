"""What one replica has let in during the last minute, so that the log which all share can be written again."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

import structlog

from tts_server.quota.limits import WINDOW_SECONDS, Limits, Request

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class UnsyncedRequest:
    """A request, as the limits of a minute count it."""

    id: str
    moment: float
    """By this replica's monotonic clock, in seconds."""
    by_tenant: bool
    """Whether the tenant has a limit of a minute."""
    client: str = field(repr=False)
    """Empty where its client has none."""

    @property
    def is_counted(self) -> bool:
        """Whether any limit of a minute wants to know of it."""
        return self.by_tenant or bool(self.client)


def let_in(id_: str, moment: float, limits: Limits, request: Request) -> UnsyncedRequest:
    """A request that was let in under these limits."""
    client = "" if limits.client_requests_per_minute is None else request.client
    return UnsyncedRequest(id_, moment, limits.requests_per_minute is not None, client)


class Recent:
    """Of one tenant. Requests are known to the shared log, or `unwritten`."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, UnsyncedRequest] = OrderedDict()
        """By id, the oldest first."""
        self._unwritten: OrderedDict[str, UnsyncedRequest] = OrderedDict()

    def add(self, one: UnsyncedRequest, *, written: bool) -> None:
        """It was let in just now."""
        if one.is_counted:
            for log in (self._known, self._unwritten):  # both: a store may be away for days
                _forget(log, one.moment)
            (self._known if written else self._unwritten)[one.id] = one

    def drop(self, id_: str) -> None:
        """It was given back."""
        self._known.pop(id_, None)
        self._unwritten.pop(id_, None)

    def mark_unreachable(self) -> None:
        """The shared log may have been lost: nothing is known to be in it any more."""
        self._unwritten |= self._known
        self._known.clear()

    def unwritten(self, now: float, most: int) -> list[UnsyncedRequest]:
        """What the shared log lacks of the last minute: so many at once."""
        _forget(self._unwritten, now)
        return list(islice(self._unwritten.values(), most))

    def wrote(self, some: Sequence[UnsyncedRequest]) -> None:
        """The shared log has these; one that was given back meanwhile stays forgotten here."""
        for one in some:
            if self._unwritten.pop(one.id, None) is not None:
                self._known[one.id] = one


def _forget(log: OrderedDict[str, UnsyncedRequest], now: float) -> None:
    """A minute later they count no more. In the order of arrival, nearly: one that is late here is forgotten late."""
    while log and next(iter(log.values())).moment <= now - WINDOW_SECONDS:
        log.popitem(last=False)
