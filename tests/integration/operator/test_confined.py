"""An operator for named namespaces: one of them goes, and the teams in the others notice nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack.chart_rules import rules
from hack.cluster.control_plane import ControlPlane
from tests.support.api_server import NUMBERS, ApiServer, eventually
from tests.support.operator_process import GROUP, Operator, role
from tests.support.resources import tenant_body
from tts_operator.objects.keys import Key
from tts_operator.objects.kinds import KINDS, Scope
from tts_operator.objects.manifest import Ref

CONFINED = "ttsfleet-confined"
RBAC = "rbac.authorization.k8s.io"
NOTICED_SECONDS = 60.0
pytestmark = pytest.mark.timeout(600)


def apply(plane: ControlPlane, *bodies: object) -> None:
    plane.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(bodies))


def binding(kind: str, name: str, namespace: str = "") -> dict[str, Any]:
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": kind,
        "metadata": {"name": name} | ({"namespace": namespace} if namespace else {}),
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": name},
        "subjects": [{"apiGroup": RBAC, "kind": "Group", "name": CONFINED}],
    }


def cluster_role() -> dict[str, Any]:
    """Permissions on cluster-scoped kinds: all that a confined operator has outside its namespaces."""
    found = rules(tuple(kind for kind in KINDS if kind.scope is Scope.CLUSTER))
    listed = [
        {"apiGroups": [each.group], "resources": list(each.resources), "verbs": list(each.verbs)} for each in found
    ]
    metadata = {"name": CONFINED}
    return {"apiVersion": f"{RBAC}/v1", "kind": "ClusterRole", "metadata": metadata, "rules": listed}


def namespace_for_teams(plane: ControlPlane, name: str) -> None:
    apply(plane, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    apply(plane, binding("RoleBinding", GROUP, name))


@pytest.fixture
def namespaces(control_plane: ControlPlane, api: ApiServer) -> tuple[str, str]:
    """The one that stays and the one that goes."""
    stays, goes = api.namespace, f"goes-{next(NUMBERS)}"
    apply(control_plane, role(), cluster_role(), binding("ClusterRoleBinding", CONFINED))
    for name in (stays, goes):
        namespace_for_teams(control_plane, name)
    return stays, goes


@pytest.fixture
def operators(control_plane: ControlPlane, namespaces: tuple[str, str], tmp_path: Path) -> Iterator[list[Operator]]:
    started: list[Operator] = []
    yield started
    for operator in started:
        operator.end()


async def start(plane: ControlPlane, namespaces: tuple[str, str], operators: list[Operator], folder: Path) -> Operator:
    """A confined operator that leads."""
    user = f"confined-{next(NUMBERS)}"
    flags = (f"--watch-namespaces={','.join(namespaces)}", "--lease-seconds=4", "--resync-seconds=3600")
    kubeconfig = plane.kubeconfig_for(user, user, CONFINED)
    operator = Operator.start(plane, folder, user, namespaces[0], flags, kubeconfig=kubeconfig)
    operators.append(operator)

    async def leads() -> bool:
        return await asyncio.to_thread(lambda: operator.ready() and operator.leads())

    await eventually(leads, "it is ready and leads", within_seconds=120)
    return operator


async def test_a_namespace_that_is_deleted_stops_no_other_and_is_taken_up_when_it_is_back(
    api: ApiServer,
    control_plane: ControlPlane,
    namespaces: tuple[str, str],
    operators: list[Operator],
    tmp_path: Path,
) -> None:
    stays, goes = namespaces
    model = await api.publish_model()

    async def served(namespace: str, name: str) -> None:
        await api.user.create(tenant_body(model, key=Key(namespace, name)))
        ref = Ref("v1", "ConfigMap", namespace, f"{name}-quota")

        async def there() -> bool:
            return await api.cluster.get(ref) is not None

        await eventually(there, f"{namespace}.{name} has its children", NOTICED_SECONDS)

    async def skips(operator: Operator, count: int) -> None:
        async def skipped() -> bool:
            return await asyncio.to_thread(operator.metric, "tts_operator_namespaces_skipped") == count

        await eventually(skipped, f"{count} namespaces are skipped", NOTICED_SECONDS)

    running = await start(control_plane, namespaces, operators, tmp_path)
    await served(stays, "before")
    await served(goes, "before")
    await asyncio.to_thread(control_plane.kubectl, "delete", "namespace", goes, "--timeout=120s")
    await skips(running, 1)
    await served(stays, "meanwhile")
    assert running.ready()
    assert '"namespace skipped"' in running.log.read_text()

    running.kill()  # as the node of a leader that dies: the next one starts without the namespace
    running = await start(control_plane, namespaces, operators, tmp_path)
    await skips(running, 1)
    await served(stays, "after-a-restart")

    await asyncio.to_thread(namespace_for_teams, control_plane, goes)
    await skips(running, 0)
    await served(goes, "after")

    # Only the permission goes and returns, and a tenant is edited meanwhile.
    await asyncio.to_thread(control_plane.kubectl, "delete", "rolebinding", GROUP, "-n", goes)
    await skips(running, 1)
    await api.user.patch(Ref("ttsfleet.io/v1alpha1", "TTSTenant", goes, "after"), {"spec": {"tier": "VIP"}})
    await asyncio.to_thread(namespace_for_teams, control_plane, goes)
    await skips(running, 0)

    async def is_vip() -> bool:
        live = await api.cluster.get(Ref("v1", "ConfigMap", goes, "after-quota"))
        return live is not None and '"requestsPerMinute": 100' in live["data"]["quota.json"]

    await eventually(is_vip, "the edit holds", NOTICED_SECONDS)

    # It may not watch namespaces, and the next list comes after an hour.
    await api.user.patch(Ref("v1", "Namespace", "", goes), {"metadata": {"labels": {"ttsfleet.io/max-tier": "Basic"}}})

    async def is_refused() -> bool:
        live = await api.cluster.get(Ref("ttsfleet.io/v1alpha1", "TTSTenant", goes, "after"))
        conditions = ((live or {}).get("status") or {}).get("conditions") or ()
        return any(each["type"] == "Accepted" and each["status"] == "False" for each in conditions)

    await eventually(is_refused, "a label of the namespace takes effect", NOTICED_SECONDS)
