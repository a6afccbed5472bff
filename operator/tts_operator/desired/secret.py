"""The credential between the pools of one tenant, and the keys that sign its access tokens."""

import base64
from datetime import UTC

from tts_operator.desired.metadata import tenant_metadata
from tts_operator.manifest import Manifest
from tts_operator.names import SIGNING_SINCE, internal_secret_name, signing_secret_name
from tts_operator.resolve import Resolved
from tts_operator.signing import CURRENT, PEM


def internal_secret(resolved: Resolved) -> Manifest | None:
    """None for a tenant with one pool: nobody would present it."""
    if len(resolved.pools) < 2:
        return None
    return Manifest.of(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": tenant_metadata(resolved, internal_secret_name(resolved.key.name)),
            "type": "Opaque",
            "data": {"token": base64.b64encode(resolved.observed.internal_token.encode()).decode()},
        }
    )


def signing_secret(resolved: Resolved) -> Manifest | None:
    """None for a tenant that gives no tokens."""
    if resolved.signing is None or resolved.signing.since is None:
        return None
    metadata = tenant_metadata(resolved, signing_secret_name(resolved.key.name))
    since = resolved.signing.since.astimezone(UTC).isoformat(timespec="seconds")
    entries = {f"{kid}{PEM}": pem for kid, pem in resolved.signing.keys.items()} | {CURRENT: resolved.signing.current}
    return Manifest.of(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {**metadata, "annotations": {SIGNING_SINCE: since}},
            "type": "Opaque",
            "data": {name: base64.b64encode(text.encode()).decode() for name, text in sorted(entries.items())},
        }
    )
