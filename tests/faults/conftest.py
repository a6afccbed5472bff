"""The control plane that fault tests disturb, one for each worker of pytest; and the table at the end of the run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hack.cluster.control_plane import ControlPlane, Options
from tests.faults.disturbances import FAULTS, ONLY, SCHEDULER
from tests.faults.verdicts import FOLDER, ROOT, outcomes, page, table
from tests.support.control_planes import collect_tenants, prepare

PAGE = Path(os.environ.get("FAULT_PAGE") or "build/faults.md")
"""Place of the page; `docs/faults.md` for the one that is published."""


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Start one whose controllers are not throttled, and without a scheduler: there is no node."""
    controllers = {"kube-controller-manager": ("--kube-api-qps=300", "--kube-api-burst=600")}
    options = Options(audit=True, die_with_parent=True, extra=controllers)
    plane = ControlPlane.start(tmp_path_factory.mktemp("control-plane"), options)
    plane.processes.stop(SCHEDULER, patience_seconds=1)
    prepare(plane)
    collect_tenants(plane)
    yield plane
    plane.stop()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Forget earlier runs: all, or those of the one fault that is run again."""
    if not hasattr(session.config, "workerinput"):
        which = f"{ONLY}-[0-9]*" if ONLY else "*"
        for file in (*FOLDER.glob(f"{which}.json"), *FOLDER.glob(f"{which}.log")):
            file.unlink()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table, and write the page if no fault was left out."""
    found = outcomes()
    by_fault = {name: [each for each in found if each.fault == name] for name in FAULTS}
    terminalreporter.write_line("\n".join(table({name: each for name, each in by_fault.items() if each})))
    if all(by_fault.values()):
        (ROOT / PAGE).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / PAGE).write_text(page(found), encoding="utf-8")
        terminalreporter.write_line(f"{PAGE} is written")
