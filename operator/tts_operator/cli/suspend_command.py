"""`kubectl tts suspend` and `resume`: scales a tenant to zero replicas, and back to its schedule."""

from __future__ import annotations

import argparse

from tts_operator.cli.command import Answer
from tts_operator.cli.common_flags import add_tenant_flags
from tts_operator.fleet.kubectl import TENANTS, Kubectl


def add_flags(command: argparse.ArgumentParser) -> None:
    add_tenant_flags(command)


def run(options: argparse.Namespace) -> Answer:
    """Suspend the tenant."""
    return set_suspend(options, suspend=True)


def set_suspend(options: argparse.Namespace, *, suspend: bool) -> Answer:
    """Set or unset spec.suspend, and say so."""
    kubectl = Kubectl.of(options)
    spec = kubectl.tenant(options.tenant, options.namespace)["spec"]
    if bool(spec.get("suspend")) == suspend:
        return Answer.of(f"{options.tenant} {'is suspended already' if suspend else 'is not suspended'}\n")
    kubectl.patch(TENANTS, options.tenant, {"spec": {"suspend": suspend}})
    if suspend:
        return Answer.of(f"{options.tenant} is suspended: its replicas end; kubectl tts resume brings them back\n")
    return Answer.of(f"{options.tenant} is resumed: its schedule applies again\n")
