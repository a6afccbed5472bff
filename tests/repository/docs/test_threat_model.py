"""The page on threats names tests and policies that exist, and numbers its threats."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
TABLES, _, NO_BOUNDARY = PAGE.partition("## What is no boundary")
ROWS = [[cell.strip() for cell in line.split("|")[1:-1]] for line in TABLES.splitlines() if re.match(r"\| \d", line)]
TESTS = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


@cache
def functions_of(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return {function.name for function in functions if function.name.startswith("test_")}


def test_threats_are_numbered_from_one() -> None:
    assert [row[0] for row in ROWS] == [str(number) for number in range(1, len(ROWS) + 1)]
    assert len(ROWS) > 20


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_every_test_named_exists_and_every_threat_has_one(row: list[str]) -> None:
    named = TESTS.findall(row[-1])
    assert named, "a threat without a test"
    for file, test in named:
        assert (ROOT / file).is_file(), file
        assert not test or test in functions_of(ROOT / file), f"{file}::{test}"


def test_every_policy_named_is_the_charts_and_all_are_named() -> None:
    templates = (ROOT / "charts" / "ttsfleet" / "templates").glob("*policies.yaml")
    text = "\n".join(file.read_text(encoding="utf-8") for file in templates)
    ours = set(re.findall(r'"ttsfleet.clusterName" \. }}-([a-z-]+)$', text, flags=re.MULTILINE))
    phrases = re.findall(r"polic(?:y|ies) ((?:`[a-z-]+`(?:, | and )?)+)", TABLES)
    assert {name for phrase in phrases for name in re.findall(r"`([a-z-]+)`", phrase)} == ours
    assert len(ours) > 5


def test_it_says_what_is_no_boundary() -> None:
    assert {"namespace", "NetworkPolicies", "Secrets"} <= set(re.findall(r"\w+", NO_BOUNDARY))
