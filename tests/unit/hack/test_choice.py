"""Which cluster serves on which machine, and what a developer reads where none does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from hack.cluster import current, images
from hack.cluster.choice import KIND_CONFIGURATION, KindCluster, creation, kind_of
from hack.cluster.errors import CannotRunError, ClusterError


@dataclass(frozen=True)
class Some:
    """A machine: by default a Linux whose root may do everything, without Docker."""

    system: str = "Linux"
    no_docker: str = "no Docker engine answers"
    no_root: str = ""
    no_namespaces: str = ""


ROOT = Some()
WITH_DOCKER = Some(no_docker="", no_root="you are not root")
USER = Some(no_root="you are not root")
MAC = Some(system="Darwin", no_root="you are not root")
CONTAINER = Some(no_namespaces="this root may not make namespaces")

CHOICES = {
    # the story                                       CLUSTER    machine      a node runs   what serves
    "Docker answers":                                 ("",        WITH_DOCKER, False, "kind"),
    "nothing but root":                               ("",        ROOT,        False, "node"),
    "root and Docker":                                ("",        Some(no_docker=""), False, "kind"),
    "root and Docker, and a node runs":               ("",        Some(no_docker=""), True, "node"),
    "kind is insisted on, and a node runs":           ("kind",    WITH_DOCKER, True,  "kind"),
    "a node is insisted on, and Docker answers":      ("node",    Some(no_docker=""), False, "node"),
    "a cluster of one's own needs nothing of this":   ("current", MAC,         False, "current"),
}  # fmt: skip
REFUSALS = {
    # the story                      CLUSTER  machine    message
    "neither root nor Docker":       ("",     USER,      "cluster: no Docker engine answers, and you are not root."),
    "a Mac without Docker":          ("",     MAC,       "no Docker engine answers, and a node needs Linux"),
    "a container":                   ("",     CONTAINER, "and this root may not make namespaces."),
    "kind without Docker":           ("kind", ROOT,      "cluster: CLUSTER=kind: no Docker engine answers."),
    "a node without root":           ("node", WITH_DOCKER, "cluster: CLUSTER=node: you are not root."),
    "a node on a Mac":               ("node", MAC,       "CLUSTER=node: a node needs Linux, and this is Darwin."),
    "a cluster that nobody knows":   ("k3s",  ROOT,      "CLUSTER=k3s: it is current, kind or node"),
}  # fmt: skip


@pytest.mark.parametrize(("wanted", "machine", "has_node", "expected"), CHOICES.values(), ids=CHOICES)
def test_what_serves(wanted: str, machine: Some, has_node: bool, expected: str) -> None:
    assert kind_of(wanted, machine, has_node=has_node, word="demo") == expected


@pytest.mark.parametrize(("wanted", "machine", "message"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_names_its_cause_and_what_to_do(wanted: str, machine: Some, message: str) -> None:
    with pytest.raises(CannotRunError) as caught:
        kind_of(wanted, machine, has_node=False, word="e2e")
    assert message in str(caught.value)


def test_the_ways_to_go_on_name_the_word_that_was_called() -> None:
    with pytest.raises(CannotRunError, match="`sudo make e2e`"):
        kind_of("", USER, has_node=False, word="e2e")


@pytest.mark.parametrize("machine", [USER, MAC], ids=["a user", "a Mac"])
def test_images_need_docker_or_root_also_for_a_cluster_of_ones_own(machine: Some) -> None:
    with pytest.raises(CannotRunError, match="no Docker engine answers, and without one images are built on Linux"):
        images.check_builds_here(machine)
    with pytest.raises(CannotRunError, match="this root may not make namespaces"):
        images.check_builds_here(CONTAINER)
    images.check_builds_here(WITH_DOCKER)


def test_what_is_missing_of_a_cluster_of_ones_own_is_said_before_what_is_missing_here() -> None:
    with pytest.raises(CannotRunError, match="KUBECONFIG"):
        current.check({"KUBECONFIG": "/no/such"}, USER, needs_images=True)


def test_kind_runs_on_the_image_of_a_node_that_is_named_and_else_on_its_own() -> None:
    named = creation(Path("kind"), "registry.example/node:1")
    assert named[named.index("--image") + 1] == "registry.example/node:1"
    assert "--image" not in creation(Path("kind"), "")


def test_kinds_kubelet_runs_on_cgroup_v1_too() -> None:
    patches = [yaml.safe_load(patch) for patch in yaml.safe_load(KIND_CONFIGURATION)["kubeadmConfigPatches"]]
    assert {patch["kind"]: patch["failCgroupV1"] for patch in patches} == {"KubeletConfiguration": False}


def test_another_base_is_another_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BASE_IMAGE", raising=False)
    usual = images.SERVER.reference
    monkeypatch.setenv("BASE_IMAGE", "registry.example/python:3.12")
    assert images.SERVER.reference != usual


def test_a_kind_cluster_is_not_forgotten_while_no_engine_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/no/such/folder")
    with pytest.raises(ClusterError, match="a kind cluster may run in a Docker engine, and no Docker engine answers"):
        KindCluster().down()
