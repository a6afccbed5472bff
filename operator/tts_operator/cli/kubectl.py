"""Runs kubectl for commands of the plugin: they have the rights, and the cluster, of whoever runs them."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass

KUBECTL_SECONDS = 60
FIELD_MANAGER = "kubectl-tts"


class KubectlError(Exception):
    """Reason why a command on the cluster failed: a sentence that says what to change."""


@dataclass(frozen=True, slots=True)
class Kubectl:
    """Runs kubectl with the reader's own kubeconfig; `flags` choose another cluster or namespace."""

    flags: tuple[str, ...] = ()

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
