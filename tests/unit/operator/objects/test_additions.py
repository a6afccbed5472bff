"""Additions of others to a child are undone where it is closed to them, and left alone everywhere else."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.operator_builders import child, observe, settle
from tests.support.resources import Object
from tts_operator.objects.additions import Addition, additions, json_patch
from tts_operator.objects.diff import field_name

CHILDREN = settle(observe())
DEPLOYMENT, SERVICE, CONFIG = ("Deployment", "acme-espeak"), ("Service", "acme"), ("ConfigMap", "acme-espeak-server")
Edit = Callable[[Object], object]


def pod(body: Object) -> Object:
    found: Object = body["spec"]["template"]["spec"]
    return found


def server(body: Object) -> Object:
    found: Object = pod(body)["containers"][0]
    return found


def volume(body: Object, name: str) -> Object:
    return next(each for each in pod(body)["volumes"] if each["name"] == name)


CLOSED: dict[str, tuple[tuple[str, str], Edit, list[str]]] = {
    # the story: the child, what was added, and the fields that are removed
    "a sidecar": (
        DEPLOYMENT,
        lambda body: pod(body)["containers"].append({"name": "evil", "image": "evil:1"}),
        ["spec.template.spec.containers[evil]"],
    ),
    "a container before the first": (
        DEPLOYMENT,
        lambda body: pod(body).update(initContainers=[{"name": "evil", "image": "evil:1"}]),
        ["spec.template.spec.initContainers"],
    ),
    "an environment variable": (
        DEPLOYMENT,
        lambda body: server(body)["env"].append({"name": "LD_PRELOAD", "value": "/data/evil.so"}),
        ["spec.template.spec.containers[tts-server].env[LD_PRELOAD]"],
    ),
    "a second value of one that is set": (
        DEPLOYMENT,
        lambda body: server(body)["env"].append({"name": "POD_IP", "value": "10.0.0.1"}),
        ["spec.template.spec.containers[tts-server].env[POD_IP]"],
    ),
    "variables of a ConfigMap": (
        DEPLOYMENT,
        lambda body: server(body).update(envFrom=[{"configMapRef": {"name": "evil"}}]),
        ["spec.template.spec.containers[tts-server].envFrom"],
    ),
    "another command": (
        DEPLOYMENT,
        lambda body: server(body).update(command=["sleep", "infinity"]),
        ["spec.template.spec.containers[tts-server].command"],
    ),
    "a command after the start": (
        DEPLOYMENT,
        lambda body: server(body)["lifecycle"].update(postStart={"exec": {"command": ["evil"]}}),
        ["spec.template.spec.containers[tts-server].lifecycle.postStart"],
    ),
    "accelerators": (
        DEPLOYMENT,
        lambda body: server(body)["resources"]["limits"].update({"nvidia.com/gpu": "8"}),
        ["spec.template.spec.containers[tts-server].resources.limits.nvidia.com/gpu"],
    ),
    "a volume, and a file of it in place of one of the image": (
        DEPLOYMENT,
        lambda body: (
            pod(body)["volumes"].append({"name": "evil", "configMap": {"name": "evil"}}),
            server(body)["volumeMounts"].append({"name": "evil", "mountPath": "/app/main.py", "subPath": "main.py"}),
        ),
        ["spec.template.spec.containers[tts-server].volumeMounts[/app/main.py]", "spec.template.spec.volumes[evil]"],
    ),
    "another entry of a ConfigMap as server.json": (
        DEPLOYMENT,
        lambda body: volume(body, "server")["configMap"].update(items=[{"key": "evil", "path": "server.json"}]),
        ["spec.template.spec.volumes[server].configMap.items"],
    ),
    "another path within a volume": (
        DEPLOYMENT,
        lambda body: next(each for each in server(body)["volumeMounts"] if each["name"] == "tmp").update(
            subPath="evil"
        ),
        ["spec.template.spec.containers[tts-server].volumeMounts[/tmp].subPath"],
    ),
    "more privileges": (
        DEPLOYMENT,
        lambda body: (
            server(body)["securityContext"].update(privileged=True, runAsUser=1),
            server(body)["securityContext"]["capabilities"].update(add=["NET_ADMIN"]),
            pod(body)["securityContext"].update(runAsUser=1),
        ),
        [
            "spec.template.spec.containers[tts-server].securityContext.capabilities.add",
            "spec.template.spec.containers[tts-server].securityContext.privileged",
            "spec.template.spec.containers[tts-server].securityContext.runAsUser",
            "spec.template.spec.securityContext.runAsUser",
        ],
    ),
    "the node": (
        DEPLOYMENT,
        lambda body: pod(body).update(hostNetwork=True, hostPID=True, nodeName="gpu-1"),
        ["spec.template.spec.hostNetwork", "spec.template.spec.hostPID", "spec.template.spec.nodeName"],
    ),
    "other names for hosts": (
        DEPLOYMENT,
        lambda body: pod(body).update(hostAliases=[{"ip": "10.0.0.1", "hostnames": ["s3.example"]}]),
        ["spec.template.spec.hostAliases"],
    ),
    "a port": (
        DEPLOYMENT,
        lambda body: (
            server(body)["ports"].append({"containerPort": 22, "protocol": "TCP"}),
            server(body)["ports"][0].update(hostPort=80),
        ),
        [
            "spec.template.spec.containers[tts-server].ports[22:TCP]",
            "spec.template.spec.containers[tts-server].ports[8080:TCP].hostPort",
        ],
    ),
    "a port of a Service": (
        SERVICE,
        lambda body: body["spec"]["ports"].append({"port": 22, "protocol": "TCP"}),
        ["spec.ports[22:TCP]"],
    ),
    "an address of a Service": (
        SERVICE,
        lambda body: body["spec"].update(externalIPs=["203.0.113.7"]),
        ["spec.externalIPs"],
    ),
    "an entry of a ConfigMap": (CONFIG, lambda body: body["data"].update(evil="{}"), ["data.evil"]),
    "an empty one": (CONFIG, lambda body: body["data"].update(evil=""), ["data.evil"]),
    "a binary one": (CONFIG, lambda body: body.update(binaryData={"evil": "AA=="}), ["binaryData"]),
}
OPEN: dict[str, tuple[tuple[str, str], Edit]] = {
    "a restart by kubectl": (
        DEPLOYMENT,
        lambda body: body["spec"]["template"]["metadata"].setdefault("annotations", {}).update({RESTARTED: "now"}),
    ),
    "labels and annotations": (
        SERVICE,
        lambda body: body["metadata"].update(
            labels={**body["metadata"]["labels"], "team": "a"}, annotations={"a": "b"}
        ),
    ),
    "labels of pods": (DEPLOYMENT, lambda body: body["spec"]["template"]["metadata"]["labels"].update(team="a")),
    "where pods run": (
        DEPLOYMENT,
        lambda body: pod(body).update(
            tolerations=[{"key": "gpu", "operator": "Exists"}],
            nodeSelector={"disk": "ssd"},
            affinity={"nodeAffinity": {}},
            schedulerName="volcano",
        ),
    ),
    "what the API server adds to a pod": (
        DEPLOYMENT,
        lambda body: (
            pod(body).update(restartPolicy="Always", dnsPolicy="ClusterFirst", serviceAccount="acme-tts"),
            server(body).update(terminationMessagePath="/dev/termination-log", terminationMessagePolicy="File"),
            server(body)["readinessProbe"].update(successThreshold=1),
            volume(body, "server")["configMap"].update(defaultMode=420),
            volume(body, "keys")["secret"].update(defaultMode=420),
        ),
    ),
    "what the API server adds to a Service": (
        SERVICE,
        lambda body: body["spec"].update(
            clusterIP="10.0.0.1", clusterIPs=["10.0.0.1"], ipFamilies=["IPv4"], sessionAffinity="None", externalIPs=None
        ),
    ),
    "how fast an HPA acts": (
        ("HorizontalPodAutoscaler", "acme-espeak"),
        lambda body: body["spec"].update(behavior={"scaleDown": {"stabilizationWindowSeconds": 600}}),
    ),
    "replicas": (DEPLOYMENT, lambda body: body["spec"].update(replicas=4)),
    "secrets of a cluster for a ServiceAccount": (
        ("ServiceAccount", "acme-tts"),
        lambda body: body.update(secrets=[{"name": "acme-tts-dockercfg"}]),
    ),
}
RESTARTED = "kubectl.kubernetes.io/restartedAt"


def edited(which: tuple[str, str], edit: Edit) -> tuple[Object, Object]:
    desired = child(CHILDREN, *which)
    live = copy.deepcopy(desired)
    edit(live)
    return desired, live


@pytest.mark.parametrize(("which", "edit", "fields"), CLOSED.values(), ids=CLOSED)
def test_an_addition_in_a_closed_place_is_removed_and_nothing_else(
    which: tuple[str, str], edit: Edit, fields: list[str]
) -> None:
    desired, live = edited(which, edit)
    found = additions(desired, live)
    assert sorted(field_name(each.path) for each in found) == fields
    assert patched(live, found) == desired
    assert additions(desired, desired) == []


@pytest.mark.parametrize(("which", "edit"), OPEN.values(), ids=OPEN)
def test_what_others_may_add_is_left_alone(which: tuple[str, str], edit: Edit) -> None:
    assert additions(*edited(which, edit)) == []


def test_labels_of_pods_go_with_whatever_else_is_written() -> None:
    """The chart's policies would refuse it with them, so that one label would hold up every correction."""
    desired, live = edited(*OPEN["labels of pods"])
    assert [field_name(each.path) for each in additions(desired, live, labels=True)] == [
        "spec.template.metadata.labels.team"
    ]
    desired, live = edited(*OPEN["labels and annotations"])
    assert additions(desired, live, labels=True) == []


