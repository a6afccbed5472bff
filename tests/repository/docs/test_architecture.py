"""The page on the architecture draws the layers, and names the contracts, that `.importlinter` checks."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
CONTRACTS = configparser.ConfigParser()
CONTRACTS.read(ROOT / ".importlinter", encoding="utf-8")


def drawn(heading: str) -> list[set[str]]:
    """Layers of the first drawing below the heading, top to bottom; a row that begins with `|` continues a layer."""
    block = re.findall(rf"^## {heading}\n.*?^```\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)[0]
    layers: list[set[str]] = []
    for row in block.splitlines():
        names = {name.rstrip("/").removesuffix(".py") for name in re.findall(r"(?:^|(?<= ))(?:\w+/|\w+\.py)", row)}
        if row.lstrip().startswith("|"):
            layers[-1] |= names
        else:
            layers.append(names)
    return layers


@pytest.mark.parametrize(
    ("heading", "contract"), [("The operator", "operator-layers"), ("The server", "server-layers")]
)
def test_the_layers_are_drawn_as_they_are_checked(heading: str, contract: str) -> None:
    layers = CONTRACTS[f"importlinter:contract:{contract}"]["layers"].split("\n")
    assert drawn(heading) == [{name.strip() for name in layer.split("|")} for layer in layers if layer.strip()]


def test_every_contract_is_explained() -> None:
    names = {CONTRACTS[section]["name"] for section in CONTRACTS.sections() if ":contract:" in section}
    assert (
        set(re.findall(r"^\| ([^|]+?) \| ", PAGE.partition("## What each contract")[2], re.MULTILINE))
        - {
            "contract",
            "---",
        }
        == names
    )
