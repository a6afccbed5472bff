"""The API server that integration tests run against: a real one, brought up by the run itself, without root."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from hack.cluster.control_plane import ControlPlane, Options
from tests.support.resources import tenant_body
from tts_operator.api.crd import definitions
from tts_operator.objects.keys import Key
from tts_operator.objects.names import API_VERSION

COLLECTED_SECONDS = 120


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane of this run's own, with an audit log; the kernel ends it if the run is killed."""
    folder = tmp_path_factory.mktemp("control-plane")
    plane = ControlPlane.start(folder, Options(audit=True, die_with_parent=True))
    yield plane
    plane.stop()


@pytest.fixture(scope="session")
def kubeconfig(control_plane: ControlPlane) -> Path:
    """An administrator's kubeconfig for an API server that serves both resources."""
    crds = yaml.safe_dump_all(definitions())
    control_plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=crds)
    for plural in ("ttsmodels", "ttstenants"):
        control_plane.kubectl("wait", f"crd/{plural}.ttsfleet.io", "--for=condition=Established", "--timeout=60s")
    wait_until_collected(control_plane)
    return control_plane.kubeconfig


def wait_until_collected(plane: ControlPlane) -> None:
    """Return once the garbage collector knows TTSTenants: it looks for new kinds every 30 s, which no test expects."""
    key = Key("default", "to-be-collected")
    plane.kubectl("apply", "-f", "-", input=yaml.safe_dump(tenant_body(key=key)))
    uid = plane.kubectl("get", "ttst", key.name, "-o", "jsonpath={.metadata.uid}")
    owner = {"apiVersion": API_VERSION, "kind": "TTSTenant", "name": key.name, "uid": uid}
    child = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": key.name, "ownerReferences": [owner]}}
    plane.kubectl("apply", "-f", "-", input=yaml.safe_dump(child))
    plane.kubectl("delete", "ttst", key.name)
    plane.kubectl("wait", "--for=delete", f"configmap/{key.name}", f"--timeout={COLLECTED_SECONDS}s")
