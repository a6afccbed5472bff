"""Tests are found where their subject is, and depend on nothing but the product and tests/support."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
PRODUCT = {"operator": ROOT / "operator" / "tts_operator", "server": ROOT / "inference_server" / "tts_server"}
CHECKED = [*TESTS.rglob("*.py"), *(ROOT / "e2e").glob("*.py"), *(ROOT / "bench").glob("*.py")]


def imported(file: Path) -> Iterator[str]:
    """Dotted names of the modules that a file may be importing; `from a import b` is both a and a.b."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_test_file(module: str) -> bool:
    """Whether a module of tests or e2e is one that pytest collects, or a conftest."""
    package, _, name = module.rpartition(".")
    return package.partition(".")[0] in {"tests", "e2e"} and (name.startswith("test_") or name == "conftest")


def test_no_file_imports_from_a_test_file() -> None:
    found = {
        f"{file.relative_to(ROOT)} imports {module}"
        for file in CHECKED
        for module in imported(file)
        if is_test_file(module)
    }
    assert found == set(), "what several files use belongs in tests/support"


def test_what_tests_share_knows_no_tier() -> None:
    found = {
        f"{file.name} imports {module}"
        for file in (TESTS / "support").glob("*.py")
        for module in imported(file)
        if module.startswith("tests.") and not module.startswith("tests.support")
    }
    assert found == set()


@pytest.mark.parametrize("package", PRODUCT)
def test_unit_tests_mirror_the_folders_of_the_product(package: str) -> None:
    root = TESTS / "unit" / package
    folders = {file.parent.relative_to(root) for file in root.rglob("test_*.py")}
    assert {str(folder) for folder in folders if not (PRODUCT[package] / folder).is_dir()} == set()


CLUSTER_WIDE = {"-A", "--all-namespaces"}


def test_stories_on_a_cluster_read_nothing_of_other_tenants() -> None:
    """The cluster may be anybody's: `make e2e` runs after `make demo`, and beside tenants of other people."""
    found = {
        f"{file.name}:{node.lineno} {node.value}"
        for file in (ROOT / "e2e").glob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in CLUSTER_WIDE
    }
    assert found == set()
