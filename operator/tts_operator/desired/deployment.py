"""Deployment of one pool."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from tts_operator.desired.metadata import pool_metadata
from tts_operator.desired.model_source import UNPRIVILEGED, init_containers, model_mounts, model_volumes
from tts_operator.desired.resourceclaimtemplate import pod_claims, with_claim
from tts_operator.desired.sidecar import sidecar_container, sidecar_volumes
from tts_operator.objects.labels import ENGINE_HASH, POOL_LABEL, pool_labels
from tts_operator.objects.manifest import Manifest
from tts_operator.objects.names import (
    CONTAINER,
    internal_secret_name,
    quota_config_name,
    server_config_name,
    service_account_name,
    signing_secret_name,
)
from tts_operator.pod_files.engine import adapters_bytes, engine_hash, engine_processes, server_image
from tts_operator.resolve import precision
from tts_operator.resolve.accelerators import accelerator_count
from tts_operator.resolve.resolved import Pool, Resolved
from tts_server.config.schema import (
    CONFIG_DIRECTORY,
    CONFIG_FILE,
    DATA_DIRECTORY,
    HTTP_PORT,
    INTERNAL_DIRECTORY,
    KEYS_DIRECTORY,
    METRICS_PORT,
    QUOTA_DIRECTORY,
    QUOTA_FILE,
    REDIS_DIRECTORY,
    S3_DIRECTORY,
    SIGNING_DIRECTORY,
)

KILL_MARGIN_SECONDS = 10
"""Time between the end of the drain and SIGKILL."""
START_SECONDS = 600
"""Maximum time from the start of a pod until its engine is loaded."""
TMP_SIZE_LIMIT = "64Mi"
MIN_READY_SECONDS = 2
"""Time from a pod's readiness until every node routes to it: kube-proxy batches changes for a second by default.

