"""The commands and manifests of the pages that need an API server and no pods, pasted as they are."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack.cluster import binaries
from hack.cluster.control_plane import ControlPlane, Options
from tests.support.doc_blocks import PAGES, ROOT, Block, bare_machine, blocks, clone, pages_with, paste, script
from tests.support.resources import model_body, tenant_body

pytestmark = pytest.mark.timeout(900)
README, INSTALL = ROOT / "README.md", ROOT / "docs" / "how-to" / "install.md"
KEYS = ROOT / "docs" / "how-to" / "keys.md"
YAML = [block for page in PAGES for block in blocks(page) if block.language == "yaml" and block.places != ("norun",)]
VALUES = [block for block in YAML if block.places == ("values",)]
MANIFESTS = [block for block in YAML if block not in VALUES]
COMPLETE = {"tenant": tenant_body(), "model": model_body()}
"""Manifests into which the parts on the pages belong."""


@dataclass(frozen=True)
class Desk:
    """Clone of the repository, kubectl, helm and the plugin, and an API server of its own."""

    folder: Path
    environment: dict[str, str]
    plane: ControlPlane

    def paste(self, text: str) -> str:
        return paste(text, self.folder, self.environment)

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        return self.plane.kubectl(*words, input=stdin)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """API server without the chart: Helm refuses CRDs that somebody else applied."""
    folder = clone(tmp_path_factory.mktemp("desk") / "ttsfleet")
    plane = ControlPlane.start(folder.parent / "plane", Options(die_with_parent=True))
    programs = (
        *map(binaries.ensure(binaries.CLIENTS).__getitem__, ("kubectl", "helm")),
        Path(sys.executable).with_name("kubectl-tts"),
    )
    environment = bare_machine(
        folder.parent, programs, KUBECONFIG=str(plane.kubeconfig), registry="registry.example/you"
    )
    yield Desk(folder, environment, plane)
    plane.stop()


@pytest.fixture
def desk(empty: Desk) -> Desk:
    """The chart installed as the page says, and the examples applied, whatever an earlier page has removed."""
    (chart, *_) = [block for block in blocks(INSTALL) if "api" in block.places]
    empty.paste(chart.text)
    for plural in ("ttsmodels", "ttstenants", "ttscalendars"):
        empty.kubectl("wait", f"crd/{plural}.ttsfleet.io", "--for=condition=Established", "--timeout=60s")
    empty.kubectl("apply", "--server-side", "-f", str(empty.folder / "examples"))
    return empty


@pytest.fixture
def unchanged(empty: Desk, request: pytest.FixtureRequest) -> Desk:
    """A desk as `desk` leaves it, made anew only if something is missing: what is not stored leaves nothing behind."""
    needed = "validatingadmissionpolicies,ttsmodels,ttstenants --all-namespaces"
    found = empty.paste(f"kubectl get {needed} --output name || true").split()
    if not {"ttstenant.ttsfleet.io/acme", "ttsmodel.ttsfleet.io/espeak"} <= set(found):
        request.getfixturevalue("desk")
    return empty


@pytest.mark.parametrize("page", pages_with("api"), ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_work(desk: Desk, page: Path) -> None:
    said = desk.paste(script(blocks(page), "api"))
    assert "Traceback" not in said


def test_the_first_key_survives_the_line_that_makes_another(desk: Desk) -> None:
    (line,) = [
        line for line in README.read_text(encoding="utf-8").splitlines() if "kubectl tts keygen --tenant" in line
    ]
    before = keys(desk)
    assert "demo" in before, "the key of the examples"
    desk.paste(f'{line}\nfirst=$KEY\n{line}\n[ "$first" != "$KEY" ]')
    after = keys(desk)
    assert len(after) == len(before) + 2
    assert {name: after.get(name) for name in before} == before


def test_the_page_on_keys_adds_lists_and_revokes(desk: Desk) -> None:
    said = desk.paste(script(blocks(KEYS), "api"))
    listed = said.partition("tts keys list acme")[2].partition("keys revoke")[0]
    assert "mobile-app" in listed
    assert {"demo", "website", "ci"} <= keys(desk).keys()
    assert "mobile-app" not in keys(desk)


@pytest.mark.parametrize("block", MANIFESTS, ids=str)
def test_the_api_server_accepts_the_manifests(unchanged: Desk, block: Block) -> None:
    body = yaml.safe_load(block.text)
    if block.places:
        whole = COMPLETE[block.places[0]]
        body = {**whole, "spec": {**whole["spec"], **body["spec"]}}
    # Not in a namespace of the pages: they lower the ceilings there.
    body["metadata"] |= {"name": "from-a-page"} | ({"namespace": "default"} if body["kind"] == "TTSTenant" else {})
    unchanged.kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(body))


@pytest.mark.parametrize("block", VALUES, ids=str)
def test_helm_accepts_the_values(empty: Desk, block: Block) -> None:
    values = empty.folder / "values-of-a-page.yaml"
    values.write_text(block.text, encoding="utf-8")
    chart = empty.folder / "charts" / "ttsfleet"
    kubernetes = f"--kube-version {binaries.KUBERNETES_VERSION}"
    rendered = empty.paste(f"helm template ttsfleet {chart} {kubernetes} -f {chart}/ci/default-values.yaml -f {values}")
    assert set(yaml.safe_load(block.text)) <= set(yaml.safe_load((chart / "values.yaml").read_text(encoding="utf-8")))
    assert rendered.count("kind: ") > 10


def keys(desk: Desk) -> dict[str, Any]:
    """Entries of the tenant's Secret."""
    secret = yaml.safe_load(desk.kubectl("get", "secret", "acme-keys", "-n", "team-acme", "-o", "yaml"))
    return dict(secret["data"])
