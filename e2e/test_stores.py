"""Replicas share counts and audio through a team's own Redis and object store."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

from e2e.platform import Platform, Team, fixed, ready
from e2e.stores import BUCKET, fetches, runs_object_store, runs_redis

SENTENCE = "This link outlives its pod."


async def sees_pods_with(team: Team, volume: str, count: int, within_seconds: float = 150) -> None:
    """Wait for exactly this many pods, all ready and made after the volume was requested."""

    def holds(body: dict[str, Any]) -> bool:
        pods = body["items"]
        volumes = [{each["name"] for each in pod["spec"]["volumes"]} for pod in pods]
        return len(pods) == count and all(map(ready, pods)) and all(volume in names for names in volumes)

    await team.kube.until(team.namespace, "pods", "-l", team.selector, holds=holds, within_seconds=within_seconds)


async def test_three_replicas_with_a_redis_let_in_exactly_the_limit(platform: Platform) -> None:
    """Given three replicas that share a Redis, of a dozen callers in one minute exactly five are let in, whichever
    replicas they meet."""
    acme = await platform.onboards_team("acme", await platform.publishes_model(), schedule=fixed(1))
    await runs_redis(acme, "counters")
    redis = {"secretRef": {"name": "counters"}}
    await acme.changes(redis=redis, schedule=fixed(3), quota={"requestsPerMinute": 5})
    await sees_pods_with(acme, "redis", 3)
    await acme.sees_condition("RedisConfigured", within_seconds=60)
    await acme.sees_condition("Ready", within_seconds=60)
    answers = await asyncio.gather(*(acme.asks() for _ in range(12)))
    assert Counter(answer.status for answer in answers) == {200: 5, 429: 7}
    refused = next(answer for answer in answers if answer.status == 429)
    assert refused.error["limit"] == "requestsPerMinute"


async def test_a_link_into_an_object_store_is_fetched_without_any_pod_of_the_tenant(platform: Platform) -> None:
    """Given an object store, the reply's link is presigned for it, and still good when the pod that spoke is gone."""
    acme = await platform.onboards_team("acme", await platform.publishes_model(), schedule=fixed(1))
    store = await runs_object_store(acme, "audio-store")
    endpoint = f"http://{store.address}"
    s3 = {"endpoint": endpoint, "bucket": BUCKET, "pathStyle": True, "secretRef": {"name": "audio-store"}}
    await acme.changes(storage={"s3": s3})
    await sees_pods_with(acme, "s3", 1)
    await acme.sees_condition("Ready", within_seconds=60)
    body = {"text": SENTENCE, "format": "wav"}
    answer = await acme.caller.ask(acme.host, "/v1/tts/synthesize", acme.key, body)
    assert answer.status == 200, answer.content
    link = json.loads(answer.content)["audio_url"]
    assert link.startswith(f"{endpoint}/{BUCKET}/{acme.namespace}.{acme.name}/"), link
    assert "X-Amz-Signature=" in link
    await acme.kube.kubectl("delete", "pods", "-n", acme.namespace, "-l", acme.selector, "--wait=false")
    audio = await fetches(acme, link)
    assert audio.status == 200, audio.content[:300]
    assert audio.content.startswith(b"RIFF")
    assert (await fetches(acme, link.replace("X-Amz-Signature=", "X-Amz-Signature=0"))).status == 403
