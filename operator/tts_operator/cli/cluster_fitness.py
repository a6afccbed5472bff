"""Judges whether a cluster is fit for TTS Fleet, from what was read of it. Each line says what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tts_operator.objects.names import GROUP, VERSION

OK, WARN, FAIL = "ok", "warn", "fail"
OLDEST = (1, 30)
"""Kubernetes: ValidatingAdmissionPolicy v1 and `sleep` in preStop are on by default since then."""
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
OPERATOR = {"app.kubernetes.io/name": "tts-operator"}
OPTIONAL_CRDS = {
    "Gateway API": ("httproutes.gateway.networking.k8s.io", "spec.exposure of tenants needs it; a Service or an Ingress"
                    " of your own works without"),
    "KEDA": ("scaledobjects.keda.sh", "scaling by requests in flight or queue depth needs it; scaling by CPU and by the"
             " clock works without"),
    "Prometheus operator": ("podmonitors.monitoring.coreos.com", "metrics.podMonitor, metrics.serviceMonitor and alerts"
                            " of the chart need it; any Prometheus can scrape the pods without"),
}  # fmt: skip
"""CRDs of other projects, with what needs them."""


class Line(NamedTuple):
    """One line of the check."""

    result: str
    subject: str
    message: str


@dataclass(frozen=True)
class ClusterState:
    """Objects that were read of a cluster. None: the object is not there. `unreadable`: subjects that may not be."""

    version: Mapping[str, Any]
    crds: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)
    policies: list[Mapping[str, Any]] = field(default_factory=list)
    policy_bindings: list[Mapping[str, Any]] = field(default_factory=list)
    operators: list[Mapping[str, Any]] = field(default_factory=list)
    metrics_api: Mapping[str, Any] | None = None
    storage_classes: list[Mapping[str, Any]] = field(default_factory=list)
    unreadable: frozenset[str] = frozenset()


def judge(state: ClusterState) -> Iterator[Line]:
    """Lines of the check, in the order in which a person would mend them."""
    yield kubernetes(state)
    yield from own_crds(state)
    yield from readable(state, "operator", operator)
    yield from readable(state, "admission policies", admission_policies)
    yield from readable(state, "metrics server", metrics_server)
    for subject, (crd, needed) in OPTIONAL_CRDS.items():
        if crd in state.unreadable:
            yield unread(subject)
        elif state.crds.get(crd) is None:
            yield Line(WARN, subject, f"not installed: {needed}")
        else:
            yield Line(OK, subject, "installed")
    yield from readable(state, "storage class", storage_class)
    told = "whether the network plugin enforces them cannot be read: ask who runs the cluster"
    yield Line(WARN, "NetworkPolicies", told)


def readable(state: ClusterState, subject: str, policy: Any) -> Iterator[Line]:
    """The line of a policy, or one that says that its objects may not be read."""
    yield unread(subject) if subject in state.unreadable else policy(state)


def unread(subject: str) -> Line:
    """Line about objects that the reader may not read."""
    return Line(WARN, subject, "you may not read this: ask a cluster administrator to run the check")


def kubernetes(state: ClusterState) -> Line:
    """Version of the API server."""
    said = str(state.version.get("gitVersion", "?"))
    numbers = re.match(r"v(\d+)\.(\d+)", said)
    if numbers is None:
        return Line(WARN, "Kubernetes", f"{said} is no version that can be compared with 1.30")
    if (int(numbers[1]), int(numbers[2])) < OLDEST:
        return Line(FAIL, "Kubernetes", f"{said} is older than 1.30: upgrade the cluster")
    return Line(OK, "Kubernetes", said)


def own_crds(state: ClusterState) -> Iterator[Line]:
    """The project's own resources."""
    for plural in ("ttsmodels", "ttstenants"):
        name = f"{plural}.{GROUP}"
        crd = state.crds.get(name)
        if name in state.unreadable:
            yield unread(f"CRD {plural}")
        elif crd is None:
            yield Line(FAIL, f"CRD {plural}", "not installed: install the chart, or apply `tts-operator crds`")
        elif not _is_true(crd, "Established"):
            yield Line(FAIL, f"CRD {plural}", "not established: kubectl describe crd " + name)
        elif VERSION not in {each["name"] for each in crd["spec"]["versions"] if each.get("served")}:
            yield Line(FAIL, f"CRD {plural}", f"does not serve {VERSION}: upgrade it, or use the plugin of its release")
        else:
            yield Line(OK, f"CRD {plural}", f"serves {VERSION}")


def operator(state: ClusterState) -> Line:
    """Deployments of the operator."""
    if not state.operators:
        return Line(FAIL, "operator", "no Deployment of it was found: helm install it (docs/how-to/install.md)")
    names = [f"{each['metadata']['namespace']}/{each['metadata']['name']}" for each in state.operators]
    down = [
        name
        for name, each in zip(names, state.operators, strict=True)
        if not int((each.get("status") or {}).get("readyReplicas") or 0)
    ]
    if down:
        namespace, _, name = down[0].partition("/")
        return Line(FAIL, "operator", f"{down[0]} has no ready replica: kubectl -n {namespace} describe deploy {name}")
    return Line(OK, "operator", ", ".join(names))


def admission_policies(state: ClusterState) -> Line:
    """The chart's ValidatingAdmissionPolicies and their bindings."""
    names = {each["metadata"]["name"] for each in state.policies}
    if not names:
        return Line(
            WARN,
            "admission policies",
            "none: the operator still refuses bad specs, but only after they are stored, and ceilings of namespaces are"
            " enforced late; set admissionPolicies.enabled of the chart",
        )
    bound = {str(each["spec"]["policyName"]) for each in state.policy_bindings}
    if loose := sorted(names - bound):
        told = f"{loose[0]} has no binding and refuses nothing: helm upgrade the chart"
        return Line(FAIL, "admission policies", told)
    return Line(OK, "admission policies", f"{len(names)}, all bound")


def metrics_server(state: ClusterState) -> Line:
    """The API of resource metrics."""
    if state.metrics_api is None:
        return Line(WARN, "metrics server", "not installed: replicas follow the clock, but not the load by CPU")
    if not _is_true(state.metrics_api, "Available"):
        told = "installed and not available: kubectl describe apiservice v1beta1.metrics.k8s.io"
        return Line(WARN, "metrics server", told)
    return Line(OK, "metrics server", "available")


def storage_class(state: ClusterState) -> Line:
    """The default StorageClass."""
    for each in state.storage_classes:
        if (each["metadata"].get("annotations") or {}).get(DEFAULT_CLASS) == "true":
            return Line(OK, "storage class", f"{each['metadata']['name']} is the default")
    message = "no default: claims with model files must name a class (docs/how-to/publish-a-voice.md)"
    return Line(WARN, "storage class", message)


def _is_true(body: Mapping[str, Any], type_: str) -> bool:
    conditions = (body.get("status") or {}).get("conditions") or ()
    return any(each.get("type") == type_ and each.get("status") == "True" for each in conditions)
