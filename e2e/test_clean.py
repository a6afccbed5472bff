"""A local node leaves nothing behind, after a normal end and after a crash. The tests need root, and no Docker."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hack.cluster import cgroups, packages
from hack.cluster.buildah import Buildah
from hack.cluster.node import Node
from hack.cluster.node_files import PAUSE_IMAGE
from hack.cluster.processes import FOLDER_MARK
from hack.cluster.sandbox import HOST_FOLDERS

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="the local node needs root; this machine uses kind"),
    pytest.mark.timeout(600),
]

UP = "import sys; from pathlib import Path; from hack.cluster.node import Node; Node(Path(sys.argv[1])).up()"

CONTAINER = """
set -eu
echo $$ > /sys/fs/cgroup/$1/cgroup.procs
exec unshare --cgroup --mount sh -euc '
  umount --lazy /sys/fs/cgroup
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
  groups() { find /sys/fs/cgroup -mindepth 1 -type d | sort; cat /sys/fs/cgroup/cgroup.subtree_control; }
  for_both() { "$0" -c "from hack.cluster.cgroups import $1 as act; act(\\"ttsfleet-1\\"); act(\\"ttsfleet-2\\")"; }
  groups; echo ---
  for_both create
  cat /sys/fs/cgroup/ttsfleet-2/cgroup.subtree_control; echo ---
  for_both remove
  groups' "$2"
"""
"""Cgroup namespace whose root holds processes, as in a container."""


@dataclass(frozen=True)
class Traces:
    """Everything that a node could leave on a machine."""

    links: list[str]
    routes: list[str]
    rules: list[str]
    mounts: list[str]
    groups: list[str]
    processes: list[str]
    folders: list[str]


def traces(folder: Path) -> Traces:
    def lines(*command: str) -> list[str]:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return sorted(line for line in done.stdout.splitlines() if not line.startswith(("#", ":")))

    mark = f"{FOLDER_MARK}={folder}".encode()
    processes = [pid.name for pid in Path("/proc").iterdir() if pid.name.isdigit() and mark in environment(pid)]
    return Traces(
        lines("ip", "-brief", "link"),
        lines("ip", "route"),
        lines("iptables-save"),
        lines("cat", "/proc/self/mounts"),
        [str(path) for path in cgroups.ROOT.rglob(cgroups.name_for(folder))],
        processes,
        [str(path) for path in (*HOST_FOLDERS, folder) if Path(path).exists()],
    )


def environment(process: Path) -> bytes:
    try:
        return (process / "environ").read_bytes()
    except OSError:
        return b""


@pytest.fixture
def node() -> Iterator[Node]:
    """Second node beside the cluster of the run; they do not affect each other."""
    node = Node(Path(f"/tmp/ttsfleet-clean-{os.getpid()}"))
    yield node
    node.down()


def test_down_removes_every_trace_of_a_node_with_a_running_pod(node: Node) -> None:
    before = traces(node.folder)
    node.up()
    kubectl("run", "sleeper", f"--image={PAUSE_IMAGE}", "--image-pull-policy=Never", node=node)
    kubectl("wait", "pod/sleeper", "--for=condition=Ready", "--timeout=60s", node=node)
    assert traces(node.folder) != before
    node.down()
    assert traces(node.folder) == before


@pytest.mark.parametrize("seconds", [0.3, 1.5, 4, 8, 11])
def test_down_removes_every_trace_of_an_up_that_was_killed(node: Node, seconds: float) -> None:
    before = traces(node.folder)
    with subprocess.Popen([sys.executable, "-c", UP, str(node.folder)]) as half_way:
        try:
            half_way.wait(seconds)  # one that ends in time did not crash; its traces must be removed, too
        except subprocess.TimeoutExpired:
            half_way.kill()
    node.down()
    assert traces(node.folder) == before


def test_up_goes_on_where_a_crash_left_it(node: Node) -> None:
    node.up()
    running = node.sandbox.processes.running()
    for name in ("containerd", "kubelet", "kube-apiserver"):
        for pid in running[name]:
            os.kill(pid, signal.SIGKILL)
    node.up()
    kubectl("wait", "node/local", "--for=condition=Ready", "--timeout=60s", node=node)


def test_a_node_survives_the_end_of_the_one_before_it(node: Node) -> None:
    before = traces(node.folder)
    elder = Node(node.folder.with_name(f"{node.folder.name}-elder"))
    try:
        elder.up()
        node.up()
    finally:
        elder.down()
    kubectl("run", "sleeper", f"--image={PAUSE_IMAGE}", "--image-pull-policy=Never", node=node)
    kubectl("wait", "pod/sleeper", "--for=condition=Ready", "--timeout=60s", node=node)
    node.down()
    assert traces(node.folder) == before


def test_down_twice_and_down_of_nothing_do_nothing(node: Node) -> None:
    before = traces(node.folder)
    node.down()
    node.down()
    assert traces(node.folder) == before


@pytest.mark.skipif(not (cgroups.ROOT / "cgroup.controllers").exists(), reason="this machine has cgroup v1")
def test_in_a_container_with_cgroup_v2_processes_make_room_and_come_back() -> None:
    box = cgroups.ROOT / f"box-{os.getpid()}"
    box.mkdir()
    try:
        words = ["sh", "-c", CONTAINER, "sh", box.name, sys.executable]
        done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
    finally:
        box.rmdir()
    before, during, after = done.stdout.split("---\n")
    assert "memory" in during.split()
    assert after == before


def kubectl(*arguments: str, node: Node) -> None:
    program = Path(__file__).resolve().parents[1] / "build" / "bin" / "kubectl"
    subprocess.run([program, "--kubeconfig", node.kubeconfig, *arguments], check=True, timeout=120)


@pytest.mark.parametrize("known", [True, False], ids=["that buildah knows", "that was killed while it was made"])
def test_a_container_of_a_killed_build_does_not_stop_the_next(tmp_path: Path, known: bool) -> None:
    packages.ensure(packages.IMAGES)
    buildah, context = Buildah(tmp_path / "cache"), tmp_path / "context"
    context.mkdir()
    dockerfile = context / "Dockerfile"
    dockerfile.write_text("FROM scratch\nCOPY version /\n")
    build = functools.partial(buildah.build, dockerfile, context, "localhost/image:tag", base="scratch")
    (context / "version").write_text("1")
    build()
    container = buildah.execute("from", "localhost/image:tag").strip()
    if not known:
        identity = buildah.execute("inspect", "--type=container", "--format={{.ContainerID}}", container).strip()
        (state,) = buildah.folder.glob(f"storage/*-containers/{identity}/userdata/buildah.json")
        state.unlink()
    (context / "version").write_text("2")
    build()
    buildah.keep_only("localhost/image", {"tag"})
    (left,) = buildah.execute("images", "--all", "--noheading", "--format={{.Name}}:{{.Tag}}").split()
    assert left == "localhost/image:tag"
