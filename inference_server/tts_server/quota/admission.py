"""Admission: the limits that a request must pass before any work is done for it."""

from dataclasses import dataclass, field
from datetime import date

from tts_server.config.schema import QuotaConfig
from tts_server.errors import TextRejected
from tts_server.quota.ledger import DayLedger, Entry
from tts_server.quota.limit_table import Limits
from tts_server.quota.limits import LimitStatus, Request
from tts_server.quota.protocol import Quota, Reservation


@dataclass(frozen=True, slots=True)
class AdmittedRequest:
    """An admitted request. The first call of `settle` or `give_back` ends it; later calls do nothing."""

    reservation: Reservation

    @property
    def limit_status(self) -> LimitStatus:
        """Remaining limits, for RateLimit headers."""
        return self.reservation.limit_status

    async def settle(self, entry: Entry) -> None:
        """Charges the actual usage."""
        await self.reservation.settle(entry)

    async def give_back(self) -> None:
        """Refunds the request: nothing was sent for it."""
        await self.reservation.give_back()


@dataclass(frozen=True, slots=True)
class Admission:
    """The limits of the current `quota.json`, over counters that survive every change of it."""

    quota: Quota
    config: QuotaConfig
    replicas: int
    """Maximum number of replicas: without a shared store each enforces its share of the limits."""
    limits: Limits = field(init=False)
    """The tenant's limits."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "limits", Limits.of(self.config, self.replicas))

    def check_length(self, characters: int, *, param: str) -> None:
        """Raises `TextRejected` for a text over `maxTextCharacters`."""
        longest = self.config.max_text_characters
        if characters > longest:
            raise TextRejected(
                f"The text has {characters} characters; a request may have {longest} at most.", param=param
            )

    async def admit(self, tenant: str, request: Request) -> AdmittedRequest:
        """Count the request. `tenant` is the tenant's UID. Raises `QuotaExceeded`."""
        return AdmittedRequest(await self.quota.reserve(tenant, self.limits, request))

    async def remaining(self, tenant: str, client: str) -> LimitStatus:
        """The rest of each limit that is set."""
        return await self.quota.remaining(tenant, self.limits, client)

    async def ledger(self, tenant: str, day: date | None) -> DayLedger:
        """The ledger of a UTC day; None means today."""
        return await self.quota.ledger(tenant, day)