def patched(live: Object, found: list[Addition]) -> Object:
    """The object after the patch, by a reader of RFC 6902 that knows `remove` and `replace` alone."""
    after = copy.deepcopy(live)
    for operation in json_patch(found, live["metadata"]["resourceVersion"]):
        *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
        here: Any = after
        for part in parents:
            here = here[int(part)] if isinstance(here, list) else here[part]
        if operation["op"] == "replace":
            here[last] = operation["value"]
        else:
            del here[int(last) if isinstance(here, list) else last]
    return after


@given(st.lists(st.sampled_from(sorted(CLOSED)), unique=True, max_size=6), st.randoms(use_true_random=False))
def test_any_of_them_together_are_removed_by_one_patch(stories: list[str], random: Any) -> None:
    """Elements of lists stand anywhere, so that one removal moves the others."""
    desired = child(CHILDREN, *DEPLOYMENT)
    live = copy.deepcopy(desired)
    for story in stories:
        which, edit, _ = CLOSED[story]
        if which == DEPLOYMENT:
            edit(live)
    for name in ("env", "ports", "volumeMounts"):
        own, others = len(server(desired)[name]), server(live)[name]
        for element in [others.pop() for _ in range(len(others) - own)]:
            others.insert(random.randint(0, len(others)) if name != "env" else len(others), element)
    if "a sidecar" in stories:
        pod(live)["containers"].reverse()
    assert patched(live, additions(desired, live)) == desired
