"""What counts as a difference: only fields that are ours, however the API server spells them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.operator_builders import Object, child, desired, live, observe, option
from tests.support.operator_builders import model as a_model
from tts_operator.objects.diff import changed, difference, path_name
from tts_operator.objects.manifest import Manifest
from tts_operator.objects.names import MANAGER

Edit = Callable[[Object], object]


def manifest(kind: str, name: str) -> Manifest:
    limits = {"cpu": "1000m", "memory": "4096Mi"}
    found = desired(observe("espeak", "other", known=[a_model(precisions=[option(**limits)]), a_model("other")]))
    body = child([dict(each.body) for each in found.manifests], kind, name)
    return Manifest.of(body)


def pod_of(deployment: Object) -> Any:
    return deployment["spec"]["template"]["spec"]


def server_of(deployment: Object) -> Any:
    return pod_of(deployment)["containers"][0]


def spelled_otherwise(body: Object) -> None:
    server_of(body)["resources"]["limits"].update({"cpu": "1", "memory": "4Gi"})


def defaulted(body: Object) -> None:
    body["spec"] |= {"progressDeadlineSeconds": 600, "replicas": 5}
    pod_of(body).update({"dnsPolicy": "ClusterFirst", "restartPolicy": "Always"})
    server_of(body).update({"terminationMessagePath": "/dev/termination-log"})
    server_of(body)["readinessProbe"]["httpGet"]["scheme"] = "HTTP"
    pod_of(body)["volumes"][3]["configMap"]["defaultMode"] = 420


def injected(body: Object) -> None:
    pod_of(body)["containers"].append({"name": "mesh", "image": "mesh:1"})
    pod_of(body)["volumes"].insert(0, {"name": "mesh", "emptyDir": {}})
    body["metadata"]["annotations"] |= {"example.com/owner": "platform"}
    body["spec"]["template"]["metadata"]["annotations"]["restarted"] = "noon"


def reordered(body: Object) -> None:
    pod_of(body)["volumes"].reverse()
    server_of(body)["volumeMounts"].reverse()


NONE: dict[str, tuple[str, str, Edit]] = {
    "just applied": ("Deployment", "acme-espeak", lambda body: None),
    "quantities in the API server's spelling": ("Deployment", "acme-espeak", spelled_otherwise),
    "the API server's defaults, and replicas": ("Deployment", "acme-espeak", defaulted),
    "what other managers added": ("Deployment", "acme-espeak", injected),
    "another order of keyed lists": ("Deployment", "acme-espeak", reordered),
    "an empty list that came back as none": (
        "NetworkPolicy",
        "acme-other",
        lambda body: body["spec"].pop("egress"),
    ),
    "a label of somebody else": ("Service", "acme", lambda body: body["metadata"]["labels"].update(mesh="on")),
}


@pytest.mark.parametrize(("kind", "name", "edit"), NONE.values(), ids=NONE)
def test_no_difference(kind: str, name: str, edit: Edit) -> None:
    wanted = manifest(kind, name)
    found = live(wanted)
    edit(found)
    assert difference(wanted.body, found) == ""


def set_image(body: Object) -> None:
    server_of(body)["image"] = "evil:1"


def drop_a_volume(body: Object) -> None:
    del pod_of(body)["volumes"][2]


SOME: dict[str, tuple[str, str, Edit, str]] = {
    "an image": (
        "Deployment",
        "acme-espeak",
        set_image,
        "containers[tts-server].image evil:1 -> registry.example/tts-server:1",
    ),
    "bounds": (
        "HorizontalPodAutoscaler",
        "acme-espeak",
        lambda body: body["spec"].update(minReplicas=3, maxReplicas=6),
        "min 3 -> 1, max 6 -> 1",
    ),
    "a volume that is gone": ("Deployment", "acme-espeak", drop_a_volume, "volumes[keys] added"),
    "a key too many in a selector": (
        "Service",
        "acme",
        lambda body: body["spec"]["selector"].update(track="canary"),
        "selector changed",
    ),
    "a rule too many in a policy": (
        "NetworkPolicy",
        "acme-espeak",
        lambda body: body["spec"]["egress"].append({}),
        "egress changed",
    ),
    "a file": (
        "ConfigMap",
        "acme-espeak-server",
        lambda body: body["data"].update({"server.json": "{}"}),
        "server.json changed",
    ),
    "a secret, whose value no log may show": (
        "Secret",
        "acme-internal",
        lambda body: body["data"].update(token="b2xk"),
        "token changed",
    ),
    "a label that somebody took off": (
        "ServiceAccount",
        "acme-tts",
        lambda body: body["metadata"]["labels"].pop("ttsfleet.io/tenant"),
        "labels.ttsfleet.io/tenant added",
    ),
    "a budget in another type": (
        "PodDisruptionBudget",
        "acme-espeak",
        lambda body: body["spec"].update(maxUnavailable="100%"),
        "maxUnavailable 100% -> 1",
    ),
}


@pytest.mark.parametrize(("kind", "name", "edit", "expected"), SOME.values(), ids=SOME)
def test_difference(kind: str, name: str, edit: Edit, expected: str) -> None:
    wanted = manifest(kind, name)
    found = live(wanted)
    edit(found)
    assert difference(wanted.body, found) == expected


def without(body: Object, *path: str | int) -> Manifest:
    less: Any = copy.deepcopy(body)
    inner = less
    for name in path[:-1]:
        inner = inner[name]
    del inner[path[-1]]
    return Manifest.of(less)


POD = ("spec", "template", "spec")
DROPPED: dict[str, tuple[tuple[str | int, ...], str]] = {
    "a label": (("metadata", "labels", "ttsfleet.io/model"), "labels.ttsfleet.io/model no longer set"),
    "a field": ((*POD, "enableServiceLinks"), "enableServiceLinks no longer set"),
    "an element of a keyed list": ((*POD, "volumes", 6), "volumes[tmp] no longer set"),
    "a port": ((*POD, "containers", 0, "ports", 1), "containers[tts-server].ports[9090:TCP] no longer set"),
    "a limit": (
        (*POD, "containers", 0, "resources", "limits", "cpu"),
        "containers[tts-server].resources.limits.cpu no longer set",
    ),
}


@pytest.mark.parametrize(("path", "expected"), DROPPED.values(), ids=DROPPED)
def test_what_was_applied_once_and_is_wanted_no_longer_is_noticed(path: tuple[str | int, ...], expected: str) -> None:
    before = manifest("Deployment", "acme-espeak")
    after = without(dict(before.body), *path)
    assert expected in difference(after.body, live(before))
    assert difference(after.body, live(after)) == ""


def test_a_set_of_scalars_is_followed_by_value() -> None:
    wanted = {"kind": "X", "metadata": {"finalizers": ["b"]}}
    fields: Object = {"f:metadata": {"f:finalizers": {'v:"a"': {}, 'v:"b"': {}}}}
    found = {
        "kind": "X",
        "metadata": {
            "finalizers": ["b"],
            "managedFields": [{"manager": MANAGER, "operation": "Apply", "fieldsV1": fields}],
        },
    }
    assert difference(wanted, found) == "finalizers[a] no longer set"


def test_an_object_that_we_never_applied_is_applied() -> None:
    wanted = manifest("Service", "acme")
    assert difference(wanted.body, live(wanted, manager="somebody")) == "not applied by tts-operator"


def test_a_reading_without_managed_fields_compares_values() -> None:
    wanted = manifest("Service", "acme")
    found = live(wanted)
    del found["metadata"]["managedFields"]
    assert difference(wanted.body, found) == ""


def test_a_missing_object_is_applied() -> None:
    assert difference(manifest("Service", "acme").body, None) == "missing"


def test_many_differences_make_a_short_line() -> None:
    wanted = manifest("Deployment", "acme-espeak")
    found = live(wanted)
    found["spec"]["template"]["spec"] = {}
    assert difference(wanted.body, found).endswith(f"and {len(list(changed(wanted.body, found, ()))) - 4} more")


def test_a_path_is_read_without_what_every_path_has() -> None:
    assert (
        path_name(("spec", "template", "spec", "containers", "[tts-server]", "image")) == "containers[tts-server].image"
    )
    assert path_name(("spec",)) == "spec"
