"""Hashes of the files that running pods reload."""

from collections.abc import Iterator, Mapping

from tts_operator.objects.manifest import Manifest
from tts_operator.pod_files.serialize import digest
from tts_operator.pod_files.server_config import live_config
from tts_operator.resolve.resolved import Pool, Resolved
from tts_server.config.schema import CONFIG_FILE, QUOTA_FILE


def hashes(
    resolved: Resolved, pools: list[Pool], configs: Mapping[str, Manifest], quota: Manifest
) -> Iterator[tuple[str, str]]:
    """One hash per pool over everything that its pods reload: configuration, limits, keys and credentials."""
    observed = resolved.observed
    shared: tuple[str, ...] = (quota.body["data"][QUOTA_FILE], observed.keys_secret_version)
    token = (observed.internal_token,) if len(resolved.pools) > 1 else ()
    if resolved.signing is not None:
        shared = (*shared, resolved.signing.current, *sorted(resolved.signing.keys))
    shared = (*shared, *([resolved.redis.version] if resolved.redis else []), *observed.stores.s3_keys.values())
    for pool in pools:
        manifest = configs.get(pool.name)
        config = manifest.body["data"][CONFIG_FILE] if manifest else live_config(resolved, pool)
        if config is not None:
            yield pool.name, digest(config, *shared, *token)
