"""URLs of pools inside the cluster."""

from tts_operator.objects.names import peers_service_name
from tts_operator.resolve.resolved import Resolved
from tts_server.config.schema import HTTP_PORT


def peers_url(resolved: Resolved) -> str:
    """Address that stands for every pod of the tenant, from inside the cluster."""
    return f"http://{peers_service_name(resolved.key.name)}.{resolved.key.namespace}.svc:{HTTP_PORT}"


def pool_url(pool: str, namespace: str) -> str:
    """Base address of a pool's Service, from inside the cluster."""
    return f"http://{pool}.{namespace}.svc:{HTTP_PORT}"
