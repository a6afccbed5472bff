"""The engine that the how-to page writes works, and everything that its code imports exists."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "engines.md"
BLOCKS = re.findall(r"```python[^\n]*\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def imported() -> Iterator[tuple[str, str]]:
    """Module and name of each import from the product."""
    for block in BLOCKS:
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tts_"):
                yield from ((str(node.module), alias.name) for alias in node.names)


def test_what_the_page_imports_exists() -> None:
    names = set(imported())
    assert len(names) > 2
    assert {(module, name) for module, name in names if not hasattr(importlib.import_module(module), name)} == set()


def test_the_engine_of_the_page_yields_samples() -> None:
    namespace: dict[str, Any] = {}
    exec(BLOCKS[0], namespace)
    engine = namespace["Hum"]()
    parts = list(engine.speak("Hi", voice="hum", language="en", speed=2.0))
    assert [part.dtype for part in parts] == [np.float32, np.float32]
    assert sum(part.size for part in parts) == 2 * 0.05 * engine.sample_rate_hz / 2.0
