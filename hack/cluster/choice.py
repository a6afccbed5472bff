"""Chooses the cluster that the Makefile's targets use.

CLUSTER=current is the cluster of KUBECONFIG. Otherwise kind is used if a Docker engine answers, else a local node, as
root; CLUSTER=kind and CLUSTER=node force one. Every target makes the same choice, so that they share a cluster.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol

from hack.cluster import binaries, current, images
from hack.cluster.commands import run, succeeds
from hack.cluster.current import CurrentCluster
from hack.cluster.errors import CannotRunError, ClusterError
from hack.cluster.machine import Machine, ThisMachine
from hack.cluster.node import AGENTS_SECONDS, CONTROL_PLANE_SECONDS, Node
from hack.cluster.progress import say, step

BUILD = binaries.ROOT / "build"
NODE_FOLDER = BUILD / "cluster"
KUBECONFIG = BUILD / "kubeconfig"
IMAGES_FILE = BUILD / "images.json"
"""File with the images that `images` loaded into the cluster: name -> reference."""
KIND_NAME = "ttsfleet"
NODE_SECONDS, KIND_SECONDS = CONTROL_PLANE_SECONDS + AGENTS_SECONDS, 90
"""Seconds to start a local node, and to create a kind cluster, once their programs are built."""
KIND_CONFIGURATION = """\
apiVersion: kind.x-k8s.io/v1alpha4
kind: Cluster
kubeadmConfigPatches:
- |
  apiVersion: kubelet.config.k8s.io/v1beta1
  kind: KubeletConfiguration
  failCgroupV1: false
"""
"""Configuration of kind. Since Kubernetes 1.35 kubelet refuses cgroup v1 by default; the local node allows it, too."""
KIND_ENVIRONMENT = {"KIND_EXPERIMENTAL_DOCKER_NETWORK": KIND_NAME}
"""Docker network of this cluster alone, which `down` removes; kind never removes the one that its clusters share."""

WAYS_ON = """\
this machine cannot run a local cluster: {why}.
What you can do:
  - on Linux, as root: `sudo make {word}` runs a local node, without Docker;
  - start a Docker engine (on macOS: Docker Desktop, Colima): kind is used then;
  - use a cluster that you have: `make {word} CLUSTER=current KUBECONFIG=... REGISTRY=registry.example/you`
    (images are built as root on Linux, or by a Docker engine);
  - without pods: `make cluster CONTROL_PLANE_ONLY=1` for the API alone, or `tts-server` for speech on this machine."""

MAKE_CLEAN = "`make clean` takes all of it down."
Kind = Literal["current", "kind", "node"]
PUSHES_IMAGES = {"demo", "images"}
"""Targets that load images into a cluster."""


class Cluster(Protocol):
    """A cluster that pods run in."""

    description: str

    @property
    def ending(self) -> str:
        """Sentence that says how to remove what a demo leaves."""

    @property
    def kubeconfig(self) -> Path: ...

    def expected_seconds(self) -> float:
        """Seconds that `up` and `build_images`, side by side, should take now on two slow cores."""

    def up(self) -> None:
        """Start it, unless it runs. Raises CannotRunError if it does not answer."""

    def down(self) -> None:
        """Remove what `up` made. Raises ClusterError if nothing can tell whether there is something to remove."""

    def build_images(self) -> None:
        """Build the project's images if they have changed. It may run while `up` runs."""

    def images(self) -> dict[str, str]:
        """Load the images into the cluster, or raise CannotRunError, which says what to change.

        Returns the name of each image and the reference by which the cluster runs it.
        """


def choose(word: str = "demo") -> Cluster:
    """The cluster for this machine and CLUSTER. Raises CannotRunError, which says what to do."""
    machine = ThisMachine()
    match kind_of(os.environ.get("CLUSTER", ""), machine, has_node=NODE_FOLDER.exists(), word=word):
        case "current":
            current.check(os.environ, machine, needs_images=word in PUSHES_IMAGES)
            return CurrentCluster()
        case "kind":
            return KindCluster(os.environ.get("KIND_NODE_IMAGE", ""))
        case "node":
            return NodeCluster()


def kind_of(wanted: str, machine: Machine, *, has_node: bool, word: str) -> Kind:
    """Name of the cluster to use; a node that already runs comes first. Raises CannotRunError."""
    if wanted == "current":
        return "current"
    if wanted not in {"", "kind", "node"}:
        raise CannotRunError(f"CLUSTER={wanted}: it is current, kind or node; unset, the machine decides")
    why = ""
    if wanted == "kind" or (not wanted and not has_node):
        if not machine.no_docker:
            return "kind"
        why = machine.no_docker
    if wanted != "kind":
        on_linux = machine.system == "Linux"
        trouble = (
            machine.no_root or machine.no_namespaces
            if on_linux
            else f"a node needs Linux, and this is {machine.system}"
        )
        if not trouble:
            return "node"
        why = f"{why}, and {trouble}" if why else trouble
    insisted = f"CLUSTER={wanted}: " if wanted else ""
    raise CannotRunError(WAYS_ON.format(why=insisted + why, word=word))


