"""Many clients of one endpoint that keep within their limits, and greedy clients that exceed them."""

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
"""Longest duration of a call. Speech and a wait of 0.25 s for a Redis that does not answer take a tenth of it."""

EVERYTHING = {200: LIMIT, 429: ASKED - LIMIT}
NOTHING = {429: ASKED}
PART = {200: LIMIT // REPLICAS, 429: ASKED - LIMIT // REPLICAS}
TOGETHER = [EVERYTHING, NOTHING]
"""Expected statuses per replica if they count together: the first admits the whole limit, the second nothing."""
ALONE = [PART] * REPLICAS
NOTHING_MORE = [NOTHING] * REPLICAS


@dataclass(frozen=True)
class Crowd:
    """Clients, each with its own key."""

    team: Team
    clients: tuple[str, ...]
    greedy: list[str]
    """Keys of greedy clients, each of which can use up its limit once."""

    async def takes(self, key: str) -> list[Counter[int]]:
        """Send more requests than the limit to each replica in turn. Returns the statuses of each."""
        speech = self.team.speech("More.")
        return [await self.team.caller.ask_often(host, key, speech, ASKED) for host in await self._replicas()]

    async def sees_used_up(self, key: str) -> None:
        """Wait until every replica refuses this client."""
        hosts = await self._replicas()

        async def known() -> bool:
            answers = [await self.team.caller.ask(host, "/v1/usage", key, None) for host in hosts]
            limits = [json.loads(answer.content)["limits"]["perClientRequestsPerMinute"] for answer in answers]
            return all(limit["remaining"] == 0 for limit in limits)

        await eventually(known, within_seconds=20)

    @asynccontextmanager
    async def keeps_calling(self) -> AsyncIterator[Calls]:
        """Let all clients call in turn."""
        async with self.team.keeps_calling(CALLS_PER_SECOND, self.clients) as calls:
            yield calls

    async def _replicas(self) -> list[str]:
        """Host and port of each replica."""
        return [f"{pod['status']['podIP']}:{HTTP_PORT}" for pod in await self.team.pods()]


async def gathers(fleet: Fleet) -> Crowd:
    """Make a crowd at an endpoint whose replicas count together."""
    schedule = {"default": {"minReplicas": REPLICAS, "maxReplicas": REPLICAS}}
    quota = {"perClientRequestsPerMinute": LIMIT}
    keys = CLIENTS + GREEDY
    team = await fleet.platform.onboards_team("many", fleet.blue.model, schedule=schedule, quota=quota, more_keys=keys)
    await team.sees_condition("Ready", within_seconds=90)
    await team.sees_pods(REPLICAS, within_seconds=60)
    await sees_counting(team, together=True)
    return Crowd(team, team.more_keys[:CLIENTS], list(team.more_keys[CLIENTS:]))


def nobody_noticed(calls: Calls) -> None:
    """Check that every call got speech and that none was delayed."""
    print(f"{calls.spoken} calls, the slowest took {calls.slowest.seconds:.2f} s")
    assert calls.failed == []
    assert calls.slowest.seconds < HELD_UP_SECONDS
