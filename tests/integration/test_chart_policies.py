"""The chart's admission policies restrict the operator's own account, on a real API server.

RBAC alone lets this account patch any pod and create any Secret and Deployment: these tests act as a thief of its token
would.
"""

from __future__ import annotations

import itertools
import json
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack.cluster import binaries
from hack.cluster.commands import run
from hack.cluster.control_plane import ControlPlane
from hack.cluster.errors import CommandError
from hack.cluster.sources import gateway_api_crd
from tests.support.api_http import DeniedError, http_client, try_to_create
from tests.support.keda import install_keda
from tests.support.resources import model_body, tenant_body
from tts_operator.objects.keys import Key
from tts_operator.objects.kinds import CHILDREN, HTTP_ROUTE, INGRESS, Kind

RELEASE = "policed"
NAMESPACE = "policed-system"
TEAM = "policed-team"
ACCOUNT = f"system:serviceaccount:{NAMESPACE}:{RELEASE}-ttsfleet"
OWN = {"app.kubernetes.io/managed-by": "tts-operator", "ttsfleet.io/tenant": "acme"}
READY_SECONDS = 120
PROMETHEUS = "http://prometheus.monitoring.svc:9090"
SET = [
    *("--set", "crds.install=false", "--set", "admissionPolicies.allowedPodLabels={cost-center}"),
    *("--set", f"keda.enabled=true,keda.prometheusAddress={PROMETHEUS}"),
    *("--set", "ingress.enabled=true,gatewayAPI.enabled=true,ingress.annotations.buffering=off"),
    *("--set", r"ingress.annotations.nginx\.ingress\.kubernetes\.io/proxy-buffering=off"),
    *("--set", "image.repository=example.invalid/operator,serverImage.repository=example.invalid/server"),
]
GOLDEN = binaries.ROOT / "tests" / "unit" / "operator" / "desired" / "golden"
GOLDEN_FILES = (
    "two-pools.yaml",
    "at-zero.yaml",
    "keda.yaml",
    "by-gateway.yaml",
    "by-ingress.yaml",
    "with-a-device.yaml",
)
"""Manifests among which there is each kind of child."""


class OperatorAccount:
    """Acts with the operator's permissions. Not by kubectl: it reads a pod before it patches it, which is forbidden."""

    ACCOUNT = ACCOUNT

    def __init__(self, plane: ControlPlane) -> None:
        self._client = http_client(plane, self.ACCOUNT, ("system:serviceaccounts",))

    def scales(self, deployment: str, replicas: int) -> None:
        metadata = {"name": deployment, "namespace": TEAM}
        scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": metadata, "spec": {"replicas": replicas}}
        self._sends("PUT", f"deployments/{deployment}/scale", scale)

    def patches(self, what: str, change: dict[str, Any]) -> None:
        self._sends("PATCH", what, change, "application/merge-patch+json")

    def creates(self, what: str, body: dict[str, Any]) -> None:
        self._sends("POST", what, body)

    def deletes(self, what: str) -> None:
        self._sends("DELETE", what, {})

    def tries(self, body: dict[str, Any]) -> None:
        """Creates any object, as a dry run: nothing of it stays."""
        try_to_create(self._client, body)

    def _sends(self, method: str, what: str, body: dict[str, Any], content_type: str = "application/json") -> None:
        group = "/apis/apps/v1" if what.startswith("deployments/") else "/api/v1"
        url, headers = f"{group}/namespaces/{TEAM}/{what}", {"Content-Type": content_type}
        answer = self._client.request(method, url, content=json.dumps(body), headers=headers)
        if answer.is_error:
            raise DeniedError(answer.json()["message"])


@pytest.fixture(scope="module")
def account(control_plane: ControlPlane, kubeconfig: Path) -> Iterator[OperatorAccount]:
    """The chart's account, roles and policies, and a namespace with things of the operator's and of others."""
    helm = binaries.ensure(binaries.HELM)["helm"]
    chart = binaries.ROOT / "charts" / "ttsfleet"
    version = ["--kube-version", binaries.KUBERNETES_VERSION]
    rendered = run([helm, "template", RELEASE, chart, "-n", NAMESPACE, *version, *SET])
    kinds = {"ServiceAccount", "ClusterRole", "ClusterRoleBinding"}
    kinds |= {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
    release = [body for body in yaml.safe_load_all(rendered) if body and body["kind"] in kinds]
    # Another test of this file may have run before on this control plane: the fixture is then made anew.
    control_plane.kubectl("delete", "namespace", NAMESPACE, TEAM, "--ignore-not-found")
    for name in (NAMESPACE, TEAM):
        control_plane.kubectl("create", "namespace", name)
    control_plane.kubectl("apply", "--server-side", "-f", str(gateway_api_crd("httproutes")))
    control_plane.wait_established(f"{HTTP_ROUTE.plural}.{HTTP_ROUTE.group}")
    everything = [*release, *pods(), *deployments(), tenant_body(key=Key(TEAM, "acme"))]
    install_keda(control_plane)
    control_plane.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(everything))
    uid = control_plane.kubectl("get", "ttst", "acme", "-n", TEAM, "-o", "jsonpath={.metadata.uid}")
    control_plane.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(secrets(uid)))
    account = OperatorAccount(control_plane)
    wait_until_enforced(account)
    yield account
    control_plane.kubectl("delete", "namespace", NAMESPACE, TEAM, "--wait=false")
    control_plane.kubectl("delete", "-f", "-", "--wait=false", input=yaml.safe_dump_all(release))


