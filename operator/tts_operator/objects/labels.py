"""Every label and annotation that the operator writes or reads, and the selectors over them."""

from tts_operator.objects.names import GROUP, MANAGER, pool_name

MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGED = f"{MANAGED_BY}={MANAGER}"
"""Selector of every child of every tenant, and of its pods."""
NOT_MANAGED = f"{MANAGED_BY}!={MANAGER}"
"""Selector of every object that is not the operator's."""
TENANT_LABEL = f"{GROUP}/tenant"
OF_TENANTS = TENANT_LABEL
"""Selector of every object with the label of a tenant, whatever its value: children and pods are watched by it."""
MODEL_LABEL = f"{GROUP}/model"
POOL_LABEL = f"{GROUP}/pool"
"""The only label in a pool's selectors: its other labels may change, a Deployment's selector may not."""

MAX_TIER = f"{GROUP}/max-tier"
"""Label of a namespace: the highest tier of its tenants."""
MAX_REPLICAS = f"{GROUP}/max-replicas"
"""Label of a namespace: the most replicas of a pool."""
MAX_ACCELERATORS = f"{GROUP}/max-accelerators"
"""Label of a namespace: the most accelerators of a pool."""

SERVICE_NAME = "kubernetes.io/service-name"
"""Label of an EndpointSlice: the Service whose requests its endpoints get."""

KEDA_PAUSED = "autoscaling.keda.sh/paused"
"""Annotation of a ScaledObject: whether KEDA leaves its replicas alone."""

RELEASE = f"{GROUP}/release"
"""Annotation of a TTSTenant: the release of the operator that it is to belong to, as the namespace and name of its
Lease."""
CONFIG_HASH = f"{GROUP}/config-hash"
"""Annotation of running pods: patching it makes the kubelet read mounted ConfigMaps and Secrets again in a second."""
ENGINE_HASH = f"{GROUP}/engine-hash"
"""Annotation of the pod template: digest of the settings that the server reads once, at its start."""
SIGNED_AT = f"{GROUP}/signed-at"
"""Annotation of a Secret with presigned URLs: RFC 3339 instant from which they are valid for a week."""
SOURCES = f"{GROUP}/made-from"
"""Annotation of a Deployment: digests of the tenant's, the model's and the operator's part in its pod template."""
ROLLOUT = f"{GROUP}/rollout"
"""Annotation of a Deployment: the last shared change that it rolled out, as `rollout.policy` names it."""
ROLLOUT_MODE = f"{GROUP}/rollout-mode"
"""Annotation of a TTSModel: how its pools roll out shared changes, as `rollout.situation.Mode` names it."""
SIGNING_SINCE = f"{GROUP}/signing-since"
"""Annotation of the Secret with signing keys: RFC 3339 instant at which the current one began to sign."""


def tenant_labels(tenant: str) -> dict[str, str]:
    """Labels of every child, whether it belongs to one pool or to the whole tenant."""
    return {
        "app.kubernetes.io/name": "tts-server",
        MANAGED_BY: MANAGER,
        TENANT_LABEL: tenant,
    }


def pool_labels(tenant: str, model: str) -> dict[str, str]:
    """Labels of every child of one pool, and of its pods."""
    return {**tenant_labels(tenant), MODEL_LABEL: model, POOL_LABEL: pool_name(tenant, model)}


def selector(tenant: str, further: str = "") -> str:
    """Label selector of a tenant's children and pods; `further` is that of a kind."""
    return joined(f"{TENANT_LABEL}={tenant}", further)


def joined(*selectors: str) -> str:
    """One label selector of several; empty ones select everything."""
    return ",".join(filter(None, selectors))
