"""Command line of `python -m hack.cluster`: build, start and remove a local Kubernetes cluster."""

from __future__ import annotations

import argparse
import json
import sys

from hack.cluster import binaries, choice, images
from hack.cluster.control_plane import ControlPlane
from hack.cluster.errors import ClusterError
from hack.cluster.node import CONTROL_PLANE_SECONDS, Node
from hack.cluster.progress import say, step

CONTROL_PLANE_FOLDER = choice.BUILD / "control-plane"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m hack.cluster", description=__doc__)
    words = parser.add_subparsers(required=True)

    build = words.add_parser("binaries", help="Build the cluster's programs into the cache and link them in build/bin.")
    build.add_argument(
        "--control-plane-only",
        action="store_true",
        help="Build only what contract and integration tests need, and helm.",
    )
    build.set_defaults(act=build_binaries)

    bring_up = words.add_parser("up", help="Start a cluster and write build/kubeconfig.")
    bring_up.add_argument(
        "--control-plane-only",
        action="store_true",
        help="Start the API server and its controllers, without a node and without root.",
    )
    bring_up.set_defaults(act=up)

    words.add_parser("down", help="Remove everything that `up` made.").set_defaults(act=down)
    words.add_parser("images", help="Build both images and load them into the cluster.").set_defaults(act=load_images)
    words.add_parser("can-run", help="Exit with 0 if `up` can start a cluster with pods on this machine.").set_defaults(
        act=can_run
    )

    arguments = parser.parse_args()
    try:
        arguments.act(arguments)
    except ClusterError as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def build_binaries(arguments: argparse.Namespace) -> None:
    node = () if arguments.control_plane_only else binaries.NODE
    binaries.link(binaries.ensure((*binaries.CONTROL_PLANE, *binaries.HELM, *binaries.STORES, *node)))


def up(arguments: argparse.Namespace) -> None:
    if not arguments.control_plane_only:
        cluster = choice.choose("cluster")
        say(f"cluster: {cluster.description}")
        cluster.up()
        say(f"cluster: ready. KUBECONFIG={cluster.kubeconfig}, programs in {binaries.BIN}")
        return
    programs = binaries.ensure((*binaries.CONTROL_PLANE, *binaries.HELM))
    with step("starting the control plane", CONTROL_PLANE_SECONDS):
        plane = ControlPlane.start(CONTROL_PLANE_FOLDER)
    choice.publish(plane.kubeconfig)
    binaries.link(programs)
    say(f"cluster: the API server is ready, without nodes. KUBECONFIG={choice.KUBECONFIG}, programs in {binaries.BIN}")


def down(_: argparse.Namespace) -> None:
    """Remove the clusters of every value of CLUSTER: another value may have made one."""
    for folder in (CONTROL_PLANE_FOLDER, choice.NODE_FOLDER):
        Node(folder).down()
    images.clean()
    if (binaries.BIN / "kind").is_symlink():  # last, because it fails if Docker does not answer
        choice.KindCluster().down()
    for path in (choice.KUBECONFIG, choice.IMAGES_FILE):
        path.unlink(missing_ok=True)


def load_images(_: argparse.Namespace) -> None:
    references = choice.choose("images").images()
    choice.IMAGES_FILE.write_text(json.dumps(references, indent=1) + "\n")
    say("cluster: images ready: " + ", ".join(references.values()))


def can_run(_: argparse.Namespace) -> None:
    choice.choose("e2e")


if __name__ == "__main__":
    sys.exit(main())
