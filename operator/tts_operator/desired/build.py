"""Builds every manifest of a resolved tenant."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tts_operator.api import TTSTenant
from tts_operator.calendar.bounds import Bounds
from tts_operator.desired.autoscaler import autoscaler
from tts_operator.desired.change_cause import PoolDeployment, with_change_cause
from tts_operator.desired.config_hashes import hashes
from tts_operator.desired.configmap import quota_config_map, server_config_map
from tts_operator.desired.deployment import deployment
from tts_operator.desired.endpointslice import waker_slices
from tts_operator.desired.kept_deployment import kept_deployment
from tts_operator.desired.model_source import downloads_in_use, source_secret
from tts_operator.desired.networkpolicy import network_policy
from tts_operator.desired.poddisruptionbudget import pod_disruption_budget
from tts_operator.desired.secret import internal_secret, redis_secret, s3_secret, signing_secret
from tts_operator.desired.service import peers_service, pool_service, tenant_service
from tts_operator.desired.serviceaccount import service_account
from tts_operator.objects.kinds import CONFIG_MAP, DEPLOYMENT, SECRET
from tts_operator.objects.labels import POOL_LABEL
from tts_operator.objects.manifest import Manifest, Ref
from tts_operator.objects.names import internal_secret_name, server_config_name, source_secret_name
from tts_operator.pod_files.server_config import live_config
from tts_operator.resolve.resolved import Pool, Resolved
from tts_operator.rollout.cutover import is_entry
from tts_operator.snapshot import lookup


@dataclass(frozen=True)
class Desired:
    """Desired state of one tenant's children."""

    manifests: tuple[Manifest, ...]
    """Manifests in the order in which to apply them: what pods mount comes before the pods."""
    kept: frozenset[Ref]
    """Live children that stay as they are, because what they are built from is missing for now."""
    replicas: Mapping[Ref, int]
    """By Deployment: replicas on creation and after zero; 0 only by a suspension or by the schedule."""
    bounds: Mapping[Ref, Bounds]
    """By Deployment: bounds of its autoscaler."""
    config_hashes: Mapping[str, str]
    """By pool: hash of the files that its running pods should have reloaded."""
    later: Mapping[Ref, Manifest | None]
    """By Deployment whose pods stay as they are for now: the one that it becomes later; None if that is not known."""
    why_zero: str = "suspended"
    """Why replicas are 0, for logs."""


def pool_deployments(resolved: Resolved) -> dict[str, PoolDeployment]:
    """Deployment of each pool whose model can be used, by pool. The others keep the one that they have."""
    return {
        pool.name: with_change_cause(resolved, pool, manifest)
        for pool in resolved.pools
        if not pool.retiring and (manifest := deployment(resolved, pool)) is not None
    }


