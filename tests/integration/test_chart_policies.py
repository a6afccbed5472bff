"""The chart's admission policies restrict the operator's own account, on a real API server.

RBAC alone lets this account patch any pod and any Secret: these tests act as a thief of its token would.
"""

from __future__ import annotations

import itertools
import json
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from hack.cluster import binaries
from hack.cluster.commands import run
from hack.cluster.control_plane import ControlPlane
from tests.support.resources import tenant_body
from tts_operator.objects.keys import Key

RELEASE = "policed"
NAMESPACE = "policed-system"
TEAM = "policed-team"
ACCOUNT = f"system:serviceaccount:{NAMESPACE}:{RELEASE}-ttsfleet"
OWN = {"app.kubernetes.io/managed-by": "tts-operator", "ttsfleet.io/tenant": "acme"}
READY_SECONDS = 120


class DeniedError(Exception):
    """The API server's message."""


class OperatorAccount:
    """Acts with the operator's permissions. Not by kubectl: it reads a pod before it patches it, which is forbidden."""

    def __init__(self, plane: ControlPlane) -> None:
        pair = plane.authority.issue("account", ACCOUNT, groups=("system:serviceaccounts",))
        trust = ssl.create_default_context(cafile=str(plane.authority.pair.certificate))
        trust.load_cert_chain(pair.certificate, pair.key)
        self._client = httpx.Client(base_url=plane.server, verify=trust)

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
    rendered = run([helm, "template", RELEASE, chart, "-n", NAMESPACE, *version, "--set", "crds.install=false"])
    kinds = {"ServiceAccount", "ClusterRole", "ClusterRoleBinding"}
    kinds |= {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
    release = [body for body in yaml.safe_load_all(rendered) if body and body["kind"] in kinds]
    for name in (NAMESPACE, TEAM):
        control_plane.kubectl("create", "namespace", name)
    everything = [*release, *pods(), *secrets(), *deployments(), tenant_body(key=Key(TEAM, "acme"))]
    control_plane.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(everything))
    uid = control_plane.kubectl("get", "ttst", "acme", "-n", TEAM, "-o", "jsonpath={.metadata.uid}")
    control_plane.kubectl("apply", "-f", "-", input=yaml.safe_dump(owned_secret(uid)))
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


def labelled(what: str) -> Callable[[OperatorAccount, int], None]:
    """Each attempt makes another change: none at all is not refused."""
    return lambda account, attempt: account.patches(what, {"metadata": {"labels": {"probe": str(attempt)}}})


MISUSES: dict[str, Callable[[OperatorAccount, int], None]] = {
    "pods": labelled("pods/own"),
    "children": labelled("secrets/foreign"),
    "scales": lambda account, _: account.scales("foreign", 0),
}
"""One for each policy."""


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


def secrets() -> Iterator[dict[str, Any]]:
    for name, labels in (("own", OWN), ("foreign", {"app": "billing"}), ("to-delete", OWN)):
        yield secret(name, labels)


def secret(name: str, labels: dict[str, str]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": TEAM, "labels": labels}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"token": "x"}}


def owned_secret(uid: str) -> dict[str, Any]:
    """A Secret of a tenant whose label somebody took off. The tenant exists, or the collector would take its Secret."""
    body = secret("unlabelled", {})
    body["metadata"]["ownerReferences"] = [
        {
            "apiVersion": "ttsfleet.io/v1alpha1",
            "kind": "TTSTenant",
            "name": "acme",
            "uid": uid,
            "controller": True,
        }
    ]
    return body


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
    account.creates("secrets", secret("made", OWN))
    account.patches("secrets/own", {"stringData": {"token": "y"}})
    account.deletes("secrets/to-delete")


def test_a_label_that_somebody_took_off_may_be_put_back(account: OperatorAccount) -> None:
    account.patches("secrets/unlabelled", {"metadata": {"labels": OWN}})


@pytest.mark.parametrize("change", [{"stringData": {"token": "y"}}, {"metadata": {"labels": OWN}}], ids=str)
def test_a_foreign_secret_may_not_be_changed_nor_taken_over(account: OperatorAccount, change: dict[str, Any]) -> None:
    with pytest.raises(DeniedError, match="may change only objects with the label"):
        account.patches("secrets/foreign", change)


def test_a_foreign_secret_may_not_be_deleted(account: OperatorAccount) -> None:
    with pytest.raises(DeniedError, match="may change only objects with the label"):
        account.deletes("secrets/foreign")


def test_a_pool_may_be_scaled(account: OperatorAccount, control_plane: ControlPlane) -> None:
    account.scales("own", 1)
    replicas = control_plane.kubectl("-n", TEAM, "get", "deployment", "own", "-o", "jsonpath={.spec.replicas}")
    assert replicas == "1"


def test_a_foreign_deployment_may_not_be_scaled(account: OperatorAccount) -> None:
    with pytest.raises(DeniedError, match="deployment foreign is not one"):
        account.scales("foreign", 0)


def test_a_secret_without_the_label_may_not_be_made(account: OperatorAccount) -> None:
    with pytest.raises(DeniedError, match="must have the label"):
        account.creates("secrets", secret("nameless", {}))


def test_a_foreign_child_kind_is_refused_as_well(account: OperatorAccount, control_plane: ControlPlane) -> None:
    control_plane.kubectl("-n", TEAM, "create", "configmap", "foreign", "--from-literal=a=b")
    with pytest.raises(DeniedError, match="configmaps foreign is not"):
        account.patches("configmaps/foreign", {"data": {"a": "c"}})


def test_nobody_else_is_held_to_it(account: OperatorAccount, control_plane: ControlPlane) -> None:
    control_plane.kubectl("-n", TEAM, "label", "pod/foreign", "seen=1")
    control_plane.kubectl("-n", TEAM, "label", "secret/foreign", "seen=1")
