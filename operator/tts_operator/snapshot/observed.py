"""One reading of the cluster for one tenant: everything a reconcile decides from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tts_operator.api import TTSModel, TTSTenant
from tts_operator.credentials.shared_stores import StoreCredentials
from tts_operator.credentials.signing_keys import SigningKeys
from tts_operator.objects.keys import Key
from tts_operator.objects.manifest import Body, Ref
from tts_operator.objects.names import keys_secret_name

Children = Mapping[Ref, Body]
"""Live objects of the child kinds, whole, by where they are."""

CHILD_KINDS: tuple[tuple[str, str], ...] = (
    ("v1", "ServiceAccount"),
    ("v1", "ConfigMap"),
    ("v1", "Secret"),
    ("v1", "Service"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("policy/v1", "PodDisruptionBudget"),
    ("apps/v1", "Deployment"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
)
"""Every kind that a tenant's children can have, as (apiVersion, kind)."""


@dataclass(frozen=True)
class Observed:
    """What the cluster holds for one tenant."""

    key: Key
    body: Body | None
    """The stored TTSTenant as it is; None once it is gone."""
    tenant: TTSTenant | None
    """The same, parsed; None where it is gone or does not parse."""
    tenant_error: str | None = None
    """Why the stored object does not parse: one line for a person."""
    models: Mapping[str, TTSModel | None] = field(default_factory=dict)
    """Every model that spec.models names or a fallback of theirs leads to; None where there is none to read."""
    model_errors: Mapping[str, str] = field(default_factory=dict)
    """Of those that exist and do not parse, why: one line for a person."""
    children: Children = field(default_factory=dict)
    """Objects of CHILD_KINDS in the namespace with the tenant's label, and foreign ones found under a child's name."""
    pods: Sequence[Body] = ()
    """Pods in the namespace with the tenant's label."""
    namespace_labels: Mapping[str, str] = field(default_factory=dict)
    namespace_ends: bool = False
    """The namespace is being deleted, and takes all that is in it along."""
    keys_secret_exists: bool | None = None
    """None where the operator may not look."""
    keys_secret_version: str = ""
    """resourceVersion of the Secret with the API keys: when it moves, running pods read their keys again."""
    internal_token: str = ""
    """What the internal Secret holds, else a new random one: chance is an argument here."""

    signing: SigningKeys = field(default_factory=SigningKeys)
    """What the Secret with signing keys holds, with a new key where one is due; empty without JWT."""
    stores: StoreCredentials = field(default_factory=StoreCredentials)
    """Credentials for what its replicas share."""

    @property
    def uid(self) -> str:
        """UID of the tenant: a namesake made later has another."""
        return str(self.metadata.get("uid", ""))

    @property
    def generation(self) -> int:
        """metadata.generation of the spec that this reading saw."""
        return int(self.metadata.get("generation", 0))

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The tenant's metadata; empty once it is gone."""
        return self.body.get("metadata", {}) if self.body else {}

    @property
    def status(self) -> Mapping[str, Any]:
        """The status as it was reported last."""
        return (self.body.get("status") or {}) if self.body else {}

    @property
    def deleting(self) -> bool:
        """Whether the tenant is on its way out: nothing may be made for it any more."""
        return self.body is None or "deletionTimestamp" in self.metadata or self.namespace_ends

    @property
    def keys_secret(self) -> str:
        """Name of the Secret with the API keys."""
        return keys_secret_of(self.key, self.tenant)


def keys_secret_of(key: Key, tenant: TTSTenant | None) -> str:
    """Name of the Secret with a tenant's API keys: the one that it names, else its own."""
    reference = tenant.spec.auth.api_keys_secret_ref if tenant and tenant.spec.auth else None
    return reference.name if reference else keys_secret_name(key.name)
