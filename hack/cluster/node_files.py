"""Configuration files of a local node's programs. Those in YAML are written as JSON, which needs no quoting."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hack.cluster.certificates import Authority
from hack.cluster.control_plane import ControlPlane
from hack.cluster.files import on_overlay
from hack.cluster.sandbox import Network

NODE_NAME = "local"
PAUSE_IMAGE = "ttsfleet.invalid/pause:1"
CNI_PROGRAMS = "/usr/lib/cni"
CLUSTER_DOMAIN = "cluster.local"

# restrict_oom_score_adj: without it every sandbox dies with "can't get final child's PID from pipe" where root lacks
# CAP_SYS_RESOURCE. The NRI plugin and the restart monitor watch paths of the whole machine.
CONTAINERD = """\
version = 3
root = "{folder}/containerd/root"
state = "{folder}/containerd/state"
disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.monitor.container.v1.restart"]
[grpc]
  address = "{folder}/containerd.sock"
[ttrpc]
  address = "{folder}/containerd.sock.ttrpc"
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "{snapshotter}"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{pause}"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
  SystemdCgroup = false
[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["{cni_programs}"]
  conf_dir = "{folder}/cni"
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/containerd/opt"
"""


@dataclass(frozen=True)
class Files:
    """Write the files into the cluster's folder. Each function returns the path of its file."""

    folder: Path
    network: Network
    plane: ControlPlane
    programs: Mapping[str, Path]
    cgroup: str

    def containerd(self) -> Path:
        """Configuration of containerd 2 and of the pods' network."""
        # ptp, not bridge: pods on one bridge would answer each other past kube-proxy, unless br_netfilter is loaded.
        network = {
            "cniVersion": "1.0.0",
            "name": "ttsfleet",
            "plugins": [
                {
                    "type": "ptp",
                    "ipam": {
                        "type": "host-local",
                        "ranges": [[{"subnet": self.network.pods}]],
                        "routes": [{"dst": "0.0.0.0/0"}],
                        "dataDir": str(self.folder / "addresses"),
                    },
                },
                {"type": "portmap", "capabilities": {"portMappings": True}},
            ],
        }
        self._write("cni/10-ttsfleet.conflist", json.dumps(network, indent=1))
        return self._write(
            "containerd.toml",
            CONTAINERD.format(
                folder=self.folder,
                snapshotter="native" if on_overlay(self.folder) else "overlayfs",
                pause=PAUSE_IMAGE,
                cni_programs=CNI_PROGRAMS,
            ),
        )

    def kubelet(self) -> Path:
        pki: Authority = self.plane.authority
        serving = pki.issue("kubelet-serving", NODE_NAME, hosts=(NODE_NAME,), addresses=(self.network.node_address,))
        nameservers = self._write("resolv.conf", f"nameserver {self.network.node_address}\n")
        return self._json(
            "kubelet.json",
            {
                "apiVersion": "kubelet.config.k8s.io/v1beta1",
                "kind": "KubeletConfiguration",
                "address": self.network.node_address,
                "authentication": {
                    "anonymous": {"enabled": False},
                    "webhook": {"enabled": True},
                    "x509": {"clientCAFile": str(pki.pair.certificate)},
                },
                "authorization": {"mode": "Webhook"},
                "tlsCertFile": str(serving.certificate),
                "tlsPrivateKeyFile": str(serving.key),
                "containerRuntimeEndpoint": f"unix://{self.folder}/containerd.sock",
                "cgroupDriver": "cgroupfs",
                "cgroupRoot": f"/{self.cgroup}",
                "failCgroupV1": False,
                "failSwapOn": False,
                "clusterDNS": [self.network.node_address],
                "clusterDomain": CLUSTER_DOMAIN,
                "resolvConf": str(nameservers),
                "healthzBindAddress": "127.0.0.1",
                "makeIPTablesUtilChains": False,
                "podLogsDir": str(self.folder / "pod-logs"),
                "volumePluginDir": str(self.folder / "kubelet" / "volume-plugins"),
                "staticPodPath": "",
                # A developer's disk may well be 90 % full; kubelet evicts no pod for that.
                "evictionHard": {"memory.available": "0%", "nodefs.available": "0%", "imagefs.available": "0%"},
                "imageGCHighThresholdPercent": 100,
                "logging": {"verbosity": 1},
            },
        )

    def proxy(self) -> Path:
        kubeconfig = self.plane.kubeconfig_for("kube-proxy", "system:kube-proxy")
        return self._json(
            "kube-proxy.json",
            {
                "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
                "kind": "KubeProxyConfiguration",
                "mode": "iptables",
                "bindAddress": self.network.node_address,
                "healthzBindAddress": "127.0.0.1:10256",
                "metricsBindAddress": "127.0.0.1:10249",
                "hostnameOverride": NODE_NAME,
                "clusterCIDR": self.network.pods,
                "clientConnection": {"kubeconfig": str(kubeconfig)},
                # This sysctl belongs to the whole machine and is read-only in a network namespace.
                "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
            },
        )

    def dns(self) -> Path:
        kubeconfig = self.plane.kubeconfig_for("coredns", "ttsfleet:coredns")
        return self._write(
            "Corefile",
            f".:53 {{\n  bind {self.network.node_address}\n  errors\n"
            f"  kubernetes {CLUSTER_DOMAIN} {{\n    kubeconfig {kubeconfig}\n  }}\n}}\n",
        )

    def dns_access(self) -> str:
        """Permissions of CoreDNS."""
        rules = [
            {"apiGroups": [""], "resources": ["services", "namespaces", "pods"], "verbs": ["list", "watch"]},
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
        ]
        name, group = "ttsfleet:coredns", "rbac.authorization.k8s.io"
        items = [
            {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules},
            {
                "apiVersion": f"{group}/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": name},
                "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
                "subjects": [{"apiGroup": group, "kind": "User", "name": name}],
            },
        ]
        return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})

    def _json(self, name: str, document: object) -> Path:
        return self._write(name, json.dumps(document, indent=1))

    def _write(self, name: str, content: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        return path
