"""Runs a one-node cluster without a Docker engine: containerd, kubelet, kube-proxy and CoreDNS in a sandbox, as root.

Everything is in one folder and in namespaces of its own, and every process carries a mark, so that `down` works in
whatever state a crash left: it ends the marked processes, then removes the control group, interface and folder.
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from hack.cluster import binaries, cgroups, dns, packages
from hack.cluster.archive import pack
from hack.cluster.commands import run, succeeds
from hack.cluster.control_plane import ControlPlane, Options
from hack.cluster.errors import CannotRunError, ClusterError
from hack.cluster.node_files import NODE_NAME, PAUSE_IMAGE, Files
from hack.cluster.processes import Processes
from hack.cluster.progress import say, step
from hack.cluster.sandbox import Network, Sandbox

CONTROL_PLANE_SECONDS, AGENTS_SECONDS = 8, 12
"""Seconds that starting them takes."""
LONGEST_SOCKET_PATH = 107
"""Longest path of a socket: sun_path of unix(7), less the byte that ends it."""


@dataclass(frozen=True)
class Node:
    """Cluster in `folder`, which may be stopped."""

    folder: Path

    @property
    def sandbox(self) -> Sandbox:
        return Sandbox(self.folder)

    @property
    def socket(self) -> Path:
        return self.folder / "containerd.sock"

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    def up(self) -> None:
        """Start what does not run; returns once the node is Ready and Services resolve."""
        if len(str(self.socket)) > LONGEST_SOCKET_PATH - len(".ttrpc"):
            raise CannotRunError(
                f"the path {self.folder} is too long for a socket in it; move the checkout to a shorter path"
            )
        packages.check(packages.NODE)
        with ThreadPoolExecutor(max_workers=1) as beside:
            installed = beside.submit(
                packages.ensure, packages.NODE
            )  # runs beside the compilers: it waits for the network
            programs = binaries.ensure(binaries.CLUSTER)  # helm, too: a compiler beside a starting node would slow both
            installed.result()
        self.folder.mkdir(parents=True, exist_ok=True)
        cgroups.create(cgroups.name_for(self.folder))
        self.sandbox.open()
        network = self.sandbox.network()
        with step("starting the control plane", CONTROL_PLANE_SECONDS):
            plane = ControlPlane.start(self.folder, _control_plane_options(network, self.sandbox.inside()))
        files = Files(self.folder, network, plane, programs, cgroups.name_for(self.folder))
        with step("starting the node", AGENTS_SECONDS):
            self._start_runtime(files, programs)
            self._start_agents(files, programs, plane)
            plane.kubectl("wait", f"node/{NODE_NAME}", "--for=create", "--timeout=60s")
            plane.kubectl("wait", f"node/{NODE_NAME}", "--for=condition=Ready", "--timeout=90s")

    def down(self) -> None:
        """Remove the cluster in whatever state it is; without one, print nothing."""
        if self.folder.exists() and self.folder.stat().st_uid != os.geteuid():
            raise ClusterError(f"{self.folder} is another user's, and so are its processes: `sudo make clean`")
        processes = Processes(self.folder)
        if processes.running():
            say(f"  ending what runs in {self.folder}")
        # First the agents, which would restart what ends; then shims, containers and the sandbox at once.
        processes.stop("kubelet", "kube-proxy", "kube-controller-manager", "kube-scheduler", patience_seconds=2)
        processes.stop("containerd", patience_seconds=3)
        cgroups.remove(cgroups.name_for(self.folder))
        processes.stop(patience_seconds=3)
        cgroups.remove(cgroups.name_for(self.folder))
        self.sandbox.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.folder.exists():
            run(["rm", "-rf", "--one-file-system", str(self.folder)])

    def load(self, archive: Path) -> None:
        """Import a docker-archive into containerd, from which kubelet takes it."""
        program = binaries.ensure(binaries.NODE)["ctr"]
        run([program, "--address", self.socket, "--namespace", "k8s.io", "images", "import", archive])

    def images(self) -> set[str]:
        """References of the images that the node holds. Raises ClusterError if the node does not run."""
        self.sandbox.inside()
        program = binaries.ensure(binaries.NODE)["ctr"]
        return set(run([program, "--address", self.socket, "--namespace", "k8s.io", "images", "ls", "--quiet"]).split())

    def _start_runtime(self, files: Files, programs: Mapping[str, Path]) -> None:
        processes = Processes(self.folder, within=self.sandbox.inside())
        # containerd looks for its shim on PATH.
        path = (
            f"{programs['containerd-shim-runc-v2'].parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        )
        processes.start("containerd", [programs["containerd"], "--config", files.containerd()], {"PATH": path})
        asks: list[str | Path] = [programs["ctr"], "--address", self.socket, "version"]
        processes.wait("containerd", lambda: succeeds(asks), 60)
        if PAUSE_IMAGE not in self.images():
            self.load(pack(programs["pause"], PAUSE_IMAGE, self.folder / "pause.tar"))

    def _start_agents(self, files: Files, programs: Mapping[str, Path], plane: ControlPlane) -> None:
        processes = Processes(self.folder, within=self.sandbox.inside())
        network = files.network
        processes.start(
            "kubelet",
            [
                *(programs["kubelet"], "--config", files.kubelet()),
                *("--kubeconfig", plane.kubeconfig_for("kubelet", f"system:node:{NODE_NAME}", "system:nodes")),
                *("--root-dir", self.folder / "kubelet", "--hostname-override", NODE_NAME),
                *("--node-ip", network.node_address),
            ],
        )
        processes.start("kube-proxy", [programs["kube-proxy"], "--config", files.proxy()])
        plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=files.dns_access())
        processes.start("coredns", [programs["coredns"], "-conf", files.dns()])
        processes.wait("coredns", lambda: dns.knows("kubernetes.default.svc.cluster.local", network.node_address), 30)
        processes.wait("kube-proxy", lambda: _answers(network), 30)


def _answers(network: Network) -> bool:
    """Whether kube-proxy forwards the first Service, which is the API server's."""
    try:
        with socket.create_connection((network.first_service, 443), timeout=1):
            return True
    except OSError:
        return False


def _control_plane_options(network: Network, inside: tuple[str, ...]) -> Options:
    return Options(
        address=network.node_address,
        serves_pods=True,
        service_cidr=network.services,
        service_address=network.first_service,
        within=inside,
        ports={"apiserver": 6443, "etcd": 2379, "etcd-peer": 2380},
    )
