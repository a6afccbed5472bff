"""`make docs` builds every page, finds links that lead nowhere, and needs nothing from elsewhere."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from hack.docs_site import SITE, list_of_decisions, page, published, stage

ROOT = Path(__file__).parents[2]
CONFIGURATION = "mkdocs.yml"


class Loader(yaml.SafeLoader):
    """Reads the configuration without the functions that it names."""


Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda _loader, _suffix, _node: None)


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    """Build a staged copy of the site, as `hack.docs_site` does."""
    shutil.copy(ROOT / CONFIGURATION, folder)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--config-file", str(folder / CONFIGURATION)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    stage(ROOT, folder / SITE.relative_to(ROOT) / "source")
    return folder


@pytest.mark.timeout(300)
def test_the_site_is_built_and_a_link_that_leads_nowhere_ends_the_build(staged: Path) -> None:
    whole = build(staged)
    assert whole.returncode == 0, whole.stdout + whole.stderr
    html = staged / SITE.relative_to(ROOT) / "html"
    built = {path.relative_to(html).with_suffix(".md") for path in html.rglob("*.html")}
    pages = {path.relative_to(ROOT) for path in published(ROOT) if path.suffix == ".md" and path.name != "README.md"}
    assert pages <= built
    loaded = re.compile(r'<(?:script|img|link|iframe)[^>]+(?:src|href)="?(https?://[^"\s>]+)')
    assert not [found for path in html.rglob("*.html") for found in loaded.findall(path.read_text(encoding="utf-8"))]
    spoiled = staged / SITE.relative_to(ROOT) / "source" / "docs" / "glossary.md"
    spoiled.write_text(spoiled.read_text(encoding="utf-8") + "\n[nowhere](nowhere.md)\n", encoding="utf-8")
    broken = build(staged)
    assert broken.returncode != 0
    assert "glossary.md" in broken.stdout + broken.stderr


def test_every_page_has_a_place_in_the_navigation() -> None:
    configuration = yaml.load((ROOT / CONFIGURATION).read_text(encoding="utf-8"), Loader)
    placed = set(_paths(configuration["nav"]))
    pages = {str(path.relative_to(ROOT)) for path in published(ROOT) if path.suffix == ".md"}
    listed = {each for each in pages if re.fullmatch(r"docs/(decisions|runbooks)/(0|TTS).*\.md", each)}
    assert pages - listed == placed - {"docs/decisions/README.md"}


def _paths(entry: object) -> list[str]:
    match entry:
        case str():
            return [entry]
        case list():
            return [path for each in entry for path in _paths(each)]
        case dict():
            return [path for each in entry.values() for path in _paths(each)]
    raise TypeError(entry)


def test_words_for_tests_are_cut_and_links_to_folders_lead_to_their_pages() -> None:
    assert page("```sh api cluster\nls\n```\n") == "```sh\nls\n```\n"
    assert page("```yaml\na: 1\n```\n") == "```yaml\na: 1\n```\n"
    assert page("[decisions](docs/decisions/), [there](https://example.com/a/)") == (
        "[decisions](docs/decisions/README.md), [there](https://example.com/a/)"
    )


def test_the_list_of_decisions_begins_with_the_newest(tmp_path: Path) -> None:
    for number, title in (("0001", "First"), ("0002", "Second")):
        (tmp_path / f"{number}-x.md").write_text(f"# {int(number)}. {title}\n\nWhy.\n", encoding="utf-8")
    lines = list_of_decisions(tmp_path).splitlines()
    assert lines[-2:] == ["- [2. Second](0002-x.md)", "- [1. First](0001-x.md)"]
