"""URLs of pools inside the cluster."""

from tts_operator.objects.names import peers_service_name
from tts_operator.resolve.resolved import Resolved
from tts_server.config.schema import HTTP_PORT


def peers_url(resolved: Resolved) -> str:
    """Base URL of the headless Service over every pod of the tenant."""
    return f"http://{peers_service_name(resolved.key.name)}.{resolved.key.namespace}.svc:{HTTP_PORT}"


def pool_url(pool: str, namespace: str) -> str:
    """Base URL of a pool's Service."""
    return f"http://{pool}.{namespace}.svc:{HTTP_PORT}"
