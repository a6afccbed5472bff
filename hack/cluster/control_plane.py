"""Runs etcd, kube-apiserver, kube-controller-manager and kube-scheduler on free ports, within seconds, without root."""

from __future__ import annotations

import json
import shutil
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hack.cluster import binaries
from hack.cluster.certificates import Authority, signing_key
from hack.cluster.commands import run, succeeds
from hack.cluster.errors import CommandError
from hack.cluster.processes import Processes

ATTEMPTS = 3
"""Attempts to start: another process can take a free port before the program binds it."""
ESTABLISHED_SECONDS = 60

AUDITS_ALL = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}
AUDITS_WRITES = {
    **AUDITS_ALL,
    "rules": [
        # Reads are most of the requests, and a Lease is written every second: the log is read for what else is written.
        {"level": "None", "verbs": ["get", "list", "watch"]},
        {"level": "None", "resources": [{"group": "coordination.k8s.io", "resources": ["leases"]}]},
        {"level": "Metadata"},
    ],
}


@dataclass(frozen=True)
class Options:
    """Options of a control plane: tests and a local node need different ones."""

    address: str = "127.0.0.1"
    """Address on which the API server listens."""
    serves_pods: bool = False
    """Whether it serves a node: pods reach it at the first Service address, and it reaches kubelets at their own."""
    service_cidr: str = "10.96.0.0/16"
    service_address: str = "10.96.0.1"
    audit: bool = False
    """Log the metadata of every write, except those of Leases, to `audit.log`, one JSON object per line."""
    audit_reads: bool = False
    """Log reads and Leases as well."""
    die_with_parent: bool = False
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Program -> additional flags."""
    within: tuple[str, ...] = ()
    """Command prefix that enters the namespaces in which the programs run."""
    ports: Mapping[str, int] = field(default_factory=dict)
    """Fixed ports for `apiserver`, `etcd` and `etcd-peer`; free ones are chosen if empty."""


@dataclass(frozen=True)
class ControlPlane:
    """A running control plane in a folder of its own."""

    folder: Path
    options: Options
    programs: Mapping[str, Path]

    @classmethod
    def start(cls, folder: Path, options: Options | None = None) -> ControlPlane:
        """Start it in `folder`, or find it running; returns once it answers and namespaces get service accounts."""
        folder = folder.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        plane = cls(folder, options or Options(), binaries.ensure(binaries.CONTROL_PLANE))
        for attempt in range(1, ATTEMPTS + 1):
            try:
                plane._start_all()
            except CommandError as error:
                taken = "address already in use" in str(error)
                if attempt == ATTEMPTS or not taken:
                    plane.processes.stop()
                    raise
                plane.processes.stop()
                (folder / "ports.json").unlink()
            else:
                return plane
        raise AssertionError("the last attempt returns or raises")

    @property
    def processes(self) -> Processes:
        return Processes(self.folder, self.options.die_with_parent, self.options.within)

    @property
    def authority(self) -> Authority:
        return Authority(self.folder / "pki")

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    @property
    def audit_log(self) -> Path:
        return self.folder / "audit.log"

    @property
    def server(self) -> str:
        return f"https://{self.options.address}:{self._ports()['apiserver']}"

    def kubectl(self, *arguments: str, input: str | None = None) -> str:  # noqa: A002 - as subprocess names it
        """Run kubectl. Returns its standard output; raises CommandError with its standard error."""
        return run([self.programs["kubectl"], "--kubeconfig", self.kubeconfig, *arguments], stdin=input)

    def wait_established(self, *crds: str) -> None:
        """Return once the API server serves these CRDs. Raises CommandError after a minute.

        `kubectl wait` fails at once for a CRD that has no conditions yet.
        """
        deadline = time.monotonic() + ESTABLISHED_SECONDS
        names = [f"crd/{crd}" for crd in crds]
        while True:
            try:
                self.kubectl("wait", *names, "--for=condition=Established", f"--timeout={ESTABLISHED_SECONDS}s")
            except CommandError as error:
                if "accessor error" not in str(error) or time.monotonic() > deadline:
                    raise
            else:
                return

    def stop(self, *, remove: bool = True) -> None:
        """End its processes and, with `remove`, remove its folder."""
        self.processes.stop("kube-controller-manager", "kube-scheduler", patience_seconds=1)
        self.processes.stop(patience_seconds=3)
        if remove:
            shutil.rmtree(self.folder, ignore_errors=True)

    def kubeconfig_for(self, file: str, user: str, *groups: str) -> Path:
        """A kubeconfig that authenticates as `user` in `groups`."""
        client = self.authority.issue(file, user, groups=groups)
        return self.authority.kubeconfig(self.folder / f"{file}.kubeconfig", self.server, client)

    def _start_all(self) -> None:
        kubeconfig = self.authority.kubeconfig(
            self.kubeconfig, self.server, self.authority.issue("admin", "admin", groups=("system:masters",))
        )
        self._start("etcd", *self._etcd())
        self._start("kube-apiserver", *self._api_server())
        self.processes.wait("kube-apiserver", lambda: self._answers("--raw=/readyz"), 90)
        for name, flags in (("kube-controller-manager", self._controller_manager()), ("kube-scheduler", ())):
            manager = self.kubeconfig_for(name, f"system:{name}")
            self._start(
                name,
                *(
                    f"--{use}={manager}"
                    for use in ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
                ),
                *("--secure-port=0", "--leader-elect=false"),
                *flags,
            )
        # The default service account shows that the controllers run; without it no pod is admitted.
        self.processes.wait(
            "kube-controller-manager", lambda: self._answers("serviceaccount", "default", "--namespace=default"), 60
        )
        assert kubeconfig.exists()

    def _start(self, program: str, *flags: str) -> None:
        self.processes.start(program, [self.programs[program], *flags, *self.options.extra.get(program, ())])

    def _answers(self, *what: str) -> bool:
        return succeeds(
            [self.programs["kubectl"], "--kubeconfig", self.kubeconfig, "--request-timeout=5s", "get", *what]
        )

    def _etcd(self) -> list[str]:
        ports = self._ports()
        client, peer = (f"http://127.0.0.1:{ports[name]}" for name in ("etcd", "etcd-peer"))
        return [
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",  # a power cut may destroy this cluster; nothing in it is worth an fsync
            "--log-level=warn",
        ]

    def _api_server(self) -> list[str]:
        options, pki, ports = self.options, self.authority, self._ports()
        serving = pki.issue(
            "apiserver",
            "kube-apiserver",
            hosts=("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"),
            addresses=tuple(dict.fromkeys(("127.0.0.1", options.address, options.service_address))),
        )
        kubelet_client = pki.issue("kubelet-client", "kube-apiserver", groups=("system:masters",))
        accounts = signing_key(pki.folder)
        flags = [
            f"--etcd-servers=http://127.0.0.1:{ports['etcd']}",
            f"--bind-address={options.address}",
            f"--secure-port={ports['apiserver']}",
            f"--tls-cert-file={serving.certificate}",
            f"--tls-private-key-file={serving.key}",
            f"--client-ca-file={pki.pair.certificate}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            f"--service-account-key-file={accounts.certificate}",
            f"--service-account-signing-key-file={accounts.key}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-cluster-ip-range={options.service_cidr}",
            "--profiling=false",
        ]
        if options.serves_pods:
            flags += [
                f"--advertise-address={options.address}",
                "--kubelet-preferred-address-types=InternalIP",
                f"--kubelet-certificate-authority={pki.pair.certificate}",
                f"--kubelet-client-certificate={kubelet_client.certificate}",
                f"--kubelet-client-key={kubelet_client.key}",
            ]
        else:
            flags += ["--endpoint-reconciler-type=none"]  # pods cannot reach a loopback address
        if options.audit or options.audit_reads:
            policy = self.folder / "audit-policy.json"
            policy.write_text(json.dumps(AUDITS_ALL if options.audit_reads else AUDITS_WRITES))
            flags += [f"--audit-policy-file={policy}", f"--audit-log-path={self.audit_log}"]
        return flags

    def _controller_manager(self) -> list[str]:
        pki = self.authority
        return [
            f"--service-account-private-key-file={signing_key(pki.folder).key}",
            f"--root-ca-file={pki.pair.certificate}",
            f"--cluster-signing-cert-file={pki.pair.certificate}",
            f"--cluster-signing-key-file={pki.pair.key}",
            "--use-service-account-credentials=true",
        ]

    def _ports(self) -> dict[str, int]:
        """Free ports, chosen once and saved, so that a second `up` uses those of the first."""
        path = self.folder / "ports.json"
        if not path.exists():
            draft = path.with_suffix(".draft")
            ports = self.options.ports or _free_ports(self.options.address, ("etcd", "etcd-peer", "apiserver"))
            draft.write_text(json.dumps(dict(ports)))
            draft.rename(path)
        return {name: int(port) for name, port in json.loads(path.read_text()).items()}


def _free_ports(address: str, names: tuple[str, ...]) -> dict[str, int]:
    """Free ports, held open until the last is known, so that they differ."""
    sockets = {name: socket.socket() for name in names}
    try:
        for name, listener in sockets.items():
            listener.bind((address if name == "apiserver" else "127.0.0.1", 0))
        return {name: listener.getsockname()[1] for name, listener in sockets.items()}
    finally:
        for listener in sockets.values():
            listener.close()
