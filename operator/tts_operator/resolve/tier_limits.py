"""Limits that the tier and the namespace set for a tenant."""

from collections.abc import Mapping

from tts_operator.api import TTSTenant
from tts_operator.objects.labels import CEILINGS
from tts_operator.objects.problem import Problem
from tts_operator.settings import Settings


def request_limit(tenant: TTSTenant, settings: Settings) -> tuple[int, tuple[Problem, ...]]:
    """Requests per minute: the tier's limit, or the tenant's if that is lower. Also a note where the tier's applies."""
    tier = settings.requests_per_minute[tenant.spec.tier.value]
    requested = tenant.spec.quota.requests_per_minute if tenant.spec.quota else None
    if requested is None or requested <= tier:
        return requested or tier, ()
    name = tenant.spec.tier.value
    message = f"spec.quota.requestsPerMinute {requested} exceeds the limit of tier {name}: {tier} applies"
    return tier, (Problem("QuotaClamped", message),)


def ceiling_notes(labels: Mapping[str, str]) -> tuple[Problem, ...]:
    """A note about labels of the namespace that look enforced and are not."""
    present = [label for label in CEILINGS if label in labels]
    if not present:
        return ()
    return (Problem("CeilingsNotEnforced", f"namespace labels {', '.join(present)} are not enforced yet"),)
