"""The API group, field managers, and the names of a tenant's children."""

import hashlib

GROUP = "ttsfleet.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
"""apiVersion of the operator's own resources."""
MANAGER = "tts-operator"
"""Field manager of every server-side apply and of pod annotations."""
STANDBY_MANAGER = "tts-operator-standby"
"""Field manager of the condition by which a release reports that it stays away from another one's tenant."""
SCALE_MANAGER = "tts-operator-scale"
"""Field manager of replicas, which no apply set ever holds."""

MAX_MANAGER_LENGTH = 128
"""Characters of a field manager's name."""
CONTAINER = "tts-server"
FETCH_CONTAINER = "fetch-model"
"""Init container that downloads a model's files."""
MODEL_VOLUME = "model"
"""Volume with the files of a pool's model."""
SOURCE_VOLUME = "model-source"
"""Volume with the presigned URLs of these files."""
ADAPTER_VOLUMES = "adapter-"
"""Beginning of the names of volumes with the files of adapters."""
FETCH_ADAPTER_CONTAINERS = "fetch-adapter-"
"""Beginning of the names of init containers that download them."""
POOL_METRICS = {"InFlight": "tts_inflight_requests", "QueueDepth": "tts_queue_depth"}
"""Metric of `tts-server` by its name in `spec.autoscaling.metrics`."""
MAX_NAME_LENGTH = 63
"""Characters of a label value and of a DNS label."""


def model_status_manager(release: str) -> str:
    """Field manager of a release's part in the status of models: several releases may report on one model."""
    return fitted(f"{MANAGER}:{release}", MAX_MANAGER_LENGTH)


def pool_name(tenant: str, model: str) -> str:
    """Name of a pool's Deployment, Service, HPA, PDB and NetworkPolicy."""
    return fitted(f"{tenant}-{model}")


def server_config_name(tenant: str, model: str) -> str:
    """ConfigMap with the pool's ``server.json``."""
    return fitted(f"{tenant}-{model}-server")


def quota_config_name(tenant: str) -> str:
    """ConfigMap with the tenant's ``quota.json``."""
    return f"{tenant}-quota"


def tenant_shard_name(pool: str, number: int) -> str:
    """ConfigMap with one of the 16 files of a shared pool's tenants."""
    return fitted(f"{pool}-tenants-{number:02}")


def source_secret_name(tenant: str, model: str) -> str:
    """Secret with presigned URLs of the model's files, for a model whose files are in an object store."""
    return fitted(f"{tenant}-{model}-source")


def files_volume(adapter: str) -> str:
    """Volume with the files of this adapter; an empty name stands for the model itself."""
    return fitted(f"{ADAPTER_VOLUMES}{adapter}") if adapter else MODEL_VOLUME


def fetch_container(adapter: str) -> str:
    """Init container that downloads the files of this adapter; an empty name stands for the model itself."""
    return fitted(f"{FETCH_ADAPTER_CONTAINERS}{adapter}") if adapter else FETCH_CONTAINER


def service_account_name(tenant: str) -> str:
    """ServiceAccount of the tenant's pods: no token, no permissions."""
    return f"{tenant}-tts"


def waker_slice_name(tenant: str, family: str) -> str:
    """EndpointSlice by which the tenant's Service leads to the waker. `family`: IPv4 or IPv6."""
    return f"{tenant}--waker" if family == "IPv4" else f"{tenant}--waker-{family.lower()}"


def peers_service_name(tenant: str) -> str:
    """Headless Service over all of the tenant's pods. No model can have this name: none begins with a dash."""
    return f"{tenant}--peers"


def internal_secret_name(tenant: str) -> str:
    """Secret with the credential between the tenant's pools."""
    return f"{tenant}-internal"


def signing_secret_name(tenant: str) -> str:
    """Secret with the keys that sign the tenant's access tokens."""
    return f"{tenant}-signing"


def redis_secret_name(tenant: str) -> str:
    """Secret with the address of the operator's Redis, for a tenant without a Redis of its own."""
    return f"{tenant}-redis"


def redis_user_name(uid: str) -> str:
    """ACL user of a tenant in the operator's Redis."""
    return f"ttsfleet-{uid}"


def s3_secret_name(tenant: str) -> str:
    """Secret with the keys of the operator's object store, for a tenant without a store of its own."""
    return f"{tenant}-s3"


def tls_secret_name(tenant: str) -> str:
    """Secret into which cert-manager writes the certificate of the tenant's host name."""
    return f"{tenant}-tls"


def keys_secret_name(tenant: str) -> str:
    """Secret with the hashes of API keys where ``spec.auth.apiKeysSecretRef`` names none."""
    return f"{tenant}-keys"


def fitted(name: str, longest: int = MAX_NAME_LENGTH) -> str:
    """The name itself, or as much of it as fits, by default a label value, beside a hash of the whole."""
    if len(name) <= longest:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: longest - 9].rstrip('-.')}-{digest}"
