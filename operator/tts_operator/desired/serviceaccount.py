"""ServiceAccount of a tenant's pods, without a token or permissions."""

from tts_operator.desired.metadata import tenant_metadata
from tts_operator.objects.manifest import Manifest
from tts_operator.objects.names import service_account_name
from tts_operator.resolve.resolved import Resolved


def service_account(resolved: Resolved) -> Manifest:
    """An account of its own, so that permissions of the namespace's default account do not reach an engine."""
    return Manifest.of(
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": tenant_metadata(resolved, service_account_name(resolved.key.name)),
            "automountServiceAccountToken": False,
        }
    )
