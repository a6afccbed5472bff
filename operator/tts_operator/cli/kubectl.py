"""Runs kubectl for commands of the plugin: they have the rights, and the cluster, of whoever runs them."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
from dataclasses import dataclass
from typing import Any

from tts_operator.objects.kinds import TENANT
from tts_operator.objects.names import GROUP

KUBECTL_SECONDS = 60
FIELD_MANAGER = "kubectl-tts"


def add_cluster_flags(command: argparse.ArgumentParser) -> None:
    """Add the flags that choose the cluster."""
    command.add_argument("--context", metavar="NAME", help="Context of the kubeconfig. (default: the current one)")
    command.add_argument("--kubeconfig", metavar="FILE", help="Kubeconfig. (default: that of kubectl)")


class KubectlError(Exception):
    """Reason why a command on the cluster failed: a sentence that says what to change."""


@dataclass(frozen=True, slots=True)
class Kubectl:
    """Runs kubectl with the reader's own kubeconfig; `flags` choose another cluster or namespace."""

    flags: tuple[str, ...] = ()

    @classmethod
    def of(cls, options: argparse.Namespace) -> Kubectl:
        """Kubectl for the cluster of `add_cluster_flags` and the namespace that the options name, if any."""
        flags = {"--namespace": options.namespace, "--context": options.context, "--kubeconfig": options.kubeconfig}
        return cls(tuple(f"{flag}={value}" for flag, value in flags.items() if value))

    def run(self, *words: str, stdin: str = "") -> str:
        """Run one command and return what it printed. Raises KubectlError with kubectl's own sentence."""
        program = shutil.which("kubectl")
        if program is None:
            raise KubectlError("kubectl is not on the PATH; install it")
        try:
            done = subprocess.run(
                [program, *words, *self.flags],
                input=stdin,
                capture_output=True,
                text=True,
                check=False,
                timeout=KUBECTL_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            raise KubectlError(f"kubectl {words[0]} did not end within {KUBECTL_SECONDS} seconds") from error
        if done.returncode != 0:
            raise KubectlError(f"kubectl {words[0]}: {done.stderr.strip()}")
        return done.stdout

    def tenant(self, name: str, namespace: str | None) -> dict[str, Any]:
        """Read a TTSTenant. Raises KubectlError, also for one that does not exist."""
        found = self.run("get", f"{TENANT.plural}.{GROUP}", name, "--ignore-not-found", "--output=json")
        if not found:
            where = f"namespace {namespace}" if namespace else "the current namespace"
            raise KubectlError(f"there is no TTSTenant {name} in {where}")
        body: dict[str, Any] = json.loads(found)
        return body
