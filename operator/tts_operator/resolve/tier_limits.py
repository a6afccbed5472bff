"""Limits that the tier sets for a tenant: `spec.quota` can only lower them."""

from collections.abc import Mapping
from typing import NamedTuple

from tts_operator.api import TTSTenant
from tts_operator.api.tenant import Quota
from tts_operator.objects.problem import Problem
from tts_operator.settings import Settings


class TierLimits(NamedTuple):
    """Limits in effect, and a note for each that the tier lowers."""

    requests_per_minute: int
    concurrent_requests: int | None
    """The lowered limit of the spec; None if it sets none."""
    max_text_characters: int
    notes: tuple[Problem, ...]


def tier_limits(tenant: TTSTenant, settings: Settings) -> TierLimits:
    """The limits of the spec, lowered to those of its tier; the tier's rate where the spec sets none."""
    quota, tier, tiers = tenant.spec.quota or Quota(), tenant.spec.tier.value, settings.tiers
    notes: list[Problem] = []

    def lowered(name: str, requested: int | None, largest: Mapping[str, int]) -> int | None:
        if requested is None or requested <= largest[tier]:
            return requested
        message = f"spec.quota.{name} {requested} exceeds the limit of tier {tier}: {largest[tier]} applies"
        notes.append(Problem("QuotaClamped", message))
        return largest[tier]

    minute = lowered("requestsPerMinute", quota.requests_per_minute, tiers.requests_per_minute)
    concurrent = lowered("concurrentRequests", quota.concurrent_requests, tiers.concurrent_requests)
    characters = lowered("maxTextCharacters", quota.max_text_characters, tiers.max_text_characters)
    return TierLimits(
        minute or tiers.requests_per_minute[tier],
        concurrent,
        characters or min(settings.max_text_characters, tiers.max_text_characters[tier]),
        tuple(notes),
    )
