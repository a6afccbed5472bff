"""The door: what a request must pass before anything is done for it."""

from dataclasses import dataclass

from tts_server.admission.quota import Limits, Quota, Reservation
from tts_server.config import QuotaConfig
from tts_server.errors import TextRejected


@dataclass(frozen=True, slots=True)
class Ticket:
    """A request that was let in; `limit` and the rest are what its caller may know about the next ones."""

    reservation: Reservation
    limit: int | None

    async def give_back(self) -> None:
        """Nothing was sent for it: it counts no more."""
        await self.reservation.give_back()


@dataclass(frozen=True, slots=True)
class Admission:
    """Limits as `quota.json` has them now, over counters that outlive every change of it."""

    quota: Quota
    config: QuotaConfig
    replicas: int
    """How many servers count for themselves: each of them gives out its part."""

    @property
    def limits(self) -> Limits:
        """Of this replica."""
        return Limits(self.config.requests_per_minute).shared_by(self.replicas)

    def check_length(self, characters: int, *, param: str) -> None:
        """Raises `TextRejected` for a text over `maxTextCharacters`."""
        longest = self.config.max_text_characters
        if characters > longest:
            raise TextRejected(
                f"The text has {characters} characters; at most {longest} are spoken at once.", param=param
            )

    async def admit(self, tenant: str) -> Ticket:
        """Count the request. Raises `QuotaExceeded`."""
        limits = self.limits
        return Ticket(await self.quota.reserve(tenant, limits), limits.requests_per_minute)