def wait_until_enforced(account: OperatorAccount) -> None:
    """The API server learns of roles and compiles policies a moment after they are created."""
    deadline = time.monotonic() + READY_SECONDS
    for name, misuse in MISUSES.items():
        said = ""
        for attempt in itertools.count():
            if "denied request" in said:
                break
            assert time.monotonic() < deadline, f"no policy holds for {name} after {READY_SECONDS} s: {said}"
            time.sleep(0.1)
            try:
                misuse(account, attempt)
            except DeniedError as error:
                said = str(error)


def golden(name: str) -> list[dict[str, Any]]:
    """The children that the builders make, in the namespace of these tests, under names that nothing here has."""
    text = (GOLDEN / name).read_text(encoding="utf-8")
    return list(yaml.safe_load_all(text.replace("team-acme", TEAM)))


def changed(kind: str, change: dict[str, Any]) -> dict[str, Any]:
    """The first built child of this kind with a change: maps are merged, everything else is replaced."""
    built = itertools.chain.from_iterable(map(golden, GOLDEN_FILES))
    return merged(next(body for body in built if body["kind"] == kind), change)


def merged(body: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """A merge patch, except that an empty map replaces what was there."""

    def one(name: str, value: Any) -> Any:
        before = body.get(name)
        return merged(before, value) if isinstance(value, dict) and value and isinstance(before, dict) else value

    return {**body, **{name: one(name, value) for name, value in change.items()}}


def pod_with(change: dict[str, Any]) -> dict[str, Any]:
    """The built Deployment with a change of its pod spec."""
    return changed("Deployment", {"spec": {"template": {"spec": change}}})


def container_with(change: dict[str, Any]) -> dict[str, Any]:
    """The built Deployment with a change of its container."""
    container = changed("Deployment", {})["spec"]["template"]["spec"]["containers"][0]
    return pod_with({"containers": [merged(container, change)]})


def mounting(volume: dict[str, Any]) -> dict[str, Any]:
    """The built Deployment with one more volume."""
    volumes = changed("Deployment", {})["spec"]["template"]["spec"]["volumes"]
    return pod_with({"volumes": [*volumes, {"name": "more", **volume}]})


def labelled(what: str) -> Callable[[OperatorAccount, int], None]:
    """Each attempt makes another change: none at all is not refused."""
    return lambda account, attempt: account.patches(what, {"metadata": {"labels": {"probe": str(attempt)}}})


MISUSES: dict[str, Callable[[OperatorAccount, int], None]] = {
    "pods": labelled("pods/own"),
    "children": labelled("secrets/foreign"),
    "scales": lambda account, _: account.scales("foreign", 0),
    "secrets": lambda account, _: account.tries(changed("Secret", {"type": "helm.sh/release.v1"})),
    "accounts": lambda account, _: account.tries(changed("ServiceAccount", {"automountServiceAccountToken": True})),
    "pod-templates": lambda account, _: account.tries(pod_with({"hostPID": True})),
    "services": lambda account, _: account.tries(changed("Service", {"spec": {"type": "NodePort"}})),
    "network-policies": lambda account, _: account.tries(changed("NetworkPolicy", {"spec": {"podSelector": {}}})),
    "endpoint-slices": lambda account, _: account.tries(endpoint_slice(port=80)),
}
"""One for each policy."""


def endpoint_slice(service: str = "acme", port: int = 20_000, manager: str = "tts-operator") -> dict[str, Any]:
    """The EndpointSlice by which the tenant's Service leads to the waker, with a change."""
    own = {"kubernetes.io/service-name": service, "endpointslice.kubernetes.io/managed-by": manager}
    ports = [{"name": "http", "port": port, "protocol": "TCP"}]
    return changed("EndpointSlice", {"metadata": {"labels": own}, "ports": ports})


def pods() -> Iterator[dict[str, Any]]:
    for name, labels in (("own", OWN), ("foreign", {"app": "billing"})):
        yield {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": TEAM,
                "labels": labels,
                "annotations": {"ttsfleet.io/config-hash": "1", "other": "1"},
            },
            "spec": {
                "automountServiceAccountToken": False,
                "containers": [{"name": "tts-server", "image": "example.invalid/image:1"}],
                "tolerations": [{"operator": "Exists"}],
            },
        }