def build(resolved: Resolved, deployments: Mapping[str, PoolDeployment]) -> Desired | None:
    """Build every child of one tenant; None where no spec can be followed: its last good children stay.

    `deployments` are those of `pool_deployments`. They come first because the rollout limiter decides on their changes:
    a pool that waits keeps its Deployment, and the settings in its server.json that its running pods cannot change.
    """
    tenant = resolved.tenant
    if tenant is None or not resolved.followed or resolved.observed.deleting:
        return None
    current = [pool for pool in resolved.pools if not pool.retiring and (pool.model is not None or pool.deployed)]
    configs = {pool.name: config for pool in current if (config := own_config(resolved, tenant, pool)) is not None}
    # The API server creates a Deployment with one replica, so a tenant that is born without replicas has none
    # until it wakes.
    started = [pool for pool in current if pool.deployed or not resolved.stopped]
    # One whose Deployment has lost its labels has no model: nothing with valid labels can be built for it.
    retiring = [
        pool
        for pool in resolved.pools
        if pool.retiring and pool.model_name and lookup.is_autoscaled(resolved.observed, pool.name)
    ]
    rolling = {pool.name: deployments[pool.name].manifest for pool in started if rolls(pool, deployments)}
    later = {
        deployment_ref(resolved, pool): deployments[pool.name].manifest if pool.name in deployments else None
        for pool in resolved.pools
        if pool.name not in rolling
    }
    kept_deployments = [
        manifest
        for pool in resolved.pools
        if pool.name not in rolling
        for manifest in present(kept_deployment(resolved, pool, later[deployment_ref(resolved, pool)]))
    ]
    quota = quota_config_map(resolved)
    manifests = [
        service_account(resolved),
        *present(internal_secret(resolved)),
        *present(signing_secret(resolved)),
        *present(redis_secret(resolved)),
        *present(s3_secret(resolved)),
        *(secret for pool in current for secret in present(source_secret(resolved, pool))),
        quota,
        *configs.values(),
        *(network_policy(resolved, pool) for pool in current),
        *(pool_service(resolved, pool) for pool in current),
        *present(peers_service(resolved)),
        *waker_slices(resolved),  # before the pods leave the Service
        *rolling.values(),
        *kept_deployments,
        *(pod_disruption_budget(resolved, pool) for pool in current),
        *(
            each for pool in (*started, *retiring) for each in present(autoscaler(resolved, pool))
        ),  # ceilings hold for all
        tenant_service(resolved),
    ]
    wanted = {manifest.ref for manifest in manifests}
    kept = {ref for pool in resolved.pools for ref in retained_pools(resolved, pool)} - wanted
    return Desired(
        manifests=tuple(manifests),
        kept=frozenset(kept & resolved.observed.children.keys()),
        replicas={
            deployment_ref(resolved, pool): 0 if resolved.stopped else max(pool.bounds.min_replicas, 1)
            for pool in current
        },
        bounds={deployment_ref(resolved, pool): pool.bounds for pool in current},
        config_hashes=dict(hashes(resolved, current, configs, quota)),
        later=later,
        why_zero="suspended" if resolved.suspended else "the schedule has no replicas now",
    )


def rolls(pool: Pool, deployments: Mapping[str, PoolDeployment]) -> bool:
    """Whether a pool gets its Deployment as desired, which replaces its pods if they differ."""
    return pool.name in deployments and not pool.throttled


def own_config(resolved: Resolved, tenant: TTSTenant, pool: Pool) -> Manifest | None:
    """A pool's server.json; None if the live one stays.

    It stays while a model that it names cannot be read, and while the pods await a change of the operator: an older
    server may not support every field that this operator writes, and does not start with an unknown one.
    """
    named = [each for each in resolved.pools if not each.retiring] if pool.role == "Entry" else [pool]
    offered = [each for each in named if each.offered or pool.role != "Entry"]
    if all(each.model is None for each in offered):
        return None  # a server needs a model to offer, besides its fallbacks
    unreadable = any(each.model is None and each.deployed for each in named)
    # Requests arrive, and the live file rejects them all: a file without the unreadable models is better.
    rejects_callers = (
        pool.name == resolved.entry and pool.model is not None and not is_entry(resolved.observed, pool.name)
    )
    if ((unreadable and not rejects_callers) or pool.operator_change) and live_config(resolved, pool) is not None:
        return None
    return server_config_map(resolved, tenant, pool)


def retained_pools(resolved: Resolved, pool: Pool) -> Iterator[Ref]:
    """Children of a pool that stay although they are not built now."""
    config = Ref.of(CONFIG_MAP, resolved.key.namespace, server_config_name(resolved.key.name, pool.model_name))
    urls = Ref.of(SECRET, resolved.key.namespace, source_secret_name(resolved.key.name, pool.model_name))
    if not pool.retiring:
        yield from (config, deployment_ref(resolved, pool))
        if pool.model is None or any(downloads_in_use(resolved, pool)):
            yield urls
        return
    yield Ref.of(SECRET, resolved.key.namespace, internal_secret_name(resolved.key.name))
    yield config
    for ref, child in resolved.observed.children.items():
        if (child["metadata"].get("labels") or {}).get(POOL_LABEL) == pool.name:
            yield ref


def deployment_ref(resolved: Resolved, pool: Pool) -> Ref:
    """The reference to a pool's Deployment, whether or not it exists."""
    return Ref.of(DEPLOYMENT, resolved.key.namespace, pool.name)


def present(manifest: Manifest | None) -> tuple[Manifest, ...]:
    """The manifest as a tuple; empty if there is none."""
    return () if manifest is None else (manifest,)
