"""The table of kinds: one row for each kind of Kubernetes object that the operator reads or writes.

Watches, the client's paths, the reading of a tenant's children, the watch health check, and the chart's RBAC rules and
admission policies (through `hack/generate.py`) all come from here.
"""

from dataclasses import dataclass
from enum import Enum, StrEnum

from tts_operator.objects.names import API_VERSION, MANAGER


class Scope(Enum):
    """Place of a kind's objects, which decides the role that grants access to them."""

    CLUSTER = "Cluster"
    """Cluster-scoped: granted by the operator's ClusterRole."""
    TENANTS = "Tenants"
    """In the namespaces of tenants: granted there, or in all of them."""
    OPERATOR = "Operator"
    """In the operator's own namespace only."""


class AddOn(StrEnum):
    """Part of a cluster that the operator uses only where the platform enables it: often a project of its own, of which
    a cluster may lack the kinds. The value is its section in the chart's values."""

    KEDA = "keda"
    GATEWAY_API = "gatewayAPI"
    INGRESS = "ingress"


SLICE_MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
"""Label of an EndpointSlice: the program that keeps it. The EndpointSlice controller leaves those of others alone."""
READ = ("get", "list", "watch")
"""RBAC verbs on objects that people write."""
OWN = (*READ, "create", "patch", "delete")
"""RBAC verbs on children that are found by their label."""


@dataclass(frozen=True)
class Kind:
    """One kind, as the operator uses it."""

    api_version: str
    name: str
    plural: str
    verbs: tuple[str, ...]
    """RBAC verbs on the objects themselves: those that the operator uses, and no others."""
    short_name: str = ""
    """Name in logs and messages, as `kubectl get` takes it; empty: the kind in lower case."""
    scope: Scope = Scope.TENANTS
    child: bool = False
    """Builders create objects of the kind for a tenant; the plan deletes those that are no longer desired."""
    subresources: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Subresources with their RBAC verbs."""
    by_name: bool = False
    """The chart limits access to one object by its name (resourceNames) where that is known."""
    health_checked: bool = False
    """Objects change without the operator's writes: the watch health check compares their versions."""
    cluster_wide_verbs: tuple[str, ...] = ()
    """Further RBAC verbs of an operator that is not confined to namespaces."""
    labels: str = ""
    """Selector that lists and watches of the kind have besides that of the operator's label."""
    add_on: AddOn | None = None
    """Add-on that defines the kind; None for a kind that every cluster has, or the operator's own chart installs."""
    comment: str = ""
    """Comment above the kind's first RBAC rule."""

    @property
    def group(self) -> str:
        """API group; empty for the core group."""
        return self.api_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        """Version within the group."""
        return self.api_version.rpartition("/")[2]

    @property
    def watched(self) -> bool:
        """Whether watches deliver the objects. Nothing else needs the permission, so it decides."""
        return "watch" in self.verbs

    @property
    def listed(self) -> bool:
        """Whether children are found by their label; otherwise `observe` reads them by name."""
        return "list" in self.verbs


