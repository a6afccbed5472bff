"""The identity of a tenant's pods, which is none: no token, no permissions."""

from tts_operator.desired.metadata import tenant_metadata
from tts_operator.objects.manifest import Manifest
from tts_operator.objects.names import service_account_name
from tts_operator.resolve.resolved import Resolved


def service_account(resolved: Resolved) -> Manifest:
    """Of its own, so that nothing granted to the namespace's default account reaches an engine."""
    return Manifest.of(
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": tenant_metadata(resolved, service_account_name(resolved.key.name)),
            "automountServiceAccountToken": False,
        }
    )
