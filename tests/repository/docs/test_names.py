"""Names in prose exist: fields, metrics, values of the chart, targets of the Makefile, files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack.generate import rows
from tts_operator.api.crd import definitions
from tts_operator.telemetry.metrics import Metrics as OperatorMetrics
from tts_operator.telemetry.waker_metrics import WakerMetrics
from tts_server.telemetry.metrics import Metrics as ServerMetrics

ROOT = Path(__file__).parents[3]
PAGES = {
    page.relative_to(ROOT): page.read_text(encoding="utf-8")
    for folder in (ROOT, ROOT / "docs", ROOT / "docs" / "how-to", ROOT / "examples")
    for page in folder.glob("*.md")
}
CHART = ROOT / "charts" / "ttsfleet"
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
SCHEMA: dict[str, Any] = yaml.safe_load((CHART / "values.schema.json").read_text(encoding="utf-8"))
SERVER_REFERENCE = (ROOT / "docs" / "reference" / "tts-server.md").read_text(encoding="utf-8")
PAGES_WITH_PATHS = (
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "hack" / "README.md",
    *sorted(ROOT.glob("docs/*.md")),
    *sorted(ROOT.glob("docs/decisions/*.md")),
)
TOPS = (
    ROOT,
    ROOT / "hack",
    CHART,
    *(top / name for top, name in ((ROOT / "operator", "tts_operator"), (ROOT / "inference_server", "tts_server"))),
    ROOT / "operator",
    ROOT / "inference_server",
)


OF_OTHERS = {
    *("--server-side", "--cascade"),  # kubectl's
    *("--reuse-values", "--reset-then-reuse-values"),  # helm's
    *("--help", "--version"),
}
"""Flags of other programs that the pages name."""


def found(pattern: str) -> Iterator[tuple[str, str]]:
    """Each match of the pattern's group, with its page."""
    return ((str(page), match) for page, text in PAGES.items() for match in re.findall(pattern, text))


def leaves(values: dict[str, Any], path: str = "") -> Iterator[str]:
    for name, value in values.items():
        here = f"{path}.{name}" if path else name
        yield here
        if isinstance(value, dict):
            yield from leaves(value, here)


def properties(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    if "$ref" in schema:
        schema = SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]]
    for name, child in schema.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        yield here
        yield from properties(child, here)


def test_fields_in_prose_exist() -> None:
    known = {
        path.replace("[]", "")
        for crd in definitions()
        for part in ("spec", "status")
        for path, *_ in rows(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"].get(part, {}), part)
    }
    named = set(found(r"`((?:spec|status)\.[A-Za-z0-9_.\[\]]+)"))
    assert len(named) > 20
    assert {(page, path) for page, path in named if re.sub(r"\[\w*\]", "", path).rstrip(".") not in known} == set()


def test_metrics_in_prose_exist() -> None:
    known = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for registry in (ServerMetrics().registry, OperatorMetrics().registry, WakerMetrics().registry)
        for family in registry.collect()
    }
    named = set(found(r"`(tts_[a-z_]+)[`{]")) - {
        (page, name) for page, name in found(r"`(tts_(?:server|operator)[a-z_]*)[.`]")
    }
    assert len(named) > 10
    assert {(page, name) for page, name in named if name not in known} == set()


def test_values_of_the_chart_in_commands_exist() -> None:
    known = set(leaves(VALUES))
    named = {(page, name) for page, name in found(r"--set(?:-string|-json)? '?([A-Za-z0-9.]+)=")}
    assert len(named) > 5
    assert {(page, name) for page, name in named if name not in known} == set()


def test_values_of_the_chart_in_prose_exist() -> None:
    """Whatever in backticks begins like a value of the chart, and is no field of `server.json`."""
    tops = "|".join(name for name, value in VALUES.items() if isinstance(value, dict))
    files = set(re.findall(r"^\| `([A-Za-z0-9.]+)`", SERVER_REFERENCE, flags=re.MULTILINE))
    named = set(found(rf"`((?:{tops})\.[A-Za-z0-9.]+)"))
    assert len(named) > 15
    known = set(leaves(VALUES)) | files
    assert {(page, name) for page, name in named if name not in known} == set()


def test_flags_in_prose_exist() -> None:
    """A flag at the beginning of code, or after the name of the program that it belongs to."""
    sources = [
        *(ROOT / "operator" / "tts_operator" / "cli").glob("*.py"),
        ROOT / "docs" / "reference" / "tts-operator.md",
    ]
    server = ROOT / "inference_server" / "tts_server"
    sources += [
        server / "cli.py",
        server / "engine_check" / "cli.py",
        server / "engines" / "onnx" / "install_kokoro.py",
    ]
    ours = {flag for file in sources for flag in re.findall(r"[\"`](--[a-z0-9-]+)", file.read_text(encoding="utf-8"))}
    named = set(found(r"`(--[a-z0-9-]+)"))
    assert len(named) > 5
    assert {(page, flag) for page, flag in named if flag not in ours | OF_OTHERS} == set()


def test_every_value_of_the_chart_is_in_its_schema_and_the_other_way_round() -> None:
    free = {f"{part}resources.{each}" for part in ("", "waker.") for each in ("requests", "limits")}
    ours = {path for path in leaves(VALUES) if not any(path.startswith(f"{open_}.") for open_ in free)}
    assert ours == set(properties(SCHEMA)) - {"global"}


def test_targets_of_the_makefile_in_prose_exist() -> None:
    known = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert {(page, word) for page, word in found(r"`make ([a-z0-9-]+)") if word not in known} == set()


def test_files_in_prose_exist() -> None:
    named = set(
        found(r"`((?:operator|inference_server|charts|docs|examples|hack|tests|e2e|bench|crds|requirements)/[\w./-]+)")
    )
    assert len(named) > 10
    assert {(page, file) for page, file in named if not (ROOT / file.rstrip("/.")).exists()} == set()


@pytest.mark.parametrize("page", PAGES_WITH_PATHS, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_in_prose_exist(page: Path) -> None:
    """Files and folders in backticks, relative to one of `TOPS`. A decision may name folders that were not chosen."""
    kinds = r"[\w.-]+\.py" if page.parent.name == "decisions" else r"(?:[\w.-]+\.py)?"
    named = set(re.findall(rf"`((?:[\w.-]+/)+{kinds})`", page.read_text(encoding="utf-8")))
    if page.parent.name == "decisions":  # they name files of libraries, too
        named = {path for path in named if any((top / path.partition("/")[0]).exists() for top in TOPS)}
    assert {path for path in named if not any((top / path).exists() for top in TOPS)} == set()
