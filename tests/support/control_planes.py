"""Prepares a control plane for the operator: both resources, a role, and a garbage collector that knows them."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import yaml

from hack.cluster.control_plane import ControlPlane
from tests.support.operator_process import role, role_binding
from tests.support.resources import tenant_body
from tts_operator.api.crd import definitions
from tts_operator.objects.keys import Key
from tts_operator.objects.names import API_VERSION

COLLECTED_SECONDS = 120
STARTER = ThreadPoolExecutor(1)
"""Thread that lasts as long as this process: the kernel ends programs together with the thread that started them."""
PLURALS = ("ttsmodels", "ttstenants", "ttscalendars")


async def start_again(plane: ControlPlane) -> None:
    """Start what was stopped of a control plane."""
    await asyncio.get_running_loop().run_in_executor(STARTER, ControlPlane.start, plane.folder, plane.options)


def apply(plane: ControlPlane, *bodies: object) -> None:
    """Server-side apply of these objects, as an administrator."""
    plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=yaml.safe_dump_all(bodies))


def install_crds(plane: ControlPlane) -> None:
    """Install the resources; returns once the API server serves them."""
    apply(plane, *definitions())
    plane.wait_established(*(f"{plural}.ttsfleet.io" for plural in PLURALS))


def prepare(plane: ControlPlane) -> None:
    """Install the resources and the operator's role."""
    apply(plane, role(), role_binding())
    install_crds(plane)


def collect_tenants(plane: ControlPlane) -> None:
    """Return once the garbage collector knows TTSTenants.

    It looks for new kinds when it starts and every 30 s, which no test expects: the controller manager starts anew.
    """
    plane.processes.stop("kube-controller-manager", patience_seconds=1)
    STARTER.submit(ControlPlane.start, plane.folder, plane.options).result()
    key = Key("default", "to-be-collected")
    plane.kubectl("apply", "-f", "-", input=yaml.safe_dump(tenant_body(key=key)))
    uid = plane.kubectl("get", "ttst", key.name, "-o", "jsonpath={.metadata.uid}")
    owner = {"apiVersion": API_VERSION, "kind": "TTSTenant", "name": key.name, "uid": uid}
    child = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": key.name, "ownerReferences": [owner]}}
    plane.kubectl("apply", "-f", "-", input=yaml.safe_dump(child))
    plane.kubectl("delete", "ttst", key.name)
    plane.kubectl("wait", "--for=delete", f"configmap/{key.name}", f"--timeout={COLLECTED_SECONDS}s")