def deployments() -> Iterator[dict[str, Any]]:
    for name, labels in (("own", {"ttsfleet.io/pool": "own"}), ("foreign", {"app": "billing"})):
        container = {"name": "tts-server", "image": "example.invalid/image:1"}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
        yield {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": TEAM, "labels": OWN if name == "own" else labels},
            "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
        }


def secrets(uid: str) -> Iterator[dict[str, Any]]:
    """Secrets of the tenant, one of them without its labels, and two of others."""
    yield secret("own", OWN, uid)
    yield secret("to-delete", OWN, uid)
    yield secret("unlabelled", {}, uid)
    yield secret("foreign", {"app": "billing"})
    yield secret("only-labelled", OWN)


def secret(name: str, labels: dict[str, str], uid: str = "") -> dict[str, Any]:
    metadata = {"name": name, "namespace": TEAM, "labels": labels}
    owners = {"ownerReferences": [owner(uid)]} if uid else {}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {**metadata, **owners}, "stringData": {"token": "x"}}


def owner(uid: str, **change: Any) -> dict[str, Any]:
    tenant = {"apiVersion": "ttsfleet.io/v1alpha1", "kind": "TTSTenant", "name": "acme"}
    return {**tenant, "uid": uid, "controller": True, **change}


def test_the_annotation_that_announces_configuration_may_change(account: OperatorAccount) -> None:
    account.patches("pods/own", {"metadata": {"annotations": {"ttsfleet.io/config-hash": "2"}}})


POD_CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "a label": ({"metadata": {"labels": {"app": "billing"}}}, "may change only annotations of a pod"),
    "the label that makes it its own": (
        {"metadata": {"labels": {"app.kubernetes.io/managed-by": None}}},
        "may change only annotations of a pod",
    ),
    "the image": (
        {"spec": {"containers": [{"name": "tts-server", "image": "example.invalid/evil:1"}]}},
        "may change only annotations of a pod",
    ),
    "a deadline": ({"spec": {"activeDeadlineSeconds": 1}}, "may change only annotations of a pod"),
    "a finalizer": ({"metadata": {"finalizers": ["example.com/stuck"]}}, "may change only annotations of a pod"),
    "an owner": (
        {"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "x"}]}},
        "may change only annotations of a pod",
    ),
    "another annotation": (
        {"metadata": {"annotations": {"other": "2"}}},
        "may change only the annotation ttsfleet.io/config-hash",
    ),
    "a new annotation": (
        {"metadata": {"annotations": {"new": "1"}}},
        "may change only the annotation ttsfleet.io/config-hash",
    ),
    "the removal of an annotation": (
        {"metadata": {"annotations": {"other": None}}},
        "may change only the annotation ttsfleet.io/config-hash",
    ),
}


@pytest.mark.parametrize(("change", "message"), POD_CHANGES.values(), ids=POD_CHANGES)
def test_anything_else_about_a_pod_is_refused(account: OperatorAccount, change: dict[str, Any], message: str) -> None:
    with pytest.raises(DeniedError, match=message):
        account.patches("pods/own", change)


def test_a_foreign_pod_is_refused_whole(account: OperatorAccount) -> None:
    with pytest.raises(DeniedError, match="may only update pods of tenants"):
        account.patches("pods/foreign", {"metadata": {"annotations": {"ttsfleet.io/config-hash": "2"}}})


def test_its_own_secret_may_be_made_changed_and_deleted(account: OperatorAccount) -> None:
    account.creates("secrets", secret("made", OWN, str(uuid.uuid4())))
    account.patches("secrets/own", {"stringData": {"token": "y"}})
    account.deletes("secrets/to-delete")


def test_a_label_that_somebody_took_off_may_be_put_back(account: OperatorAccount) -> None:
    account.patches("secrets/unlabelled", {"metadata": {"labels": OWN}})


TAKEOVERS: dict[str, dict[str, Any]] = {
    "its content": {"stringData": {"token": "y"}},
    "its labels": {"metadata": {"labels": OWN}},
    "its owner": {"metadata": {"labels": OWN, "ownerReferences": [owner("00000000-0000-4000-8000-000000000001")]}},
}


@pytest.mark.parametrize("name", ["foreign", "only-labelled"])
@pytest.mark.parametrize("change", TAKEOVERS.values(), ids=TAKEOVERS)
def test_a_foreign_secret_may_not_be_changed_nor_taken_over(
    account: OperatorAccount, name: str, change: dict[str, Any]
) -> None:
    if name == "only-labelled" and change == TAKEOVERS["its labels"]:
        return  # it has them: this changes nothing
    with pytest.raises(DeniedError, match=f"may change only objects that a TTSTenant controls; secrets {name} is not"):
        account.patches(f"secrets/{name}", change)