An old pod is stopped, and the tenant becomes Available, only once requests reach the new one.
"""

UPDATES: Mapping[str, Mapping[str, int]] = {
    "Surge": {"maxSurge": 1, "maxUnavailable": 0},
    "Replace": {"maxSurge": 0, "maxUnavailable": 1},
}


def deployment(resolved: Resolved, pool: Pool) -> Manifest | None:
    """The Deployment; None while the model cannot be used: the pool keeps its last pods.

    It never sets ``spec.replicas``: server-side apply would overwrite the HPA's value, and an apply that drops the
    field resets it to 1.
    """
    if pool.model is None:
        return None
    return with_template(
        resolved,
        pool,
        {
            "metadata": {
                "labels": pool_labels(resolved.key.name, pool.model_name),
                "annotations": {ENGINE_HASH: engine_hash(pool)},
            },
            "spec": pod_spec(resolved, pool),
        },
    )


def with_template(resolved: Resolved, pool: Pool, template: Mapping[str, Any]) -> Manifest:
    """The Deployment with this pod template. Nothing else in it replaces pods."""
    return Manifest.of(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": pool_metadata(resolved, pool),
            "spec": {
                "minReadySeconds": MIN_READY_SECONDS,
                "paused": False,  # the next apply undoes `kubectl rollout pause`, which would hide every change
                "revisionHistoryLimit": 3,
                "selector": {"matchLabels": {POOL_LABEL: pool.name}},
                "strategy": {"type": "RollingUpdate", "rollingUpdate": dict(UPDATES[pool.rollout.strategy])},
                "template": template,
            },
        }
    )


def pod_spec(resolved: Resolved, pool: Pool) -> dict[str, Any]:
    """Pod spec that meets Pod Security ``restricted`` and mounts no credentials of the cluster."""
    settings, (model, _) = resolved.settings, pool.served
    server, sidecar = container(resolved, pool), sidecar_container(pool, settings.image_pull_policy)
    if sidecar is None:
        server = with_claim(server, pool)
    spec: dict[str, Any] = {
        "serviceAccountName": service_account_name(resolved.key.name),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": settings.pre_stop_seconds + settings.drain_seconds + KILL_MARGIN_SECONDS,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "topologySpreadConstraints": [
            topology_spread(pool, "kubernetes.io/hostname"),
            topology_spread(pool, "topology.kubernetes.io/zone"),
        ],
        "containers": [server],
        "volumes": [*volumes(resolved, pool), *sidecar_volumes(pool, settings.data_size_limit)],
    }
    init = init_containers(resolved, pool, resources(pool))
    if sidecar is not None:
        init = [*init, with_claim(sidecar, pool)]
    if init:
        spec["initContainers"] = init
    if model.spec.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": secret.name} for secret in model.spec.image_pull_secrets]
    if model.spec.runtime_class_name:
        spec["runtimeClassName"] = model.spec.runtime_class_name
    if model.spec.priority_class_name:
        spec["priorityClassName"] = model.spec.priority_class_name
    return {**spec, **placement(pool)}


def placement(pool: Pool) -> dict[str, Any]:
    """Fields of the pod by which the scheduler finds it a node with an accelerator; none without one."""
    model, choice = pool.served
    accelerator = model.spec.accelerator
    if accelerator is None or not accelerator_count(model, choice.name, pool.loaded):
        return {}
    tolerations = [each.model_dump(mode="json", by_alias=True, exclude_none=True) for each in accelerator.tolerations]
    fields = {
        "nodeSelector": dict(accelerator.node_selector),
        "tolerations": tolerations,
        "resourceClaims": pod_claims(pool),
    }
    return {name: value for name, value in fields.items() if value}


def container(resolved: Resolved, pool: Pool) -> dict[str, Any]:
    """The server container. The image sets the command; the arguments only name files and ports."""
    settings = resolved.settings
    mounts: dict[str, tuple[PurePath, bool]] = {
        "data": (DATA_DIRECTORY, False),
        "internal": (INTERNAL_DIRECTORY, True),
        "keys": (KEYS_DIRECTORY, True),
        "quota": (QUOTA_DIRECTORY, True),
        "server": (CONFIG_DIRECTORY, True),
        "signing": (SIGNING_DIRECTORY, True),
        "tmp": (PurePath("/tmp"), False),  # noqa: S108 - the pod's own volume
        **model_mounts(pool),
    }
    if resolved.s3 is not None:
        mounts["s3"] = (S3_DIRECTORY, True)
    if resolved.redis is not None:
        mounts["redis"] = (REDIS_DIRECTORY, True)
    return {
        "name": CONTAINER,
        "image": server_image(resolved, pool),
        "imagePullPolicy": settings.image_pull_policy,
        "args": [
            "--config",
            str(CONFIG_DIRECTORY / CONFIG_FILE),
            "--quota",
            str(QUOTA_DIRECTORY / QUOTA_FILE),
            "--host",
            "0.0.0.0",  # noqa: S104 - a pod is reached by its own address
            "--port",
            str(HTTP_PORT),
            "--metrics-port",
            str(METRICS_PORT),
            "--replica",
            "$(POD_IP)",
        ],
        "env": [
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}},
            *tracing_variables(resolved, pool),
        ],
        "ports": [
            {"name": "http", "containerPort": HTTP_PORT, "protocol": "TCP"},
            {"name": "metrics", "containerPort": METRICS_PORT, "protocol": "TCP"},
        ],
        "resources": resources(pool),
        "startupProbe": probe("/readyz", period=1, timeout=2, failures=START_SECONDS),
        "readinessProbe": probe("/readyz", period=5, timeout=3, failures=2),
        "livenessProbe": probe("/healthz", period=10, timeout=5, failures=3),
        # uvicorn refuses new connections right after SIGTERM: the pod must leave the Service before that.
        "lifecycle": {"preStop": {"sleep": {"seconds": settings.pre_stop_seconds}}},
        "securityContext": UNPRIVILEGED,
        "volumeMounts": [
            {"name": name, "mountPath": str(path), **({"readOnly": True} if read_only else {})}
            for name, (path, read_only) in sorted(mounts.items())
        ],
    }


def resources(pool: Pool) -> dict[str, dict[str, str]]:
    """Resources for the effective precision, for every other precision that is loaded, and for adapters."""
    model, choice = pool.served
    options = {option.name.value: option for option in model.spec.precisions}
    effective = options[choice.name]
    loaded = [options[name].resources for name in pool.loaded]
    adapters = adapters_bytes(model) * engine_processes(model, effective, pool.loaded) * max(len(loaded), 1)
    sized = {
        "limits": precision.combined_resources(effective.resources.limits, [each.limits for each in loaded]),
        "requests": precision.combined_resources(effective.resources.requests, [each.requests for each in loaded]),
    }
    return {name: precision.with_memory(amounts, adapters) for name, amounts in sized.items() if amounts}


def volumes(resolved: Resolved, pool: Pool) -> list[dict[str, Any]]:
    """Volumes of the pod. Secrets are optional and always mounted: running pods see one that is created later."""
    tenant, s3, redis = resolved.key.name, resolved.s3, resolved.redis
    return [
        {"name": "data", "emptyDir": {"sizeLimit": resolved.settings.data_size_limit}},
        {"name": "internal", "secret": {"secretName": internal_secret_name(tenant), "optional": True}},
        {"name": "keys", "secret": {"secretName": resolved.keys_secret, "optional": True}},
        *model_volumes(resolved, pool),
        {"name": "quota", "configMap": {"name": quota_config_name(tenant)}},
        *([{"name": "redis", "secret": {"secretName": redis.secret_name, "optional": True}}] if redis else []),
        *([{"name": "s3", "secret": {"secretName": s3.secret_ref.name, "optional": True}}] if s3 else []),
        {"name": "server", "configMap": {"name": server_config_name(tenant, pool.model_name)}},
        {"name": "signing", "secret": {"secretName": signing_secret_name(tenant), "optional": True}},
        {"name": "tmp", "emptyDir": {"sizeLimit": TMP_SIZE_LIMIT}},
    ]


def tracing_variables(resolved: Resolved, pool: Pool) -> list[dict[str, str]]:
    """Environment variables of the OpenTelemetry SDK: exporter, resource attributes and sampler."""
    endpoint = resolved.settings.tracing_endpoint
    if not endpoint:
        return []
    attributes = f"k8s.namespace.name={resolved.key.namespace},k8s.deployment.name={pool.name}"
    return [
        {"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": endpoint},
        {"name": "OTEL_RESOURCE_ATTRIBUTES", "value": attributes},
        {"name": "OTEL_TRACES_SAMPLER", "value": "traceidratio"},
        {"name": "OTEL_TRACES_SAMPLER_ARG", "value": f"{resolved.settings.tracing_ratio:g}"},
    ]


def probe(path: str, *, period: int, timeout: int, failures: int) -> dict[str, Any]:
    """An HTTP probe; period and timeout in seconds."""
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": period,
        "timeoutSeconds": timeout,
        "failureThreshold": failures,
    }


def topology_spread(pool: Pool, topology: str) -> dict[str, Any]:
    """Spreads the pool's pods over a topology where possible; they are scheduled even where it is not."""
    return {
        "maxSkew": 1,
        "topologyKey": topology,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {POOL_LABEL: pool.name}},
    }
