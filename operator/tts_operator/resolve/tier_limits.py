"""What a tenant may have, where it asks for more or for nothing."""

from collections.abc import Mapping

from tts_operator.api import TTSTenant
from tts_operator.objects.labels import CEILINGS
from tts_operator.objects.problem import Problem
from tts_operator.settings import Settings


def requests_per_minute(tenant: TTSTenant, settings: Settings) -> tuple[int, tuple[Problem, ...]]:
    """The tier's number, or the tenant's where that is lower."""
    tier = settings.requests_per_minute[tenant.spec.tier.value]
    asked = tenant.spec.quota.requests_per_minute if tenant.spec.quota else None
    if asked is None or asked <= tier:
        return asked or tier, ()
    message = f"spec.quota.requestsPerMinute {asked} is above the {tier} of tier {tenant.spec.tier.value}: {tier} holds"
    return tier, (Problem("QuotaClamped", message),)


def ceilings(labels: Mapping[str, str]) -> tuple[Problem, ...]:
    """Labels that people may take for enforced."""
    found = [label for label in CEILINGS if label in labels]
    return (Problem("CeilingsNotEnforced", f"{', '.join(found)} on the namespace: not enforced yet"),) if found else ()
