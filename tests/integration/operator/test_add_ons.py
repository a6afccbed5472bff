"""A running operator while somebody installs KEDA and removes it again: reconciles go on, with it and without it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hack.cluster.control_plane import ControlPlane
from tests.support.api_server import DAY, NUMBERS, ApiServer, eventually
from tests.support.control_planes import apply
from tests.support.keda import CRD, install_keda, refs
from tests.support.operator_process import Operator, role, role_binding
from tests.support.resources import tenant_body

NOTICED_SECONDS = 60.0
"""The operator looks every three seconds; the machine may do other things."""
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def keda_crd(control_plane: ControlPlane) -> Iterator[str]:
    """The name of KEDA's CRD, which is not installed yet, and is again for other tests."""
    name = str(CRD["metadata"]["name"])
    control_plane.kubectl("delete", "crd", name, "--ignore-not-found")
    yield name
    install_keda(control_plane)


@pytest.fixture
def operator(control_plane: ControlPlane, api: ApiServer, keda_crd: str, tmp_path: Path) -> Iterator[Operator]:
    """An operator for the test's namespace that may use KEDA."""
    apply(control_plane, role(), role_binding())
    flags = (f"--watch-namespaces={api.namespace}", "--add-ons=keda", "--resync-seconds=3600")
    operator = Operator.start(control_plane, tmp_path, f"keda-{next(NUMBERS)}", api.namespace, flags)
    yield operator
    operator.end()


async def test_keda_is_used_while_it_is_installed(
    control_plane: ControlPlane, api: ApiServer, operator: Operator, keda_crd: str
) -> None:
    model = await api.publish_model()
    await api.user.create(tenant_body(model, key=api.key(), schedule=DAY, autoscaling={"provider": "KEDA"}))
    scaled, hpa = refs(api, f"acme-{model}")

    async def missing() -> bool:
        told = (await api.condition("ScalingActive")).get("reason") == "KEDANotInstalled"
        return told and await api.cluster.get(hpa) is not None and operator.ready()

    async def used() -> bool:
        return await api.cluster.get(scaled) is not None and await api.cluster.get(hpa) is None

    await eventually(missing, "an HPA keeps the bounds, and the status says why", NOTICED_SECONDS)
    install_keda(control_plane)
    await eventually(used, "a ScaledObject takes the HPA's place", NOTICED_SECONDS)
    assert operator.ready(), "the watch of ScaledObjects works"
    control_plane.kubectl("delete", "crd", keda_crd)
    await eventually(missing, "the HPA is back, and the operator is ready without KEDA", NOTICED_SECONDS)
