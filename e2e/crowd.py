"""Many clients of one endpoint, who keep within their limits, and greedy ones, who show what the limits are."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from e2e.caller import Calls
from e2e.fleet import Fleet, sees_counting
from e2e.kube import eventually
from e2e.platform import Team
from tts_server.config.schema import HTTP_PORT

REPLICAS, LIMIT = 2, 20
"""Requests of one client in any 60 s."""
CLIENTS, GREEDY = 60, 8
CALLS_PER_SECOND = 5
"""Calls of all clients together. Each asks once in 12 s: within one replica's part of its limit."""
ASKED = 2 * LIMIT
HELD_UP_SECONDS = 3.0
"""Speech and one wait for a Redis that does not answer, of 0.25 s, take a tenth of it, on a busy machine more."""

EVERYTHING = {200: LIMIT, 429: ASKED - LIMIT}
NOTHING = {429: ASKED}
PART = {200: LIMIT // REPLICAS, 429: ASKED - LIMIT // REPLICAS}
TOGETHER = [EVERYTHING, NOTHING]
"""The first replica lets in what all may, the next one knows."""
ALONE = [PART] * REPLICAS
NOTHING_MORE = [NOTHING] * REPLICAS


@dataclass(frozen=True)
class Crowd:
    """Each has a key of its own."""

    team: Team
    clients: tuple[str, ...]
    greedy: list[str]
    """Each has its minute once."""

    async def takes(self, key: str) -> list[Counter[int]]:
        """As much as one replica after the other lets in, and more."""
        speech = self.team.speech("More.")
        return [await self.team.caller.ask_often(host, key, speech, ASKED) for host in await self._replicas()]

    async def sees_used_up(self, key: str) -> None:
        """Wait until every replica knows that nothing is left."""
        hosts = await self._replicas()

        async def known() -> bool:
            answers = [await self.team.caller.ask(host, "/v1/usage", key, None) for host in hosts]
            limits = [json.loads(answer.content)["limits"]["perClientRequestsPerMinute"] for answer in answers]
            return all(limit["remaining"] == 0 for limit in limits)

        await eventually(known, within_seconds=20)

    @asynccontextmanager
    async def keeps_calling(self) -> AsyncIterator[Calls]:
        """All clients in turn."""
        async with self.team.keeps_calling(CALLS_PER_SECOND, self.clients) as calls:
            yield calls

    async def _replicas(self) -> list[str]:
        """Host and port of each."""
        return [f"{pod['status']['podIP']}:{HTTP_PORT}" for pod in await self.team.pods()]


async def gathers(fleet: Fleet) -> Crowd:
    """At an endpoint whose replicas count together."""
    schedule = {"default": {"minReplicas": REPLICAS, "maxReplicas": REPLICAS}}
    quota = {"perClientRequestsPerMinute": LIMIT}
    keys = CLIENTS + GREEDY
    team = await fleet.platform.onboards_team("many", fleet.blue.model, schedule=schedule, quota=quota, more_keys=keys)
    await team.sees_condition("Ready", within_seconds=90)
    await team.sees_pods(REPLICAS, within_seconds=60)
    await sees_counting(team, together=True)
    return Crowd(team, team.more_keys[:CLIENTS], list(team.more_keys[CLIENTS:]))


def nobody_noticed(calls: Calls) -> None:
    """Every call was answered with speech, and none was held up."""
    print(f"{calls.spoken} calls, the slowest took {calls.slowest.seconds:.2f} s")
    assert calls.failed == []
    assert calls.slowest.seconds < HELD_UP_SECONDS
