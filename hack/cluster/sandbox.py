"""Network and mount namespaces in which a local node runs.

Bridges, addresses, iptables rules, sysctls and the mounts of pods exist only in there. The kernel removes them with the
last process, so that none can remain. Outside, a pair of virtual interfaces and a route let this machine reach the API
server, the pods and the Services.
"""

from __future__ import annotations

import ipaddress
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from hack.cluster.commands import run, succeeds
from hack.cluster.errors import CannotRunError, ClusterError, CommandError
from hack.cluster.files import CoverPoints
from hack.cluster.processes import Processes, folders_with

ANCHOR = "sandbox"
"""Name of the process that keeps the namespaces open."""
CANDIDATES = [ipaddress.IPv4Network(f"10.{block}.0.0/16") for block in range(213, 253)]

MADE_FOLDERS = "made-folders.json"
HOST_FOLDERS = ("/run/containerd", "/var/lib/cni", "/var/lib/kubelet", "/var/log/containers")
"""Folders that containerd, CNI and kubelet always write to; the cluster mounts folders of its own over them."""

# The mounts are private to the namespace. The last two lines report that the setup is complete, and wait.
SETUP = """
set -eu
folder=$1; shift
for target in "$@"; do
  mkdir -p "$folder/host$target"
  mount --bind "$folder/host$target" "$target"
done
ip link set lo up
echo 1 > /proc/sys/net/ipv4/ip_forward
touch "$folder/sandbox.ready"
exec sleep infinity
"""


@dataclass(frozen=True)
class Network:
    """A /16 of private addresses that no route of this machine covers, divided for a node."""

    block: ipaddress.IPv4Network

    @property
    def interface(self) -> str:
        """Name of the interface on the host, at most 15 characters."""
        return f"ttsfleet{self.block.network_address.packed[1]}"

    @property
    def host_address(self) -> str:
        return str(self.block[1])

    @property
    def node_address(self) -> str:
        return str(self.block[2])

    @property
    def pods(self) -> str:
        return f"{self.block[256]}/24"

    @property
    def services(self) -> str:
        return f"{self.block[4096]}/20"

    @property
    def first_service(self) -> str:
        return str(self.block[4097])


@dataclass(frozen=True)
class Sandbox:
    """Namespaces of the node in `folder`."""

    folder: Path

    @property
    def processes(self) -> Processes:
        return Processes(self.folder)

    @property
    def _cover_points(self) -> CoverPoints:
        return CoverPoints(self.folder / MADE_FOLDERS)

    @property
    def _alias(self) -> str:
        """Alias that marks an interface as this cluster's; the kernel keeps up to 255 bytes."""
        return str(self.folder)[-255:]

    def network(self) -> Network:
        """Addresses of the node. They are chosen once among those without a route, and saved before they are used."""
        path = self.folder / "network.json"
        if not path.exists():
            draft = path.with_suffix(".draft")
            draft.write_text(json.dumps({"block": str(_free_blocks()[0])}))
            draft.rename(path)
        return Network(ipaddress.IPv4Network(json.loads(path.read_text())["block"]))

    def open(self) -> None:
        """Make the namespaces and connect them to the machine, unless they exist."""
        ready = self.folder / "sandbox.ready"
        if ANCHOR not in self.processes.running():
            ready.unlink(missing_ok=True)
            self._forget_a_block_taken_meanwhile()
            self._cover_points.make(HOST_FOLDERS)
            command = ["unshare", "--mount", "--net", "--propagation", "private"]
            self.processes.start(ANCHOR, [*command, "sh", "-c", SETUP, "sh", self.folder, *HOST_FOLDERS])
        self.processes.wait(ANCHOR, ready.exists, 20)
        self._connect()

    def inside(self) -> tuple[str, ...]:
        """Command prefix that runs a program in the namespaces."""
        pids = self.processes.running().get(ANCHOR)
        if not pids:
            raise ClusterError(f"the local node in {self.folder} is not running; start it with `make cluster`")
        return ("nsenter", f"--target={min(pids)}", "--mount", "--net", "--wd=/", "--")

    def close(self) -> None:
        """Remove what is left outside once every process inside has ended."""
        path = self.folder / "network.json"
        if path.exists():
            interface = self.network().interface
            # The kernel removes it with the namespace, but not at once.
            if self._owns(interface):
                succeeds(["ip", "link", "delete", interface])
        others = sorted(folders_with(ANCHOR) - {self.folder})
        if others:
            self._cover_points.hand_over(CoverPoints(others[0] / MADE_FOLDERS))
        else:
            self._cover_points.remove()

    def _connect(self) -> None:
        network, anchor = self.network(), min(self.processes.running()[ANCHOR])
        inside = self.inside()
        if not succeeds([*inside, "ip", "link", "show", "eth0"]):
            peer = ("peer", "name", "eth0", "netns", str(anchor))
            run(["ip", "link", "add", network.interface, "type", "veth", *peer])
        run(["ip", "link", "set", network.interface, "alias", self._alias])
        run(["ip", "address", "replace", f"{network.host_address}/30", "dev", network.interface])
        run(["ip", "link", "set", network.interface, "up"])
        run([*inside, "ip", "address", "replace", f"{network.node_address}/30", "dev", "eth0"])
        run([*inside, "ip", "link", "set", "eth0", "up"])
        run([*inside, "ip", "route", "replace", "default", "via", network.host_address])
        run(["ip", "route", "replace", str(network.block), "via", network.node_address])

    def _forget_a_block_taken_meanwhile(self) -> None:
        """Reset a stopped cluster whose addresses another checkout's cluster uses since the machine restarted."""
        path = self.folder / "network.json"
        if path.exists() and self.network().block not in _free_blocks():
            # Certificates and flags contain the old addresses; a stopped cluster holds nothing worth keeping.
            for entry in self.folder.iterdir():
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    def _owns(self, interface: str) -> bool:
        try:
            links = json.loads(run(["ip", "-json", "link", "show", interface]))
        except CommandError:
            return False
        return bool(links) and links[0].get("ifalias") == self._alias


def _free_blocks() -> list[ipaddress.IPv4Network]:
    routes = json.loads(run(["ip", "-json", "-4", "route", "show", "table", "all"]))
    taken = [
        ipaddress.IPv4Network(route["dst"], strict=False)
        for route in routes
        if route["dst"] != "default" and route.get("type") not in {"local", "broadcast"}
    ]
    free = [block for block in CANDIDATES if not any(block.overlaps(other) for other in taken)]
    if not free:
        raise CannotRunError(
            f"no /16 from {CANDIDATES[0]} to {CANDIDATES[-1]} is free: this machine's routes cover them all"
        )
    return free
