"""Builds a tenant's entry in the files of a shared pool.

No controller writes these files yet: `spec.isolation: Shared` is a row of `api/support.py`.
"""

from collections.abc import Mapping
from dataclasses import replace

from tts_operator.api import TTSTenant
from tts_operator.pod_files.quota_config import quota_config
from tts_operator.pod_files.server_config import server_config
from tts_operator.resolve.resolved import Resolved
from tts_operator.settings import Settings
from tts_server.config.shared_tenants import SharedTenant

LARGEST_WEIGHT = 1000.0


def shared_tenant(resolved: Resolved, tenant: TTSTenant, keys: Mapping[str, str]) -> SharedTenant:
    """The tenant as the pool of its default model serves it: what a pool of its own would have in its files.

    `keys` are those of `credentials.api_keys.key_digests`.
    """
    own = server_config(resolved, tenant, replace(resolved.pools[0], role="Entry"))
    model = own.models[0]
    return SharedTenant(
        uid=resolved.uid,
        weight=weight(tenant, resolved.settings),
        auth_modes=own.auth.modes,
        keys=dict(keys),
        quota=quota_config(resolved),
        precision=model.precision,
        allowed_precisions=model.allowed_precisions,
        model_aliases={alias: name for alias, name in own.model_aliases.items() if name == model.name},
        voice_aliases=own.voice_aliases,
        language_routing=own.language_routing,
        cache=own.cache,
        public_url=own.public_url,
        link_seconds=own.storage.link_seconds,
    )


def weight(tenant: TTSTenant, settings: Settings) -> float:
    """Weight in a shared pool: tiers are to each other as their requests per minute are, the highest has 1000."""
    rates = settings.tiers.requests_per_minute
    return LARGEST_WEIGHT * rates[tenant.spec.tier.value] / max(rates.values())
