"""The credential between the pools of one tenant."""

import base64

from tts_operator.desired.metadata import tenant_metadata
from tts_operator.manifest import Manifest
from tts_operator.names import internal_secret_name
from tts_operator.resolve import Resolved


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
