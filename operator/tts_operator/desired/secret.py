"""The credential between the pools of one tenant, the keys that sign its access tokens, those of shared stores."""

import base64
from collections.abc import Mapping
from datetime import UTC
from typing import Any

from tts_operator.credentials.signing_keys import CURRENT, PEM
from tts_operator.desired.metadata import tenant_metadata
from tts_operator.objects.labels import SIGNING_SINCE
from tts_operator.objects.manifest import Manifest
from tts_operator.objects.names import internal_secret_name, s3_secret_name, signing_secret_name
from tts_operator.resolve.resolved import Resolved


def internal_secret(resolved: Resolved) -> Manifest | None:
    """None for a tenant with one pool: nobody would present it."""
    if len(resolved.pools) < 2:
        return None
    metadata = tenant_metadata(resolved, internal_secret_name(resolved.key.name))
    return secret(metadata, {"token": resolved.observed.internal_token})


def signing_secret(resolved: Resolved) -> Manifest | None:
    """None for a tenant that gives no tokens."""
    if resolved.signing is None or resolved.signing.since is None:
        return None
    metadata = tenant_metadata(resolved, signing_secret_name(resolved.key.name))
    since = resolved.signing.since.astimezone(UTC).isoformat(timespec="seconds")
    entries = {f"{kid}{PEM}": pem for kid, pem in resolved.signing.keys.items()} | {CURRENT: resolved.signing.current}
    return secret({**metadata, "annotations": {SIGNING_SINCE: since}}, entries)


def redis_secret(resolved: Resolved) -> Manifest | None:
    """None for a tenant without a user in the operator's Redis."""
    redis = resolved.redis
    return secret(tenant_metadata(resolved, redis.secret_name), redis.entries) if redis and redis.entries else None


def s3_secret(resolved: Resolved) -> Manifest | None:
    """None for a tenant whose audio does not go to the operator's object store."""
    keys = resolved.observed.stores.s3_keys
    return secret(tenant_metadata(resolved, s3_secret_name(resolved.key.name)), keys) if keys else None


def secret(metadata: dict[str, Any], entries: Mapping[str, str]) -> Manifest:
    """As the API server keeps it."""
    return Manifest.of(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata,
            "type": "Opaque",
            "data": {name: base64.b64encode(text.encode()).decode() for name, text in sorted(entries.items())},
        }
    )
