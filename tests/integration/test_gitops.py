"""The expressions for Flux judge every status as the page says: the API server's CEL evaluates them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from hack.cluster.control_plane import ControlPlane
from hack.cluster.errors import CommandError
from tests.support.gitops_cases import CASES, KStatus, blocks
from tests.support.resources import Object, model_body, tenant_body
from tts_operator.objects.keys import Key
from tts_operator.objects.names import GROUP, VERSION

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "gitops.md").read_text(encoding="utf-8")
CHECKS: Mapping[str, Mapping[str, str]] = {
    each["kind"]: each for each in blocks(PAGE, "flux")[0]["spec"]["healthCheckExprs"]
}
NAMES = ("inProgress", "failed", "current")
"""In the order in which Flux evaluates them."""
POLICY_SECONDS = 60


def policy(kind: str) -> list[Object]:
    """A policy that denies each write of a status with the values of the expressions.

    A policy has the whole object in one variable; comprehensions give the expressions the names that Flux gives them.
    """
    name, plural = f"gitops-{kind.lower()}", f"{kind.lower()}s"

    def value(expression: str) -> str:
        return f"string([object.status].all(status, [object.metadata].all(metadata, {expression})))"

    values = " + ' ' + ".join(value(CHECKS[kind].get(each, "false")) for each in NAMES)
    rule = {
        "apiGroups": [GROUP],
        "apiVersions": [VERSION],
        "resources": [f"{plural}/status"],
        "operations": ["UPDATE"],
        "scope": "*",
    }
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [rule]},
        "matchConditions": [{"name": "by-this-test", "expression": f"object.metadata.name == '{name}'"}],
        "validations": [{"expression": "false", "messageExpression": f"'values: ' + {values}"}],
    }
    head = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": name}}
    binding = {"policyName": name, "validationActions": ["Deny"]}
    return [
        {**head, "kind": "ValidatingAdmissionPolicy", "spec": spec},
        {**head, "kind": "ValidatingAdmissionPolicyBinding", "spec": binding},
    ]


async def values(plane: ControlPlane, kind: str, status: Object) -> dict[str, bool]:
    """Value of each expression for an object with this status. The write is a dry run, and is denied."""
    patch = json.dumps([{"op": "add", "path": "/status", "value": status}])
    arguments = ("patch", kind.lower(), f"gitops-{kind.lower()}", "--subresource=status", "--type=json", f"-p={patch}")
    loop = asyncio.get_running_loop()
    deadline = loop.time() + POLICY_SECONDS
    while True:
        try:
            await asyncio.to_thread(plane.kubectl, *arguments, "--dry-run=server")
        except CommandError as error:
            _, found, said = str(error).partition("values: ")
            if not found:
                raise
            return dict(zip(NAMES, (each == "true" for each in said.split()[:3]), strict=True))
        assert loop.time() < deadline, "the policy does not apply"
        await asyncio.sleep(0.2)


def flux_status(body: Object, value: Mapping[str, bool]) -> KStatus:
    """Rules of Flux for kinds with expressions: fluxcd/pkg, runtime/cel, StatusEvaluator."""
    generation = body["metadata"]["generation"]
    if body["status"].get("observedGeneration", generation) != generation or value["inProgress"]:
        return "InProgress"
    if value["failed"]:
        return "Failed"
    return "Current" if value["current"] else "InProgress"


@pytest.mark.parametrize("kind", CASES)
async def test_flux_judges_every_status(kind: str, control_plane: ControlPlane, kubeconfig: Path) -> None:
    name = f"gitops-{kind.lower()}"
    body = model_body(name) if kind == "TTSModel" else tenant_body(key=Key("default", name))
    await asyncio.to_thread(control_plane.kubectl, "apply", "-f", "-", input=yaml.safe_dump_all([*policy(kind), body]))
    try:
        judged = {}
        for case_name, case in CASES[kind].items():
            found = await values(control_plane, kind, case.body["status"])
            if "deletionTimestamp" in case.body["metadata"]:
                found["inProgress"] = "has(metadata.deletionTimestamp) ||" in CHECKS[kind]["inProgress"]
            judged[case_name] = flux_status(case.body, found)
        assert judged == {case_name: case.flux for case_name, case in CASES[kind].items()}
    finally:
        for each in ("validatingadmissionpolicybinding", "validatingadmissionpolicy", kind.lower()):
            await asyncio.to_thread(control_plane.kubectl, "delete", each, name, "--ignore-not-found")
