"""The door: what a request must pass before anything is done for it."""

from dataclasses import dataclass, field
from datetime import date

from tts_server.config.schema import QuotaConfig
from tts_server.errors import TextRejected
from tts_server.quota.ledger import DayLedger, Entry
from tts_server.quota.limits import Limits, LimitStatus, Request
from tts_server.quota.protocol import Quota, Reservation


@dataclass(frozen=True, slots=True)
class AdmittedRequest:
    """A request that was let in. One of its methods ends it; what comes after that does nothing."""

    reservation: Reservation

    @property
    def limit_status(self) -> LimitStatus:
        """What its caller may know about the next requests."""
        return self.reservation.limit_status

    async def settle(self, entry: Entry) -> None:
        """It was served, wholly or in part."""
        await self.reservation.settle(entry)

    async def give_back(self) -> None:
        """Nothing was sent for it: it counts no more."""
        await self.reservation.give_back()


@dataclass(frozen=True, slots=True)
class Admission:
    """Limits as `quota.json` has them now, over counters that outlive every change of it."""

    quota: Quota
    config: QuotaConfig
    replicas: int
    """How many servers there can be: where they cannot see each other's counts, each gives out its part."""
    limits: Limits = field(init=False)
    """Of the tenant."""

    def __post_init__(self) -> None:
        config = self.config
        limits = Limits(
            requests_per_minute=config.requests_per_minute,
            client_requests_per_minute=config.per_client_requests_per_minute,
            concurrent_requests=config.concurrent_requests,
            requests_per_day=config.requests_per_day,
            characters_per_day=config.characters_per_day,
            audio_seconds_per_day=config.audio_seconds_per_day,
            replicas=self.replicas,
        )
        object.__setattr__(self, "limits", limits)

    def check_length(self, characters: int, *, param: str) -> None:
        """Raises `TextRejected` for a text over `maxTextCharacters`."""
        longest = self.config.max_text_characters
        if characters > longest:
            raise TextRejected(
                f"The text has {characters} characters; at most {longest} are spoken at once.", param=param
            )

    async def admit(self, tenant: str, request: Request) -> AdmittedRequest:
        """Count the request. `tenant` is what no namesake shares. Raises `QuotaExceeded`."""
        return AdmittedRequest(await self.quota.reserve(tenant, self.limits, request))

    async def remaining(self, tenant: str, client: str) -> LimitStatus:
        """What is left of each limit."""
        return await self.quota.remaining(tenant, self.limits, client)

    async def ledger(self, tenant: str, day: date | None) -> DayLedger:
        """What was served on a UTC day; None is today."""
        return await self.quota.ledger(tenant, day)
