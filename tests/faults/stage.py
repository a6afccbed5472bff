"""One operator behind the proxy, on a control plane that may be disturbed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hack.cluster.control_plane import ControlPlane
from tests.support.api_faults import FaultPlan
from tests.support.api_server import eventually
from tests.support.fault_proxy import FaultProxy
from tests.support.operator_process import Operator

FLAGS = ("--lease-seconds=8", "--resync-seconds=3600")
"""No periodic list repairs what a fault has spoiled: the operator has to notice by itself."""
START_SECONDS = 180.0


@dataclass
class Stage:
    """One operator, which may be replaced, and what may disturb it."""

    plane: ControlPlane
    proxy: FaultProxy
    plan: FaultPlan
    folder: Path
    user: str
    namespace: str
    chance: random.Random
    environment: Mapping[str, str]
    clock_file: Path
    edited: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when people have made their edits."""
    operators: list[Operator] = field(default_factory=list)

    @property
    def operator(self) -> Operator:
        return self.operators[-1]

    def start_operator(self) -> None:
        """Start one as the kubelet does after another has ended."""
        folder = self.folder / f"operator-{len(self.operators)}"
        folder.mkdir()
        kubeconfig = self.proxy.kubeconfig(folder / "kubeconfig")
        self.operators.append(
            Operator.start(
                self.plane,
                folder,
                self.user,
                self.namespace,
                FLAGS,
                kubeconfig=kubeconfig,
                environment=self.environment,
            )
        )

    async def leads(self) -> None:
        await eventually(self._leads, "the operator is ready and leads", START_SECONDS, poll_seconds=0.2)

    async def _leads(self) -> bool:
        ready = await asyncio.to_thread(self.operator.ready)
        return ready and await asyncio.to_thread(self.operator.leads)

    async def pause(self, shortest_seconds: float, longest_seconds: float, *, until_edited: bool = True) -> None:
        """Wait for a random time, but no longer than people edit."""
        seconds = self.chance.uniform(shortest_seconds, longest_seconds)
        if not until_edited:
            await asyncio.sleep(seconds)
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.edited.wait(), seconds)

    def memory_bytes(self) -> int:
        pages = int(Path(f"/proc/{self.operator.process.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def reconciles(self) -> float:
        return self.operator.metric("tts_operator_reconciles_total", kind="tenant")

    def failed_reconciles(self) -> float:
        return self.operator.metric("tts_operator_reconciles_total", result="error")

    def now(self) -> float:
        return time.monotonic()

    def keep_logs(self, file: Path) -> None:
        """Copy the logs of all operators, one after the other, to where they outlast the run."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(operator.log.read_text(errors="replace") for operator in self.operators))

    def end(self) -> None:
        for operator in self.operators:
            operator.end()
