"""Real operator processes, each a user of its own to the API server, so that the audit log tells them apart."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from hack.chart_rules import rules
from hack.cluster.control_plane import ControlPlane
from tts_operator.objects.kinds import KINDS

GROUP = "ttsfleet-operators"
COMMAND = (sys.executable, "-m", "tts_operator.cli.main")


def role() -> dict[str, Any]:
    """Exactly what the operator may do: the tests run with nothing more."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": GROUP},
        "rules": [
            {
                "apiGroups": [rule.group],
                "resources": list(rule.resources),
                "verbs": [*rule.verbs, *rule.cluster_wide_verbs],
            }
            for rule in rules(KINDS)
        ],
    }


def role_binding() -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": GROUP},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": GROUP},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": GROUP}],
    }


@dataclass
class Operator:
    """One `tts-operator run`."""

    user: str
    health_port: int
    metrics_port: int
    log: Path
    process: subprocess.Popen[bytes]

    @classmethod
    def start(
        cls,
        plane: ControlPlane,
        folder: Path,
        user: str,
        namespace: str,
        flags: Sequence[str] = (),
        *,
        kubeconfig: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Operator:
        """Begin; it is not ready yet. `kubeconfig`: by default that of the user, straight to the API server."""
        health_port, metrics_port = free_ports(2)
        kubeconfig = kubeconfig or plane.kubeconfig_for(user, user, GROUP)
        log = folder / f"{user}.log"
        command = [
            *COMMAND,
            "run",
            f"--namespace={namespace}",
            "--server-image=example.invalid/tts-server:1",
            f"--health-port={health_port}",
            f"--metrics-port={metrics_port}",
            *flags,
        ]
        output: IO[bytes]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                env={**os.environ, "KUBECONFIG": str(kubeconfig), **(environment or {})},
                stdout=output,
                stderr=output,
            )
        return cls(user, health_port, metrics_port, log, process)

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def terminate(self, within_seconds: float = 20) -> int:
        """Ask it to stop, as the kubelet does; its exit status."""
        self.process.terminate()
        return self.process.wait(within_seconds)

    def end(self) -> None:
        """However it is, it is gone after this."""
        if self.process.poll() is None:
            self.thaw()
            self.kill()

    def ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()[-4000:]
        return self.probe("readyz") == 200

    def probe(self, path: str) -> int:
        """The HTTP status of a health path; 0 if nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health_port}/{path}", timeout=2) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that carry these labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        return sum(
            float(line.rsplit(" ", 1)[1])
            for line in lines
            if line.startswith((f"{name}{{", f"{name} ")) and all(pair in line for pair in wanted)
        )

    def leads(self) -> bool:
        return self.metric("tts_operator_leading") == 1


@dataclass(frozen=True)
class AuditedWrite:
    """One write as the API server received it."""

    at: datetime
    verb: str
    resource: str
    namespace: str
    name: str
    code: int


def writes_of(plane: ControlPlane, user: str) -> list[AuditedWrite]:
    """Every write of this user but those to Leases, in the order in which they arrived."""
    found = []
    for line in plane.audit_log.read_text().splitlines():
        if f'"{user}"' not in line or not line.endswith("}"):
            continue
        event = json.loads(line)
        reference = event.get("objectRef") or {}
        if event["user"]["username"] != user or event["verb"] in {"get", "list", "watch"}:
            continue
        if reference.get("resource") in {None, "leases"}:
            continue
        found.append(
            AuditedWrite(
                datetime.fromisoformat(event["requestReceivedTimestamp"]),
                event["verb"],
                "/".join(filter(None, (reference["resource"], reference.get("subresource")))),
                reference.get("namespace", ""),
                reference.get("name", ""),
                event["responseStatus"]["code"],
            )
        )
    return sorted(found, key=lambda write: write.at)


def requests_of(plane: ControlPlane, user: str) -> int:
    """Requests of this user so far, reads and watches too, on a control plane that audits them."""
    wanted = f'"username":"{user}"'.encode()
    with plane.audit_log.open("rb") as log:
        return sum(wanted in line for line in log)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens at, all different."""
    listeners = [socket.socket() for _ in range(count)]
    try:
        for listener in listeners:
            listener.bind(("127.0.0.1", 0))
        return [int(listener.getsockname()[1]) for listener in listeners]
    finally:
        for listener in listeners:
            listener.close()