TENANT = Kind(
    API_VERSION,
    "TTSTenant",
    "ttstenants",
    READ,
    subresources=(("status", ("patch",)), ("finalizers", ("update",))),
    health_checked=True,
    comment="finalizers: the admission plugin OwnerReferencesPermissionEnforcement requires it.",
)
MODEL = Kind(
    API_VERSION,
    "TTSModel",
    "ttsmodels",
    READ,
    scope=Scope.CLUSTER,
    subresources=(("status", ("patch",)),),
    health_checked=True,
)
CALENDAR = Kind(API_VERSION, "TTSCalendar", "ttscalendars", READ, scope=Scope.CLUSTER)
SERVICE_ACCOUNT = Kind("v1", "ServiceAccount", "serviceaccounts", OWN, "sa", child=True)
CONFIG_MAP = Kind("v1", "ConfigMap", "configmaps", OWN, "cm", child=True)
SERVICE = Kind("v1", "Service", "services", OWN, "svc", child=True)
DEPLOYMENT = Kind(
    "apps/v1",
    "Deployment",
    "deployments",
    OWN,
    "deploy",
    child=True,
    subresources=(("scale", ("update",)),),
    health_checked=True,
)
HORIZONTAL_POD_AUTOSCALER = Kind(
    "autoscaling/v2",
    "HorizontalPodAutoscaler",
    "horizontalpodautoscalers",
    OWN,
    "hpa",
    child=True,
    health_checked=True,
)
SCALED_OBJECT = Kind("keda.sh/v1alpha1", "ScaledObject", "scaledobjects", OWN, "so", child=True, add_on=AddOn.KEDA)
POD_DISRUPTION_BUDGET = Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", OWN, "pdb", child=True)
NETWORK_POLICY = Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies", OWN, "netpol", child=True)
INGRESS = Kind("networking.k8s.io/v1", "Ingress", "ingresses", OWN, "ing", child=True, add_on=AddOn.INGRESS)
HTTP_ROUTE = Kind("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes", OWN, child=True, add_on=AddOn.GATEWAY_API)
ENDPOINT_SLICE = Kind(
    "discovery.k8s.io/v1",
    "EndpointSlice",
    "endpointslices",
    OWN,
    child=True,
    labels=f"{SLICE_MANAGED_BY}={MANAGER}",
    comment="Of the operator's own label only: those of the EndpointSlice controller have the labels of their Service.",
)
POD = Kind("v1", "Pod", "pods", ("list", "watch", "patch"), "po", health_checked=True)
SECRET = Kind(
    "v1",
    "Secret",
    "secrets",
    ("get", "create", "patch", "delete"),
    child=True,
    comment="By name only: permission to list or watch Secrets would be permission to read all of them.",
)
RESOURCE_CLAIM_TEMPLATE = Kind(
    "resource.k8s.io/v1",
    "ResourceClaimTemplate",
    "resourceclaimtemplates",
    ("get", "create", "patch", "delete"),
    child=True,
    comment="By name only, for models with a deviceClassName: Kubernetes before 1.34 has no such kind to watch.",
)
EVENT = Kind("events.k8s.io/v1", "Event", "events", ("create", "patch"))
NAMESPACE = Kind(
    "v1",
    "Namespace",
    "namespaces",
    ("get",),
    scope=Scope.CLUSTER,
    by_name=True,
    cluster_wide_verbs=("list", "watch"),
)
LEASE = Kind(
    "coordination.k8s.io/v1", "Lease", "leases", ("create", "get", "update"), scope=Scope.OPERATOR, by_name=True
)

KINDS: tuple[Kind, ...] = (
    TENANT,
    MODEL,
    CALENDAR,
    SERVICE_ACCOUNT,
    CONFIG_MAP,
    SERVICE,
    DEPLOYMENT,
    HORIZONTAL_POD_AUTOSCALER,
    SCALED_OBJECT,
    POD_DISRUPTION_BUDGET,
    NETWORK_POLICY,
    INGRESS,
    HTTP_ROUTE,
    ENDPOINT_SLICE,
    POD,
    SECRET,
    RESOURCE_CLAIM_TEMPLATE,
    EVENT,
    NAMESPACE,
    LEASE,
)
"""Every kind, in the order of the chart's rules."""
CHILDREN: tuple[Kind, ...] = tuple(kind for kind in KINDS if kind.child)
"""Kinds of a tenant's children."""
BY_NAME = {(kind.api_version, kind.name): kind for kind in KINDS}
SHORT_NAMES = {kind.name: kind.short_name or kind.name.lower() for kind in KINDS}


def kind_of(api_version: str, name: str) -> Kind:
    """The table's row. Raises KeyError for a kind that the operator has nothing to do with."""
    return BY_NAME[api_version, name]
