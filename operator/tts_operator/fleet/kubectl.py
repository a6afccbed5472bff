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
TENANTS = f"{TENANT.plural}.{GROUP}"
"""Resource of TTSTenants, as kubectl takes it."""
EVERYWHERE = ("--all-namespaces",)


class KubectlError(Exception):
    """Reason why a command on the cluster failed: a sentence that says what to change."""


@dataclass(frozen=True, slots=True)
class Kubectl:
    """Runs kubectl with the reader's own kubeconfig; `flags` choose another cluster, `scope` a namespace or all."""

    flags: tuple[str, ...] = ()
    scope: tuple[str, ...] = ()

    @classmethod
    def of(cls, options: argparse.Namespace) -> Kubectl:
        """Kubectl for the cluster and the namespaces that the options name, if any."""
        flags = {"--context": options.context, "--kubeconfig": options.kubeconfig}
        namespace = getattr(options, "namespace", None)
        everywhere = getattr(options, "all_namespaces", False)
        scope = EVERYWHERE if everywhere else (f"--namespace={namespace}",) if namespace else ()
        return cls(tuple(f"{flag}={value}" for flag, value in flags.items() if value), scope)

    def within(self, namespace: str) -> Kubectl:
        """Kubectl for the same cluster, in this namespace."""
        return Kubectl(self.flags, (f"--namespace={namespace}",))

    def everywhere(self) -> Kubectl:
        """Kubectl for the same cluster, in all namespaces."""
        return Kubectl(self.flags, EVERYWHERE)

    def namespace(self) -> str:
        """Namespace of the scope; without one, read the current one of the context. Raises KubectlError."""
        if self.scope and self.scope != EVERYWHERE:
            return self.scope[0].partition("=")[2]
        found = self.run("config", "view", "--minify", "--output=jsonpath={..namespace}")
        return found.strip() or "default"

    def command(self, *words: str) -> list[str]:
        """Command line with the flags of the cluster. Raises KubectlError without kubectl."""
        program = shutil.which("kubectl")
        if program is None:
            raise KubectlError("kubectl is not on the PATH; install it")
        return [program, *words, *self.flags]

    def run(self, *words: str, stdin: str = "") -> str:
        """Run one command and return what it printed. Raises KubectlError with kubectl's own sentence."""
        return self._run([*self.command(*words), *self.scope], stdin)

    def _run(self, command: list[str], stdin: str = "") -> str:
        try:
            done = subprocess.run(
                command, input=stdin, capture_output=True, text=True, check=False, timeout=KUBECTL_SECONDS
            )
        except subprocess.TimeoutExpired as error:
            raise KubectlError(f"kubectl {command[1]} did not end within {KUBECTL_SECONDS} seconds") from error
        if done.returncode != 0:
            raise KubectlError(f"kubectl {command[1]}: {done.stderr.strip()}")
        return done.stdout

    def items(self, resource: str, *words: str) -> list[dict[str, Any]]:
        """List objects. Raises KubectlError."""
        items: list[dict[str, Any]] = json.loads(self.run("get", resource, *words, "--output=json"))["items"]
        return items

    def permitted_items(self, resource: str, *words: str) -> list[dict[str, Any]] | None:
        """List objects; None where the reader may not list them. Raises KubectlError for anything else."""
        try:
            return self.items(resource, *words)
        except KubectlError as error:
            if "forbidden" not in str(error).lower():
                raise
            return None

    def object(self, resource: str, name: str) -> dict[str, Any] | None:
        """Read an object; None if it does not exist. Raises KubectlError."""
        found = self.run("get", resource, name, "--ignore-not-found", "--output=json")
        body: dict[str, Any] | None = json.loads(found) if found else None
        return body

    def tenants(self) -> list[dict[str, Any]]:
        """List the TTSTenants. Raises KubectlError."""
        inside = "" if self.scope == EVERYWHERE else f"namespaces/{self.namespace()}/"
        # kubectl hands the answer on as it is: to decode and indent a thousand tenants takes it longer than the rest.
        path = f"--raw=/apis/{TENANT.api_version}/{inside}{TENANT.plural}"
        items: list[dict[str, Any]] = json.loads(self._run(self.command("get", path)))["items"]
        return items

    def tenant(self, name: str, namespace: str | None) -> dict[str, Any]:
        """Read a TTSTenant. Raises KubectlError, also for one that does not exist."""
        found = self.object(TENANTS, name)
        if found is None:
            where = f"namespace {namespace}" if namespace else "the current namespace"
            raise KubectlError(f"there is no TTSTenant {name} in {where}")
        return found

    def patch(self, resource: str, name: str, change: Any) -> None:
        """Write a merge patch in the plugin's name. Raises KubectlError."""
        manager = f"--field-manager={FIELD_MANAGER}"
        self.run("patch", resource, name, "--type=merge", manager, f"--patch={json.dumps(change)}")
