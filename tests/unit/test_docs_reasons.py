"""Every reason that the operator gives for a condition stands in the page that says what to do about it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tts_operator.model_problems import FALLBACK_REASONS
from tts_operator.pod_troubles import ADVICE
from tts_operator.policies import POLICIES
from tts_operator.rollout_budget import HALTED, WAITING

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "troubleshoot.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
TOLD_BY = {"Verdict", "Refused", "Refuse", "trouble"}


def reasons() -> Iterator[str]:
    """The literal ones in the operator's code, and those that come from its tables."""
    for file in sorted((ROOT / "operator" / "tts_operator").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in TOLD_BY:
                for argument in node.args[:2]:
                    if isinstance(argument, ast.Constant) and re.fullmatch(r"([A-Z][a-z]+)+", str(argument.value)):
                        yield str(argument.value)
    yield from (*ADVICE, *FALLBACK_REASONS.values(), HALTED, WAITING)


REASONS = sorted(set(reasons()))


def test_there_are_reasons() -> None:
    assert {"ModelNotFound", "NameTaken", "OOMKilled", "FallbackCycle"} <= set(REASONS)


@pytest.mark.parametrize("reason", REASONS)
def test_the_page_has_the_reason(reason: str) -> None:
    assert f"`{reason}`" in PAGE


@pytest.mark.parametrize("condition", [*POLICIES, "Ready"])
def test_the_conditions_are_explained(condition: str) -> None:
    assert f"| `{condition}` |" in README
    assert f"| `{condition}` |" in PAGE
