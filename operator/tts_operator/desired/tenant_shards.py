"""ConfigMaps with the files of a shared pool's tenants. No controller applies them yet."""

import json
from collections.abc import Iterator, Mapping

from tts_operator.objects.keys import Key
from tts_operator.objects.labels import MANAGED_BY, MODEL_LABEL
from tts_operator.objects.manifest import Manifest
from tts_operator.objects.names import MANAGER, tenant_shard_name
from tts_server.config.shared_tenants import SHARDS, SharedTenant, shard_file, shard_of


def tenant_shards(pool: Key, model: str, tenants: Mapping[Key, SharedTenant]) -> Iterator[Manifest]:
    """Yield all 16, the empty ones too: a server keeps the tenants of a file that is missing.

    They have no owner: the pool serves tenants of other namespaces, and outlives a TTSModel that is replaced.
    """
    files: list[dict[str, SharedTenant]] = [{} for _ in range(SHARDS)]
    for key, entry in tenants.items():
        name = f"{key.namespace}.{key.name}"
        files[shard_of(name)][name] = entry
    for number, content in enumerate(files):
        yield Manifest.of(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {
                    "name": tenant_shard_name(pool.name, number),
                    "namespace": pool.namespace,
                    "labels": {MANAGED_BY: MANAGER, MODEL_LABEL: model},
                },
                "data": {shard_file(number): shard_text(content)},
            }
        )


def shard_text(tenants: Mapping[str, SharedTenant]) -> str:
    """JSON with sorted keys: the same tenants give the same text, whatever their order, which no server reads anew."""
    entries = {
        name: entry.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
        for name, entry in tenants.items()
    }
    return json.dumps({"tenants": entries}, ensure_ascii=False, sort_keys=True, separators=(",", ":")) + "\n"