def test_a_foreign_secret_may_not_be_deleted(account: OperatorAccount) -> None:
    with pytest.raises(DeniedError, match="may change only objects that a TTSTenant controls"):
        account.deletes("secrets/foreign")


def test_a_pool_may_be_scaled(account: OperatorAccount, control_plane: ControlPlane) -> None:
    account.scales("own", 1)
    replicas = control_plane.kubectl("-n", TEAM, "get", "deployment", "own", "-o", "jsonpath={.spec.replicas}")
    assert replicas == "1"


def test_a_foreign_deployment_may_not_be_scaled(account: OperatorAccount) -> None:
    with pytest.raises(DeniedError, match="deployment foreign is not one"):
        account.scales("foreign", 0)


def test_a_child_may_not_be_given_to_another_tenant(account: OperatorAccount) -> None:
    with pytest.raises(DeniedError, match="may not change which TTSTenant controls an object"):
        account.patches("secrets/own", {"metadata": {"ownerReferences": [owner(str(uuid.uuid4()))]}})


@pytest.mark.parametrize("name", ["one-pool.yaml", *GOLDEN_FILES])
def test_everything_that_the_builders_make_may_be_made(account: OperatorAccount, name: str) -> None:
    for body in golden(name):
        account.tries(body)


STRANGERS: dict[str, dict[str, Any]] = {
    "without an owner": {"ownerReferences": []},
    "owned, not controlled": {"ownerReferences": [owner("1", controller=False)]},
    "of a tenant of another group": {"ownerReferences": [owner("1", apiVersion="example.com/v1")]},
    "of a Deployment": {"ownerReferences": [owner("1", apiVersion="apps/v1", kind="Deployment")]},
    "labelled for another tenant": {"labels": {"ttsfleet.io/tenant": "globex"}},
    "without the operator's label": {"labels": {"app.kubernetes.io/managed-by": "Helm"}},
}


@pytest.mark.parametrize("kind", [kind.name for kind in CHILDREN])
@pytest.mark.parametrize("metadata", STRANGERS.values(), ids=STRANGERS)
def test_what_no_tenant_controls_may_not_be_made(account: OperatorAccount, kind: str, metadata: dict[str, Any]) -> None:
    # Any policy that denies it may answer: a Deployment's pods lack the labels of their tenant, too.
    others = {
        "Deployment": "|must have the labels of their tenant",
        "ServiceAccount": "|the only ServiceAccount of tenant",
        "EndpointSlice": "|must be of the Service of their tenant",
        "HTTPRoute": "|must lead from a host name to the Service of their tenant",
        "Ingress": "|must lead from a host name to the Service of their tenant",
    }
    message = f"must be controlled by a TTSTenant{others.get(kind, '')}"
    with pytest.raises(DeniedError, match=message):
        account.tries(changed(kind, {"metadata": metadata}))


@pytest.mark.parametrize("namespace", ["kube-system", "kube-public", "kube-node-lease"])
@pytest.mark.parametrize("kind", [kind.name for kind in CHILDREN])
def test_nothing_may_be_made_in_a_namespace_of_kubernetes(account: OperatorAccount, kind: str, namespace: str) -> None:
    with pytest.raises(DeniedError, match="may write nothing in namespaces whose names begin with kube-"):
        account.tries(changed(kind, {"metadata": {"namespace": namespace}}))


SCALED_OTHERWISE: dict[str, dict[str, Any]] = {
    "something else": {"scaleTargetRef": {"name": "other"}},
    "no Deployment": {"scaleTargetRef": {"kind": "StatefulSet"}},
    "by another server": {
        "triggers": [{"type": "prometheus", "metadata": {"serverAddress": "http://169.254.169.254"}}]
    },
    "with credentials": {"triggers": [{"type": "cpu", "metadata": {}, "authenticationRef": {"name": "theirs"}}]},
    "by something else": {"triggers": [{"type": "metrics-api", "metadata": {"url": PROMETHEUS}}]},
}


@pytest.mark.parametrize("spec", SCALED_OTHERWISE.values(), ids=SCALED_OTHERWISE)
def test_keda_scales_only_the_pool_and_asks_only_the_platforms_prometheus(
    account: OperatorAccount, spec: dict[str, Any]
) -> None:
    with pytest.raises(DeniedError, match="ScaledObjects that the operator writes must"):
        account.tries(changed("ScaledObject", {"spec": spec}))


OTHER_TYPES = {
    "kubernetes.io/service-account-token": {"kubernetes.io/service-account.name": "default"},
    "bootstrap.kubernetes.io/token": {},
    "kubernetes.io/tls": {},
    "helm.sh/release.v1": {},
}


@pytest.mark.parametrize(("type_", "annotations"), OTHER_TYPES.items(), ids=OTHER_TYPES)
def test_no_secret_of_another_type_may_be_made(
    account: OperatorAccount, type_: str, annotations: dict[str, str]
) -> None:
    data = {"tls.crt": "eA==", "tls.key": "eA=="} if type_ == "kubernetes.io/tls" else {}
    body = changed("Secret", {"type": type_, "data": data, "metadata": {"annotations": annotations}})
    with pytest.raises(DeniedError, match="only Secrets of type Opaque"):
        account.tries(body)


