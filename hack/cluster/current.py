"""Uses the cluster of KUBECONFIG, which already runs: images reach it through a registry."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from hack.cluster import binaries, images
from hack.cluster.commands import run
from hack.cluster.errors import CannotRunError, CommandError
from hack.cluster.machine import Machine, ThisMachine, last_words
from hack.cluster.progress import step

ANSWER_SECONDS = 15
REGISTRY_EXAMPLE = "REGISTRY=registry.example/you"
LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
PART = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
REFERENCE = re.compile(rf"{LABEL}(?:\.{LABEL})*(?::\d+)?(?:/{PART})*")
"""REGISTRY: host, optional port, and path, by the grammar of github.com/distribution/reference."""
PREAMBLE = re.compile(r'^Error: (pushing image "\S+" to "\S+": )?(trying to reuse blob \S+ at destination: )?')
"""Prefix of buildah's errors, before the cause."""


class CurrentCluster:
    """Cluster that this program neither starts nor removes."""

    description = "the cluster of KUBECONFIG"

    @property
    def ending(self) -> str:
        # It names the kubeconfig, because the developer's shell may use another one.
        return f"""\
Everything stays in your cluster. To remove it:
  export KUBECONFIG={self.kubeconfig.resolve()} PATH={binaries.BIN}:$PATH
  kubectl delete -f examples/tenant.yaml -f examples/model-espeak.yaml
  helm uninstall ttsfleet --namespace ttsfleet-system
  kubectl delete namespace ttsfleet-system
  kubectl delete crd ttstenants.ttsfleet.io ttsmodels.ttsfleet.io ttscalendars.ttsfleet.io"""

    @property
    def kubeconfig(self) -> Path:
        return kubeconfig(os.environ)

    def expected_seconds(self) -> float:
        # The images do not count: `images` builds them, and prints how long each takes.
        return binaries.build_seconds((*binaries.CLIENTS, *binaries.HELM))

    def up(self) -> None:
        path = self.kubeconfig
        program = binaries.ensure(binaries.CLIENTS)["kubectl"]
        try:
            run([program, "--kubeconfig", path, f"--request-timeout={ANSWER_SECONDS}s", "get", "--raw=/readyz"])
        except CommandError as error:
            raise CannotRunError(f"KUBECONFIG={path} leads to no cluster that answers: {last_words(error)}") from error
        binaries.link(binaries.ensure((*binaries.CLIENTS, *binaries.HELM)))

    def down(self) -> None:
        pass  # `up` made nothing

    def build_images(self) -> None:
        pass  # `images` builds them, once the cluster has answered

    def images(self) -> dict[str, str]:
        where = registry(os.environ)
        machine = ThisMachine()
        images.check_builds_here(machine)
        with_docker = not machine.no_docker
        references = {image.name: f"{where}/{image.name}:{image.digest}" for image in images.IMAGES}
        for image in images.IMAGES:
            images.build(image, with_docker=with_docker)
        for image in images.IMAGES:
            reference = references[image.name]
            try:
                with step(f"pushing {reference}", 20):
                    images.push(image, reference, with_docker=with_docker)
            except CommandError as error:
                raise CannotRunError(refused(where, last_words(error), with_docker=with_docker)) from error
        return references


def check(environment: Mapping[str, str], machine: Machine, *, needs_images: bool) -> None:
    """Check what can be checked before anything is built. Raises CannotRunError, which says what to change."""
    kubeconfig(environment)
    if needs_images:
        registry(environment)
        images.check_builds_here(machine)


def kubeconfig(environment: Mapping[str, str]) -> Path:
    """The only file of KUBECONFIG, else kubectl's default. Raises CannotRunError if there is none."""
    named = environment.get("KUBECONFIG", "")
    if os.pathsep in named:
        raise CannotRunError(
            f"KUBECONFIG={named} names several files: make one of them (`kubectl config view --flatten`) and name it"
        )
    path = Path(named).expanduser() if named else Path.home() / ".kube" / "config"
    if not path.is_file():
        what = f"KUBECONFIG={named} is not a file" if named else f"KUBECONFIG is not set, and there is no {path}"
        raise CannotRunError(f"{what}: CLUSTER=current needs the kubeconfig of the cluster, as KUBECONFIG=path")
    return path


def registry(environment: Mapping[str, str]) -> str:
    """REGISTRY, as image references begin with it. Raises CannotRunError if it is not valid."""
    named = environment.get("REGISTRY", "")
    if not named:
        raise CannotRunError(
            f"CLUSTER=current pulls its images from a registry: name one that you may push to, as {REGISTRY_EXAMPLE}"
        )
    if "://" in named:
        raise CannotRunError(f"REGISTRY has a scheme: leave it out, as in {REGISTRY_EXAMPLE}")
    where = named.rstrip("/")
    if not REFERENCE.fullmatch(where):
        raise CannotRunError(
            f"REGISTRY must be a host, perhaps a port, and a path in lower case, without tag, as in {REGISTRY_EXAMPLE}"
        )
    return where


def refused(where: str, why: str, *, with_docker: bool) -> str:
    """Message for a failed push to the registry."""
    program = "docker" if with_docker else "buildah"
    return (
        f"the images could not be pushed to REGISTRY={where}: {PREAMBLE.sub('', why)}\n"
        f"This machine must be allowed to push there (`{program} login {where.partition('/')[0]}`), over TLS with a "
        "certificate that it trusts; and the cluster's nodes to pull from there without a password."
    )
