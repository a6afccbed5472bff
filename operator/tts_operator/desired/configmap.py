"""ConfigMaps with the files that pods read: server.json and quota.json."""

from tts_operator.api import TTSTenant
from tts_operator.desired.metadata import pool_metadata, tenant_metadata
from tts_operator.objects.manifest import Manifest
from tts_operator.objects.names import quota_config_name, server_config_name
from tts_operator.pod_files.quota_config import quota_config
from tts_operator.pod_files.serialize import to_json
from tts_operator.pod_files.server_config import server_config
from tts_operator.resolve.resolved import Pool, Resolved
from tts_server.config.schema import CONFIG_FILE, QUOTA_FILE


def quota_config_map(resolved: Resolved) -> Manifest:
    """ConfigMap with quota.json: its own, because limits change more often than models, and for every pool at once."""
    return Manifest.of(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": tenant_metadata(resolved, quota_config_name(resolved.key.name)),
            "data": {QUOTA_FILE: to_json(quota_config(resolved))},
        }
    )


def server_config_map(resolved: Resolved, tenant: TTSTenant, pool: Pool) -> Manifest:
    """ConfigMap with the pool's server.json."""
    return Manifest.of(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": pool_metadata(resolved, pool, server_config_name(resolved.key.name, pool.model_name)),
            "data": {CONFIG_FILE: to_json(server_config(resolved, tenant, pool))},
        }
    )
