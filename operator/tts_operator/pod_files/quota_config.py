"""Builds quota.json, the limits that a tenant's pods read."""

from tts_operator.api.tenant import Quota
from tts_operator.resolve.resolved import Resolved
from tts_server.config.schema import QuotaConfig


def quota_config(resolved: Resolved) -> QuotaConfig:
    """Limits of the spec, those of its tier where that is lower, and the tier's where the spec sets none."""
    quota = (resolved.tenant and resolved.tenant.spec.quota) or Quota()
    return QuotaConfig(
        requests_per_minute=resolved.requests_per_minute,
        requests_per_day=quota.requests_per_day,
        concurrent_requests=resolved.concurrent_requests,
        audio_seconds_per_day=quota.audio_seconds_per_day,
        characters_per_day=quota.characters_per_day,
        max_text_characters=resolved.max_text_characters,
        per_client_requests_per_minute=quota.per_client_requests_per_minute,
    )