class NodeCluster:
    """Local node, which needs root."""

    description = "a local node without Docker"
    ending = MAKE_CLEAN

    def __init__(self) -> None:
        self._node = Node(NODE_FOLDER)

    @property
    def kubeconfig(self) -> Path:
        return KUBECONFIG

    def expected_seconds(self) -> float:
        preparing = max(binaries.build_seconds(binaries.CLUSTER), images.build_seconds(with_docker=False))
        return preparing + NODE_SECONDS

    def up(self) -> None:
        self._node.up()
        publish(self._node.kubeconfig)
        binaries.link(binaries.ensure(binaries.CLUSTER))

    def down(self) -> None:
        self._node.down()

    def build_images(self) -> None:
        for image in images.IMAGES:
            images.archive(image)

    def images(self) -> dict[str, str]:
        held = self._node.images()
        for image in images.IMAGES:
            if image.reference not in held:
                archive = images.archive(image)
                with step(f"loading {image.reference} into the node", 12):
                    self._node.load(archive)
        return {image.name: image.reference for image in images.IMAGES}


class KindCluster:
    """Kubernetes in Docker. kind pulls the node's image, unless KIND_NODE_IMAGE names another."""

    description = "kind, in the Docker engine"
    ending = MAKE_CLEAN

    def __init__(self, node_image: str = "") -> None:
        self._node_image = node_image

    @property
    def kubeconfig(self) -> Path:
        return KUBECONFIG

    def expected_seconds(self) -> float:
        programs = binaries.build_seconds((*binaries.KIND, *binaries.CLIENTS))
        creating = 0 if not programs and KIND_NAME in _kind_clusters() else KIND_SECONDS
        return max(programs + creating, images.build_seconds(with_docker=True))

    def up(self) -> None:
        programs = binaries.ensure((*binaries.KIND, *binaries.CLIENTS))
        binaries.link(programs)
        BUILD.mkdir(exist_ok=True)
        if KIND_NAME in _kind_clusters():
            if _whole(programs):
                return
            say("  the kind cluster is incomplete")
            self._delete()
        with step("creating a kind cluster", KIND_SECONDS):
            run(creation(programs["kind"], self._node_image), stdin=KIND_CONFIGURATION, environment=KIND_ENVIRONMENT)

    def down(self) -> None:
        if why := ThisMachine().no_docker:
            raise ClusterError(
                f"a kind cluster may run in a Docker engine, and {why}. Start the engine and `make clean` again; "
                f"if it is gone for good, remove {BUILD}"
            )
        if KIND_NAME in _kind_clusters():
            self._delete()
        if KIND_NAME in run(["docker", "network", "ls", "--format", "{{.Name}}"]).split():
            run(["docker", "network", "rm", KIND_NAME])

    def _delete(self) -> None:
        program = binaries.ensure(binaries.KIND)["kind"]
        with step("deleting the kind cluster", 10):
            run([program, "delete", "cluster", "--name", KIND_NAME, "--kubeconfig", KUBECONFIG])

    def build_images(self) -> None:
        for image in images.IMAGES:
            images.build_with_docker(image)

    def images(self) -> dict[str, str]:
        self.build_images()
        program = binaries.ensure(binaries.KIND)["kind"]
        for image in images.IMAGES:
            with step(f"loading {image.reference} into kind", 15):
                run([program, "load", "docker-image", image.reference, "--name", KIND_NAME])
        return {image.name: image.reference for image in images.IMAGES}


def creation(kind: Path, node_image: str) -> list[str | Path]:
    """Command that creates the cluster; with an empty `node_image`, kind chooses."""
    named = ("--image", node_image) if node_image else ()
    waits = ("--wait", "120s", "--kubeconfig", KUBECONFIG)
    return [kind, "create", "cluster", "--name", KIND_NAME, "--config", "-", *named, *waits]


def _whole(programs: Mapping[str, Path]) -> bool:
    """Whether the kind cluster is complete and answers; build/kubeconfig points to it then."""
    export = (programs["kind"], "export", "kubeconfig", "--name", KIND_NAME, "--kubeconfig", KUBECONFIG)
    ready = ("wait", "nodes", "--all", "--for=condition=Ready", "--timeout=60s")
    return succeeds(export) and succeeds([programs["kubectl"], "--kubeconfig", KUBECONFIG, *ready], timeout_seconds=90)


def _kind_clusters() -> list[str]:
    return run([binaries.ensure(binaries.KIND)["kind"], "get", "clusters"]).split()


def publish(kubeconfig: Path) -> None:
    """Replace build/kubeconfig in one step, so that no reader sees half of it."""
    draft = KUBECONFIG.with_name(".kubeconfig")
    draft.touch(mode=0o600)
    draft.write_bytes(kubeconfig.read_bytes())
    draft.rename(KUBECONFIG)
