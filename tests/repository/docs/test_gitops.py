"""The scripts for Argo CD judge every status as the page says. kstatus, which Flux and Helm use, needs none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from lupa.lua51 import LuaRuntime  # type: ignore[import-untyped]  # its stubs are not published

from tests.support.gitops_cases import CASES, Case, blocks, kstatus
from tests.support.resources import Object

PAGE = (Path(__file__).parents[3] / "docs" / "how-to" / "gitops.md").read_text(encoding="utf-8")
TROUBLESHOOT = (Path(__file__).parents[3] / "docs" / "how-to" / "troubleshoot.md").read_text(encoding="utf-8")
SCRIPTS: Object = blocks(PAGE, "argo")[0]["data"]
FORBIDDEN = ("io", "os", "package", "require", "debug", "load", "loadstring", "dofile", "python")
"""Absent from Argo CD's interpreter, or of this one only."""
EVERY = [(kind, name, case) for kind, cases in CASES.items() for name, case in cases.items()]
IDS = [f"{kind}: {name}" for kind, name, _ in EVERY]


def argo_health(kind: str, body: Object) -> dict[str, Any]:
    """Health that Argo CD would show, which asks no script about an object that is being deleted."""
    if "deletionTimestamp" in body["metadata"]:
        return {"status": "Progressing", "message": "Pending deletion"}
    lua = LuaRuntime(register_eval=False, register_builtins=False)
    for name in FORBIDDEN:
        lua.globals()[name] = None
    lua.globals().obj = lua.table_from(json.loads(json.dumps(body)), recursive=True)
    found = lua.execute(SCRIPTS[f"resource.customizations.health.ttsfleet.io_{kind}"])
    return dict(found)


@pytest.mark.parametrize(("kind", "name", "case"), EVERY, ids=IDS)
def test_argo_cd_shows_the_health(kind: str, name: str, case: Case) -> None:
    found = argo_health(kind, case.body)
    assert found["status"] == case.argo
    assert isinstance(found["message"], str)


@pytest.mark.parametrize(("kind", "name", "case"), EVERY, ids=IDS)
def test_kstatus_judges_by_the_conditions_alone(kind: str, name: str, case: Case) -> None:
    assert kstatus(case.body) == case.kstatus


@pytest.mark.parametrize("kind", CASES)
def test_an_object_without_a_status_is_not_taken_for_healthy(kind: str) -> None:
    bare = {name: value for name, value in CASES[kind]["ready"].body.items() if name != "status"}
    assert argo_health(kind, bare)["status"] == "Progressing"


def test_the_health_tells_the_reason() -> None:
    found = argo_health("TTSTenant", CASES["TTSTenant"]["failed"].body)
    assert found["message"].startswith("CrashLoopBackOff: pod acme-espeak-1: the container ended with exit code 1")


def test_the_reasons_in_the_expressions_are_those_of_the_operator() -> None:
    (expression,) = (
        each["failed"] for each in blocks(PAGE, "flux")[0]["spec"]["healthCheckExprs"] if each["kind"] == "TTSTenant"
    )
    reasons = list(expression.partition("e.reason in [")[2].split("'")[1::2])
    assert len(reasons) > 5
    assert [reason for reason in reasons if f"`{reason}`" not in TROUBLESHOOT] == []
