"""Runs kubectl asynchronously: stories change the cluster as people do."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

POLL_SECONDS = 0.2
Found = TypeVar("Found")


class KubectlError(Exception):
    """A failure of kubectl; the message is its standard error."""


@dataclass(frozen=True)
class Kube:
    """Runs kubectl on one cluster."""

    kubectl_path: Path
    kubeconfig: Path

    async def kubectl(self, *words: str, stdin: str | None = None) -> str:
        """Run kubectl and return what it printed. Raises KubectlError."""
        process = await self.start(*words)
        out, error = await process.communicate(stdin.encode() if stdin is not None else b"")
        if process.returncode != 0:
            raise KubectlError(f"kubectl {' '.join(words)[:200]}: {error.decode(errors='replace').strip()}")
        return out.decode()

    async def start(self, *words: str) -> asyncio.subprocess.Process:
        """Start kubectl and return while it runs."""
        return await asyncio.create_subprocess_exec(
            self.kubectl_path,
            *("--kubeconfig", str(self.kubeconfig), *words),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def apply(self, *bodies: dict[str, Any]) -> None:
        """Apply manifests server-side."""
        text = yaml.safe_dump_all(bodies)
        await self.kubectl("apply", "--server-side", "--field-manager=e2e", "-f", "-", stdin=text)

    async def patch(self, namespace: str, what: str, change: dict[str, Any]) -> None:
        """Apply a merge patch; the namespace of a cluster-scoped object is empty."""
        where = ["-n", namespace] if namespace else []
        await self.kubectl("patch", *where, what, "--type=merge", "-p", json.dumps(change))

    async def get(self, namespace: str, *what: str) -> dict[str, Any]:
        """Get an object, or a list of objects."""
        where = ["-n", namespace] if namespace else []
        return dict(json.loads(await self.kubectl("get", *where, *what, "-o", "json")))

    async def items(self, namespace: str, *what: str) -> list[dict[str, Any]]:
        """Get the objects of a list."""
        return list((await self.get(namespace, *what))["items"])

    async def until(
        self,
        namespace: str,
        *what: str,
        holds: Callable[[dict[str, Any]], bool],
        within_seconds: float,
    ) -> float:
        """Poll until the condition holds. Returns the seconds it took; raises AssertionError with the last object."""
        began = time.monotonic()
        while True:
            seen = await self.get(namespace, *what)
            took = time.monotonic() - began
            if holds(seen):
                return took
            if took > within_seconds:
                shown = json.dumps(seen.get("status") or seen, indent=1, ensure_ascii=False)[:4000]
                raise AssertionError(f"{' '.join(what)} after {took:.0f} s: {shown}")
            await asyncio.sleep(POLL_SECONDS)


async def eventually(look: Callable[[], Awaitable[Found | None]], within_seconds: float) -> Found:
    """Poll until the function returns a value. Returns it; raises AssertionError."""
    ends = time.monotonic() + within_seconds
    while not (found := await look()):
        assert time.monotonic() < ends, f"{look.__name__} did not come true within {within_seconds:.0f} s"
        await asyncio.sleep(POLL_SECONDS)
    return found
