"""Builds the documentation as a site in build/site: `make docs`.

The pages keep their places, so that the links between them hold on the site as they do in the repository.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SITE = ROOT / "build" / "site"
PUBLISHED = (
    "*.md",
    "NOTICE",
    "LICENSE",
    "docs/**/*",
    "examples/*",
    "hack/README.md",
    "bench/RESULTS.md",
    "bench/plots/*",
    "tests/calendars/*",
)
"""Files of the repository that the site holds, as patterns."""
DECISIONS = Path("docs/decisions")
FENCE = re.compile(r"^(\s*)```(\w+)[ \t]+\S.*$", re.MULTILINE)
"""A fence with words for tests after its language; the site's Markdown takes such a line for text."""
FOLDER_LINK = re.compile(r"\]\(([^):\s#]+/)\)")


def main() -> int:
    """Build the site; prints where it is. Returns the exit status: 1 if a link leads nowhere or a page has no place."""
    source = SITE / "source"
    shutil.rmtree(source, ignore_errors=True)
    stage(ROOT, source)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--config-file", str(ROOT / "mkdocs.yml")]
    status = subprocess.run(command, check=False).returncode
    if status == 0:
        print(f"site: {SITE / 'html' / 'index.html'}")
    return status


def stage(root: Path, target: Path) -> None:
    """Copy what the site holds, each page as the site's Markdown needs it, and write the list of decisions."""
    for path in published(root):
        copy = target / path.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".md":
            copy.write_text(page(path.read_text(encoding="utf-8")), encoding="utf-8")
        else:
            shutil.copyfile(path, copy)
    (target / DECISIONS / "README.md").write_text(list_of_decisions(root / DECISIONS), encoding="utf-8")


def published(root: Path) -> Iterator[Path]:
    """Every file of the repository that the site holds."""
    for pattern in PUBLISHED:
        yield from (path for path in root.glob(pattern) if path.is_file())


def page(markdown: str) -> str:
    """A page without the words that tests read, with links to folders as links to the folder's page."""
    return FOLDER_LINK.sub(r"](\1README.md)", FENCE.sub(r"\1```\2", markdown))


def list_of_decisions(folder: Path) -> str:
    """The page that lists all decisions, newest first."""
    lines = [
        f"- [{path.read_text(encoding='utf-8').splitlines()[0].removeprefix('# ')}]({path.name})"
        for path in sorted(folder.glob("[0-9]*.md"), reverse=True)
    ]
    return "\n".join(
        ["# Design decisions", "", "Each says what was chosen, what else was considered, and why.", "", *lines, ""]
    )


if __name__ == "__main__":
    sys.exit(main())
