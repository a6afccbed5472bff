"""Release of the chart, whose values the platform team changes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from e2e.kube import Kube
from e2e.platform import leader_of, ready
from hack import demo


@dataclass(frozen=True)
class Release:
    """Installed release."""

    kube: Kube
    helm: demo.Kube
    images: dict[str, str]

    async def upgrades(self, **values: Any) -> None:
        """Upgrade to these values and the chart's defaults. Returns once an operator with these values leads."""
        await asyncio.to_thread(demo.install, self.helm, self.images, values)
        namespace = demo.SYSTEM_NAMESPACE
        operators = ("pods", "-l", demo.OPERATORS)
        await self.kube.until(
            namespace, *operators, holds=lambda body: all(map(ready, body["items"])), within_seconds=40
        )
        names = {pod["metadata"]["name"] for pod in await self.kube.items(namespace, *operators)}
        await self.kube.until(
            namespace, "lease/ttsfleet", holds=lambda lease: leader_of(lease) in names, within_seconds=30
        )