MODEL_FILES: dict[str, dict[str, Any]] = {
    "an image": {"image": {"reference": "registry.example/voices:1"}},
    "a claim, read-only": {"persistentVolumeClaim": {"claimName": "voices", "readOnly": True}},
}


@pytest.mark.parametrize("volume", MODEL_FILES.values(), ids=MODEL_FILES)
def test_pods_may_mount_the_files_of_their_model(account: OperatorAccount, volume: dict[str, Any]) -> None:
    account.tries(mounting(volume))


ROOT = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}, "runAsUser": 0}
BAD_PODS: dict[str, tuple[dict[str, Any], str]] = {
    "host network": (pod_with({"hostNetwork": True}), "of their node"),
    "host processes": (pod_with({"hostPID": True}), "of their node"),
    "host IPC": (pod_with({"hostIPC": True}), "of their node"),
    "a host port": (container_with({"ports": [{"containerPort": 8080, "hostPort": 8080}]}), "of their node"),
    "a host path": (mounting({"hostPath": {"path": "/"}}), "only volumes of type"),
    "a projected token": (
        mounting({"projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}),
        "only volumes of type",
    ),
    "a claim of another": (mounting({"persistentVolumeClaim": {"claimName": "billing"}}), "only volumes of type"),
    "another account": (pod_with({"serviceAccountName": "default"}), "must use ServiceAccount acme-tts"),
    "a mounted token": (pod_with({"automountServiceAccountToken": True}), "mount no token"),
    "a chosen node": (pod_with({"nodeName": "control-plane"}), "placed by a scheduler"),
    "privilege escalation": (container_with({"securityContext": {"allowPrivilegeEscalation": True}}), "privileges"),
    "capabilities kept": (container_with({"securityContext": {"capabilities": {}}}), "capabilities"),
    "a capability": (container_with({"securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}), "capabilities"),
    "a writable root": (container_with({"securityContext": {"readOnlyRootFilesystem": False}}), "read-only root"),
    "an init container": (
        pod_with({"initContainers": [{"name": "first", "image": "example.invalid/image:1"}]}),
        "privileges",
    ),
    "root": (pod_with({"securityContext": {"runAsNonRoot": False}}), "must run as non-root"),
    "root by its number": (pod_with({"securityContext": ROOT}), "may not loosen"),
    "root in the container": (container_with({"securityContext": {"runAsUser": 0}}), "may not loosen"),
    "no seccomp": (pod_with({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}), "with a seccomp profile"),
    "no seccomp in the container": (
        container_with({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}),
        "may not loosen",
    ),
    "no AppArmor": (pod_with({"securityContext": {"appArmorProfile": {"type": "Unconfined"}}}), "may not loosen"),
    "an SELinux role": (
        container_with({"securityContext": {"seLinuxOptions": {"role": "sysadm_r"}}}),
        "may not loosen",
    ),
    "a sysctl": (
        pod_with({"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}}),
        "without sysctls",
    ),
    "a Secret as environment": (
        container_with({"envFrom": [{"secretRef": {"name": "billing"}}]}),
        "only from fields of the pod",
    ),
    "an entry of a Secret": (
        container_with({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "billing", "key": "a"}}}]}),
        "only from fields of the pod",
    ),
    "a probe of another host": (
        container_with({"livenessProbe": {"httpGet": {"host": "169.254.169.254"}}}),
        "may not name a host",
    ),
    "a hook to another host": (
        container_with({"lifecycle": {"postStart": {"httpGet": {"host": "10.0.0.1", "port": 1}}}}),
        "may not name a host",
    ),
    "the label of another Service": (
        changed("Deployment", {"spec": {"template": {"metadata": {"labels": {"app": "billing"}}}}}),
        "may not start pods with the labels app: admissionPolicies.allowedPodLabels",
    ),
}


@pytest.mark.parametrize(("body", "message"), BAD_PODS.values(), ids=BAD_PODS)
def test_no_other_pod_may_be_started(account: OperatorAccount, body: dict[str, Any], message: str) -> None:
    with pytest.raises(DeniedError, match=message):
        account.tries(body)


def test_a_label_that_the_platform_allows_may_be_on_a_pod(account: OperatorAccount) -> None:
    account.tries(changed("Deployment", {"spec": {"template": {"metadata": {"labels": {"cost-center": "7"}}}}}))


OTHER_MISUSES: dict[str, tuple[dict[str, Any], str]] = {
    "an account of another name": (
        changed("ServiceAccount", {"metadata": {"name": "default"}}),
        "the only ServiceAccount of tenant acme",
    ),
    "an account with a cloud role": (
        changed(
            "ServiceAccount", {"metadata": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/a"}}}
        ),
        "may not annotate ServiceAccounts",
    ),
    "an account with a pull Secret": (
        changed("ServiceAccount", {"imagePullSecrets": [{"name": "billing"}]}),
        "may not add Secrets",
    ),
    "a Service of another's pods": (changed("Service", {"spec": {"selector": {}}}), "must select pods of tenants"),
    "a Service to an outside name": (
        changed("Service", {"spec": {"type": "ExternalName", "externalName": "example.invalid"}}),
        "type ClusterIP",
    ),
    "a Service for all addresses": (changed("Service", {"spec": {"externalIPs": ["8.8.8.8"]}}), "type ClusterIP"),
    "endpoints of another Service": (endpoint_slice("billing"), "must be of the Service of their tenant"),
    "endpoints that the EndpointSlice controller would keep": (
        endpoint_slice(manager="endpointslice-controller.k8s.io"),
        "must be of the Service of their tenant",
    ),
    "endpoints at another port": (endpoint_slice(port=24_096), "must lead to a port of the waker"),
    "a NetworkPolicy over every pod": (
        changed("NetworkPolicy", {"spec": {"podSelector": {}}}),
        "select the pods of their pool",
    ),
}


@pytest.mark.parametrize(("body", "message"), OTHER_MISUSES.values(), ids=OTHER_MISUSES)
def test_no_other_child_may_be_made(account: OperatorAccount, body: dict[str, Any], message: str) -> None:
    with pytest.raises(DeniedError, match=message):
        account.tries(body)


def route(kind: Kind, spec: dict[str, Any], metadata: dict[str, Any] | None = None) -> dict[str, Any]:
    """A route of the tenant with a change of its spec, and more metadata."""
    service = changed("Service", {"metadata": metadata or {"annotations": {}}})
    backend = {"name": "acme", "port": {"number": 80}}
    path = {"path": "/", "pathType": "Prefix", "backend": {"service": backend}}
    specs: dict[str, dict[str, Any]] = {
        "Ingress": {"ingressClassName": "nginx", "rules": [{"host": "a.example", "http": {"paths": [path]}}]},
        "HTTPRoute": {
            "parentRefs": [{"name": "public", "namespace": "gateways"}],
            "hostnames": ["a.example"],
            "rules": [{"backendRefs": [{"name": "acme", "port": 80}], "timeouts": {"request": "0s"}}],
        },
    }
    named = {**service["metadata"], "name": "acme-route"}
    body = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": named}
    return {**body, "spec": {**specs[kind.name], **spec}}


ELSEWHERE = {"service": {"name": "billing", "port": {"number": 80}}}
MIRROR = {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "billing", "port": 80}}}
ROUTES: dict[str, tuple[dict[str, Any], str]] = {
    # the misuse: (the route, part of the refusal)
    "an Ingress to another Service": (
        route(
            INGRESS,
            {
                "rules": [
                    {"host": "a.example", "http": {"paths": [{"path": "/", "pathType": "Exact", "backend": ELSEWHERE}]}}
                ]
            },
        ),
        "must lead from a host name to the Service of their tenant",
    ),
    "an Ingress for every host name": (
        route(INGRESS, {"rules": [{"http": {"paths": [{"path": "/", "pathType": "Exact", "backend": ELSEWHERE}]}}]}),
        "must lead from a host name to the Service of their tenant",
    ),
    "an Ingress with a default": (
        route(INGRESS, {"defaultBackend": ELSEWHERE}),
        "must lead from a host name to the Service of their tenant",
    ),
    "an Ingress that configures its controller": (
        route(INGRESS, {}, {"annotations": {"nginx.ingress.kubernetes.io/server-snippet": "return 200;"}}),
        "only annotations of ingress.annotations and of cert-manager",
    ),
    "an HTTPRoute to another Service": (
        route(HTTP_ROUTE, {"rules": [{"backendRefs": [{"name": "billing", "port": 80}]}]}),
        "must lead from a host name to the Service of their tenant, unfiltered",
    ),
    "an HTTPRoute to another namespace": (
        route(HTTP_ROUTE, {"rules": [{"backendRefs": [{"name": "acme", "namespace": "default", "port": 80}]}]}),
        "must lead from a host name to the Service of their tenant, unfiltered",
    ),
    "an HTTPRoute that mirrors": (
        route(HTTP_ROUTE, {"rules": [{"filters": [MIRROR], "backendRefs": [{"name": "acme", "port": 80}]}]}),
        "must lead from a host name to the Service of their tenant, unfiltered",
    ),
    "an HTTPRoute for every host name": (
        route(HTTP_ROUTE, {"hostnames": []}),
        "must lead from a host name to the Service of their tenant, unfiltered",
    ),
}


@pytest.mark.parametrize(("body", "message"), ROUTES.values(), ids=ROUTES)
def test_a_route_of_a_tenant_leads_to_its_service_alone(
    account: OperatorAccount, body: dict[str, Any], message: str
) -> None:
    with pytest.raises(DeniedError, match=message):
        account.tries(body)


@pytest.mark.parametrize("kind", [INGRESS, HTTP_ROUTE], ids=lambda kind: kind.name)
def test_a_route_of_a_tenant_may_be_made(account: OperatorAccount, kind: Kind) -> None:
    allowed = {"buffering": "off", "cert-manager.io/issuer": "ca"} if kind is INGRESS else {}
    account.tries(route(kind, {}, {"annotations": allowed}))


def test_a_tenant_s_service_may_lead_to_the_waker(account: OperatorAccount) -> None:
    account.tries(endpoint_slice())
    account.tries(endpoint_slice(port=24_095))


class WakerAccount(OperatorAccount):
    """Acts with the waker's permissions."""

    ACCOUNT = f"system:serviceaccount:{NAMESPACE}:{RELEASE}-ttsfleet-waker"

    def writes(self, path: str, change: dict[str, Any]) -> None:
        url = f"/apis/ttsfleet.io/v1alpha1/namespaces/{TEAM}/ttstenants/{path}"
        headers = {"Content-Type": "application/merge-patch+json"}
        answer = self._client.patch(url, content=json.dumps(change), headers=headers)
        if answer.is_error:
            raise DeniedError(answer.json()["message"])


def test_the_waker_may_write_its_request_and_nothing_else(
    account: OperatorAccount, control_plane: ControlPlane
) -> None:
    """RBAC lets it patch the whole status, in which the operator keeps the spec that it follows."""
    del account
    waker = WakerAccount(control_plane)
    control_plane.kubectl(
        *("patch", "ttst", "acme", "-n", TEAM, "--subresource=status", "--type=merge"),
        *("-p", json.dumps({"status": {"acceptedSpec": "{}", "waker": {"port": 20_000}}})),
    )
    refused = {
        "the accepted spec": {"acceptedSpec": '{"models":[]}'},
        "its removal": {"acceptedSpec": None},
        "its port": {"waker": {"port": 20_001}},
        "another field": {"activeWindow": "day"},
    }
    deadline = time.monotonic() + READY_SECONDS
    while True:  # the API server compiles policies a moment after they are created
        try:
            waker.writes("acme/status", {"status": {"activeWindow": str(time.monotonic())}})
        except DeniedError as error:
            if "denied request" in str(error):
                break
        assert time.monotonic() < deadline, "the waker's policy does not hold"
    for change in refused.values():
        with pytest.raises(DeniedError, match=r"only status\.wake of a TTSTenant"):
            waker.writes("acme/status", {"status": change})
    waker.writes("acme/status", {"status": {"wake": {"requestedAt": "2026-11-30T00:00:00Z"}}})
    waker.writes("acme/status", {"status": {"wake": {"requestedAt": "2026-11-30T00:00:05Z"}}})
    with pytest.raises(DeniedError, match="cannot patch resource"):
        waker.writes("acme", {"spec": {"suspend": True}})


def test_the_api_server_finds_no_fault_in_the_policies(account: OperatorAccount, control_plane: ControlPlane) -> None:
    """Its type checker warns of fields that do not exist, such as a misspelt one."""
    found = control_plane.kubectl("get", "validatingadmissionpolicies", "-o", "yaml")
    warnings = {
        each["metadata"]["name"]: each["status"]["typeChecking"]["expressionWarnings"]
        for each in yaml.safe_load(found)["items"]
        if (each.get("status", {}).get("typeChecking") or {}).get("expressionWarnings")
    }
    assert warnings == {}


def test_a_foreign_child_kind_is_refused_as_well(account: OperatorAccount, control_plane: ControlPlane) -> None:
    control_plane.kubectl("-n", TEAM, "create", "configmap", "foreign", "--from-literal=a=b")
    with pytest.raises(DeniedError, match="configmaps foreign is not"):
        account.patches("configmaps/foreign", {"data": {"a": "c"}})


def test_nobody_else_is_held_to_it(account: OperatorAccount, control_plane: ControlPlane) -> None:
    control_plane.kubectl("-n", TEAM, "label", "pod/foreign", "seen=1")
    control_plane.kubectl("-n", TEAM, "label", "secret/foreign", "seen=1")


REFUSED: dict[str, tuple[tuple[str, ...], str]] = {
    # what a member of a team tries                               what the API server says
    "a model of its own":   (("create", "-f", "-"),                "cannot create resource \"ttsmodels\""),
    "a change of a model":  (("label", "ttsmodel", "listed", "a=b"), "cannot patch resource \"ttsmodels\""),
    "the end of a model":   (("delete", "ttsmodel", "listed"),     "cannot delete resource \"ttsmodels\""),
}  # fmt: skip


def test_a_team_with_edit_in_its_namespace_can_list_models_and_not_change_them(
    account: OperatorAccount, control_plane: ControlPlane
) -> None:
    """By requests of a member, not by questions about them: a question that is misspelt is answered no, too."""
    control_plane.kubectl("-n", TEAM, "create", "rolebinding", "devs", "--clusterrole=edit", "--group=devs")
    control_plane.kubectl("apply", "-f", "-", input=yaml.safe_dump(model_body("listed")))
    dev = ("--as=ada", "--as-group=devs", "--as-group=system:authenticated")
    wait_until_aggregated(control_plane, "devs")

    def does(*arguments: str, body: dict[str, Any] | None = None) -> str:
        text = yaml.safe_dump(body) if body else None
        return control_plane.kubectl(*arguments, *dev, input=text)

    assert "ttsmodel.ttsfleet.io/listed" in does("get", "ttsmodels", "-o", "name")
    for what, (arguments, message) in REFUSED.items():
        body = model_body("of-the-team") if what == "a model of its own" else None
        with pytest.raises(CommandError, match=message):
            does(*arguments, body=body)
    status = f"/apis/ttsfleet.io/v1alpha1/namespaces/{TEAM}/ttstenants/acme/status"
    with http_client(control_plane, "ada", ("devs",)) as ada:  # kubectl would read it first, which is refused, too
        answer = ada.patch(status, json={}, headers={"Content-Type": "application/merge-patch+json"})
    assert 'cannot patch resource "ttstenants/status"' in answer.json()["message"]
    does("create", "-f", "-", body=tenant_body("listed", key=Key(TEAM, "of-the-team")))
    does("patch", "ttst", "of-the-team", "-n", TEAM, "--type=merge", "-p", '{"spec": {"suspend": true}}')
    assert "of-the-team" in does("get", "ttst", "-n", TEAM, "-o", "name")
    does("delete", "ttst", "of-the-team", "-n", TEAM)
    for verb in ("get", "create", "patch"):  # what `kubectl tts keygen` needs
        assert may(control_plane, verb, "secrets", TEAM, "devs"), verb
    for resource in ("pods", "events"):  # what `kubectl tts why` reads
        assert may(control_plane, "list", resource, TEAM, "devs"), resource
    control_plane.kubectl("delete", "ttsmodel", "listed")


def test_who_has_not_logged_in_reads_no_models(account: OperatorAccount, control_plane: ControlPlane) -> None:
    with pytest.raises(CommandError, match="cannot list resource"):
        control_plane.kubectl("get", "ttsmodels", "--as=system:anonymous", "--as-group=system:unauthenticated")


RIGHTS: dict[str, tuple[str, str, bool]] = {
    # the story                        verb        namespace      whether a member of the team may
    "edit creates":                    ("create",  TEAM,          True),
    "edit lists":                      ("list",    TEAM,          True),
    "edit deletes":                    ("delete",  TEAM,          True),
    "edit in another namespace":       ("list",    NAMESPACE,     False),
}  # fmt: skip


def may(plane: ControlPlane, verb: str, resource: str, namespace: str, group: str) -> bool:
    """Whether a person of this group may do it, as the API server says."""
    person = ("--as=ada", f"--as-group={group}", "--as-group=system:authenticated")
    try:
        return plane.kubectl("auth", "can-i", verb, resource, "-n", namespace, *person).strip() == "yes"
    except CommandError as error:
        if "ended with 1" in str(error):  # the command's answer no
            return False
        raise


def wait_until_aggregated(plane: ControlPlane, group: str) -> None:
    """Wait until the controller has added the chart's roles to `edit`, which the group has in the namespace."""
    deadline = time.monotonic() + READY_SECONDS
    while not may(plane, "create", "ttstenants", TEAM, group):
        assert time.monotonic() < deadline, "the role edit has no tenants"
        time.sleep(0.2)


def test_teams_manage_the_tenants_of_their_namespace_by_the_clusters_own_roles(
    account: OperatorAccount, control_plane: ControlPlane
) -> None:
    """The chart's roles are aggregated into view and edit, which takes the controller a moment."""
    for role in ("edit", "view"):
        group = f"{role}ors"
        control_plane.kubectl("-n", TEAM, "create", "rolebinding", group, f"--clusterrole={role}", f"--group={group}")
    wait_until_aggregated(control_plane, "editors")
    for verb, namespace, allowed in RIGHTS.values():
        assert may(control_plane, verb, "ttstenants", namespace, "editors") is allowed, (verb, namespace)
    assert may(control_plane, "list", "ttstenants", TEAM, "viewors")
    assert not may(control_plane, "create", "ttstenants", TEAM, "viewors")
    assert may(control_plane, "list", "ttsmodels", TEAM, "viewors"), "whoever chooses a model sees the catalogue"
    assert not may(control_plane, "patch", "ttsmodels", TEAM, "editors")
