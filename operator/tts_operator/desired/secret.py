"""Secrets of a tenant: pool-to-pool token, signing keys of access tokens, credentials of the operator's stores."""

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
    """Token for pool-to-pool calls; None if the tenant has one pool."""
    if len(resolved.pools) < 2:
        return None
    metadata = tenant_metadata(resolved, internal_secret_name(resolved.key.name))
    return opaque_secret(metadata, {"token": resolved.observed.internal_token})


def signing_secret(resolved: Resolved) -> Manifest | None:
    """Signing-key Secret; None unless the tenant issues access tokens."""
    if resolved.signing is None or resolved.signing.since is None:
        return None
    metadata = tenant_metadata(resolved, signing_secret_name(resolved.key.name))
    since = resolved.signing.since.astimezone(UTC).isoformat(timespec="seconds")
    entries = {f"{kid}{PEM}": pem for kid, pem in resolved.signing.keys.items()} | {CURRENT: resolved.signing.current}
    return opaque_secret({**metadata, "annotations": {SIGNING_SINCE: since}}, entries)


def redis_secret(resolved: Resolved) -> Manifest | None:
    """Address and credentials for the operator's Redis; None unless the tenant has a user there."""
    redis = resolved.redis
    return (
        opaque_secret(tenant_metadata(resolved, redis.secret_name), redis.entries) if redis and redis.entries else None
    )


def s3_secret(resolved: Resolved) -> Manifest | None:
    """Keys of the operator's object store; None unless the tenant's audio is stored there."""
    keys = resolved.observed.stores.s3_keys
    return opaque_secret(tenant_metadata(resolved, s3_secret_name(resolved.key.name)), keys) if keys else None


def opaque_secret(metadata: dict[str, Any], entries: Mapping[str, str]) -> Manifest:
    """An opaque Secret; values are base64 in `data`, as the API server stores them."""
    return Manifest.of(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata,
            "type": "Opaque",
            "data": {name: base64.b64encode(text.encode()).decode() for name, text in sorted(entries.items())},
        }
    )
