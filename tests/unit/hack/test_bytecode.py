"""Python keeps the bytecode that it compiles, even if the environment says otherwise.

Otherwise each of the hundreds of processes that tests and tools start compiles every module that it imports.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
VARIABLE = "PYTHONDONTWRITEBYTECODE"


def test_processes_of_a_target_of_make_write_it(tmp_path: Path) -> None:
    target = tmp_path / "target.mk"
    target.write_text(f'shown:\n\t@echo "<$${{{VARIABLE}-}}>"\n')
    command = ["make", "--no-print-directory", "-f", "Makefile", "-f", str(target), "shown"]
    environment = os.environ | {VARIABLE: "1"}
    assert subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True).stdout == b"<>\n"


def test_processes_of_tests_write_it() -> None:
    """Checks the run itself: pytest may have been started with the variable."""
    assert not sys.dont_write_bytecode
    assert VARIABLE not in os.environ
