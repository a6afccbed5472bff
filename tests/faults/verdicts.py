"""Verdicts on how the operator withstands each fault, and the page that shows them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from tests.faults.disturbances import FAULTS

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "faults"
RESILIENT_SECONDS = 15.0
"""Time to recover up to which nobody would have to be told."""
RECOVERED_SECONDS = 90.0
"""Time after which it has failed."""
RESILIENT_TIMES, RECOVERED_TIMES = 2.0, 4.0
"""Both on a slow machine, in multiples of what half of the tenants took before the fault."""
MEBIBYTE = 2**20
MORE_MEMORY_BYTES = 16 * MEBIBYTE
"""Memory that a process may have more than before the fault: it knows twice as many tenants by then."""
HEAD = """\
# Faults

How the operator withstands faults of the API server, of the way to it, and of its own process. `make faults` writes
this page: for each seed, people edit 30 tenants at random (create, change, suspend, delete, change and delete
children) while the fault lasts. Then it ends, and the run waits until

- every child equals that of a newly created tenant with the same spec, and no child is without its tenant;
- `Accepted`, `ModelsResolved`, `Programmed` and `Ready` of every tenant are True for the present generation;
- the models count their tenants right, and `Accepted`, `RolledOut` and `Ready` of every model are True.

No periodic list helps: the operator has to notice by itself. From then on, every tenant is reconciled once more,
nothing is written and no reconcile fails for 12 s, or 60 s after all faults together, and the operator has at most
{memory:.0f} MiB more memory than before the fault. At the end the tenants are deleted, and nothing of them is left.

- **Resilient**: it recovered within {resilient:.0f} s of the fault's end or, on a slow machine,
  within {twice:.0f} times the time in which half of the tenants had become ready before the fault.
- **Degraded**: it took longer, but less than {recovered:.0f} s or, on a slow machine,
  {four:.0f} times that time.
- **Failed**: it did not recover, wrote without a reason, or kept memory.
"""


def recovered_seconds(calm_seconds: float) -> float:
    """Time after which the operator has failed."""
    return max(RECOVERED_SECONDS, RECOVERED_TIMES * calm_seconds)


def resilient_seconds(calm_seconds: float) -> float:
    """Time up to which it is resilient."""
    return max(RESILIENT_SECONDS, RESILIENT_TIMES * calm_seconds)


NOT_RUN = "not run yet"


class Verdict(StrEnum):
    """Verdicts, best first."""

    RESILIENT = "Resilient"
    DEGRADED = "Degraded"
    FAILED = "Failed"


@dataclass
class Outcome:
    """Findings of one run."""

    fault: str
    seed: int
    seconds: float | None = None
    """Time to recover; None without a recovery."""
    failure: str = ""
    calm_seconds: float = 0.0
    """Time in which the first tenants were ready, before the fault."""
    met: int = 0
    """Requests that met the fault, where the proxy causes it."""
    more_memory_bytes: int = 0
    """Memory that the operator has more than before the fault."""
    quiet_seconds: float = 0.0
    """Time without a write at the end."""

    @property
    def verdict(self) -> Verdict:
        if self.failure or self.seconds is None:
            return Verdict.FAILED
        return Verdict.RESILIENT if self.seconds <= resilient_seconds(self.calm_seconds) else Verdict.DEGRADED

    def write(self) -> None:
        FOLDER.mkdir(parents=True, exist_ok=True)
        (FOLDER / f"{self.fault}-{self.seed}.json").write_text(json.dumps(asdict(self)), encoding="utf-8")


def outcomes() -> list[Outcome]:
    """Outcomes of every run since the folder was emptied."""
    found = [Outcome(**json.loads(file.read_text(encoding="utf-8"))) for file in sorted(FOLDER.glob("*.json"))]
    return sorted(found, key=lambda outcome: (list(FAULTS).index(outcome.fault), outcome.seed))


def page(found: Iterable[Outcome]) -> str:
    by_fault: dict[str, list[Outcome]] = {fault: [] for fault in FAULTS}
    for outcome in found:
        by_fault[outcome.fault].append(outcome)
    head = HEAD.format(
        resilient=RESILIENT_SECONDS,
        recovered=RECOVERED_SECONDS,
        twice=RESILIENT_TIMES,
        four=RECOVERED_TIMES,
        memory=MORE_MEMORY_BYTES / MEBIBYTE,
    )
    return "\n".join([head, *table(by_fault), ""])


def table(by_fault: Mapping[str, list[Outcome]]) -> list[str]:
    """Rows of the table: the worst verdict and the longest times of each fault's seeds."""
    rows = ["| fault | verdict | seconds to recover | of half, before | seeds |", "| --- | --- | ---: | ---: | --- |"]
    for fault, each in by_fault.items():
        if not each:
            rows.append(f"| `{fault}`: {FAULTS[fault].about} | {NOT_RUN} | - | - | - |")
            continue
        verdict = max((outcome.verdict for outcome in each), key=list(Verdict).index)
        seconds = [outcome.seconds for outcome in each if outcome.seconds is not None]
        longest = f"{max(seconds):.0f}" if seconds else "-"
        calm = max(outcome.calm_seconds for outcome in each)
        seeds = ", ".join(str(outcome.seed) for outcome in each)
        rows.append(f"| `{fault}`: {FAULTS[fault].about} | {verdict} | {longest} | {calm:.0f} | {seeds} |")
    return rows
