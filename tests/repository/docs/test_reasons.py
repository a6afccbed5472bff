"""The page that says what to do about a condition's reason has every one that the operator gives, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tts_operator.resolve.model_checks import FALLBACK_REASONS
from tts_operator.rollout.situation import HALTED, PAUSED, WAITING
from tts_operator.snapshot.pod_failures import ADVICE
from tts_operator.status.conditions import AS_SPECIFIED
from tts_operator.status.policies import POLICIES

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "how-to" / "troubleshoot.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
TREES = [
    ast.parse(file.read_text(encoding="utf-8")) for file in sorted((ROOT / "operator" / "tts_operator").rglob("*.py"))
]
TOLD_BY = {"Problem", "Refused", "Refuse", "pod_failure", "Event"}
REASON = re.compile(r"[A-Z][A-Za-z0-9]*[a-z][A-Za-z0-9]*")
NO_REASONS = {"Normal", "Warning", "True", "Unknown", "Waiting"}
"""Types of events, a status, and what stands where Kubernetes gives no reason."""
OF_OTHERS = {
    "FailedGetExternalMetric",
    "FailedGetResourceMetric",
    "BackendNotFound",
    "NoMatchingListenerHostname",
    "NoMatchingParent",
    "NotAllowedByListeners",
    "RefNotPermitted",
}
"""Reasons of the HPA and of gateways: passed on in their own words, which are more than the page can list."""


def camel_case(node: ast.AST) -> Iterator[str]:
    """Yield everything within that is written like a reason."""
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str) and REASON.fullmatch(part.value):
            yield part.value


def reasons() -> Iterator[str]:
    """The literal ones in the operator's code, and those that come from its tables."""
    for node in (node for tree in TREES for node in ast.walk(tree)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in TOLD_BY:
            for argument in node.args[:2]:
                yield from camel_case(argument)
        elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "reason":
            yield from camel_case(node.value)
        elif isinstance(node, ast.FunctionDef) and node.name == "_reason":
            yield from (name for part in ast.walk(node) if isinstance(part, ast.Return) for name in camel_case(part))
    yield from (*ADVICE, *FALLBACK_REASONS.values(), HALTED, PAUSED, WAITING, AS_SPECIFIED)


def rows() -> Iterator[str]:
    """Read the reasons in the page's table."""
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) == 5:
            yield from re.findall(r"`(\w+)`", cells[2])


REASONS = sorted(set(reasons()) - NO_REASONS)


def test_there_are_reasons() -> None:
    assert {"ModelNotFound", "NameTaken", "OOMKilled", "S3SecretInvalid", "RedisRefused"} <= set(REASONS)


@pytest.mark.parametrize("reason", REASONS)
def test_the_page_has_the_reason(reason: str) -> None:
    assert f"`{reason}`" in PAGE


def test_the_page_has_no_reason_that_nobody_gives() -> None:
    known = {name for tree in TREES for name in camel_case(tree)} | OF_OTHERS
    assert set(rows()) - known == set()


@pytest.mark.parametrize("condition", [*POLICIES, "Ready"])
def test_the_conditions_are_explained(condition: str) -> None:
    assert f"| `{condition}` |" in README
    assert f"| `{condition}` |" in PAGE
