"""What the platform turns on for every tenant by values of the chart: a Redis, an object store, a collector of traces,
a page, and proxies that are believed.

One upgrade turns on all of it, for the whole module, while an endpoint speaks; another one puts the chart's own values
back. What a story asks of the endpoint that all share leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest_asyncio

from e2e import stores
from e2e.caller import NAME as CALLER
from e2e.caller import Answer, Caller, Calls
from e2e.kube import Kube, eventually
from e2e.platform import Platform, Team, fixed, ready
from e2e.release import Release
from e2e.stores import BUCKET, Store, fetches, keeps_secret, tells_redis
from hack import demo
from hack.cluster import binaries, choice
from tests.contract.collector import Collector, Seen
from tts_server.config import METRICS_PORT

ADMINISTRATOR = "fleet"
RIGHTS = (
    "resetchannels ~tts:* ~ttsfleet:* -@all +acl|setuser +acl|deluser +acl|users +hset +hdel +hgetall +scan +unlink"
    " +select"
)
"""As docs/how-to/limits.md has them."""
PREFIX = "voices"
ENDPOINT_OF_TRACES = "OTEL_EXPORTER_OTLP_ENDPOINT"
DENIED = "NoPermissionError"
SENTENCE = "The platform keeps what I say."
LIMIT, ALL_AT_ONCE = 5, 12
REDIS_LOOK_SECONDS = 15
"""Between the operator's looks at its Redis."""


@dataclass(frozen=True)
class Fleet:
    """A platform that gives its tenants everything; blue, whose endpoint was there before, and acme, who came later."""

    redis: Store
    password: str
    """Of the Redis's default user, who may do everything."""
    audio: Store
    traces: Store
    blue: Team
    second: str
    """Blue's other model, in a pool of its own."""
    acme: Team
    """Has two replicas, and a limit for one minute."""
    page_before: Answer
    calls_meanwhile: Calls

    async def asks_redis(self, *commands: tuple[str, ...]) -> list[Any]:
        """As somebody who may do everything."""
        return await tells_redis(self.redis, "default", self.password, *commands)

    async def users(self) -> set[str]:
        (users,) = await self.asks_redis(("ACL", "USERS"))
        return set(users)

    async def keys_of(self, uid: str) -> list[str]:
        (keys,) = await self.asks_redis(("KEYS", f"*{{{uid}}}*"))
        return list(keys)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fleet(installed: dict[str, str]) -> AsyncIterator[Fleet]:
    """Blue has all of it."""
    kubeconfig = choice.choose("e2e").kubeconfig
    kube = Kube(binaries.ensure(binaries.CLIENTS)["kubectl"], kubeconfig)
    platform = Platform(kube, demo.SYSTEM_NAMESPACE, installed["tts-server"], story=secrets.token_hex(3))
    release = Release(kube, demo.Kube(kubeconfig), installed)
    try:
        yield await gives_everything(platform, release)
    finally:
        await platform.cleans_up()
        await release.upgrades()
        await kube.kubectl("delete", "-n", demo.SYSTEM_NAMESPACE, "secret", *OURS, "--ignore-not-found")


OURS = ("e2e-redis", "e2e-audio")
"""Secrets beside the operator."""


async def gives_everything(platform: Platform, release: Release) -> Fleet:
    password, admin_password, secret_key = (secrets.token_urlsafe(24) for _ in range(3))
    first, second = await platform.publishes_model(), await platform.publishes_model("second")
    beside = Caller(platform.kube, await platform.makes_namespace("stores"), platform.server_image)
    user = ["--user", ADMINISTRATOR, "on", f">{admin_password}", *RIGHTS.split()]
    models = [{"name": first}, {"name": second}]
    redis, audio, traces, blue = await asyncio.gather(
        stores.redis(beside, password, *user),
        stores.object_store(beside, secret_key),
        stores.collector(beside),
        platform.onboards_team("blue", first, schedule=fixed(1), models=models),
    )
    system = demo.SYSTEM_NAMESPACE
    for name, entries in zip(
        OURS,
        (
            {"username": ADMINISTRATOR, "password": admin_password},
            {"accessKey": stores.ACCESS_KEY, "secretKey": secret_key},
        ),
        strict=True,
    ):
        await keeps_secret(platform.kube, system, name, entries)
    await blue.sees_condition("Ready", within_seconds=90)
    async with blue.keeps_calling(requests_per_second=2) as calls:
        page_before = await page(blue)
        await release.upgrades(
            redis={"url": f"redis://{redis.address}", "existingSecret": OURS[0]},
            s3={
                "endpoint": f"http://{audio.address}", "bucket": BUCKET, "prefix": PREFIX, "pathStyle": True,
                "existingSecret": OURS[1],
            },
            tenants={
                "playground": True, "tracing": {"endpoint": f"http://{traces.address}"},
                "trustedProxies": [await network_of(blue.caller)],
            },
        )  # fmt: skip
        limit = {"requestsPerMinute": LIMIT}
        _, acme = await asyncio.gather(
            sees_new_pods(blue, 2), platform.onboards_team("acme", first, schedule=fixed(2), quota=limit)
        )
    return Fleet(redis, password, audio, traces, blue, second, acme, page_before, calls)


async def sees_new_pods(team: Team, count: int) -> None:
    """Wait for exactly so many pods, all ready, all made with the platform's new values."""

    def new(pod: dict[str, Any]) -> bool:
        return any(each["name"] == ENDPOINT_OF_TRACES for each in pod["spec"]["containers"][0]["env"])

    def holds(body: dict[str, Any]) -> bool:
        pods = body["items"]
        return len(pods) == count and all(ready(pod) and new(pod) for pod in pods)

    await team.kube.until(team.namespace, "pods", "-l", team.selector, holds=holds, within_seconds=120)


async def sees_counting_together(team: Team) -> None:
    """Wait until each of its pods says that Redis answers it."""
    addresses = [pod["status"]["podIP"] for pod in await team.pods()]

    async def counts() -> bool:
        said = await asyncio.gather(*(quota_store_up(team, address) for address in addresses))
        return all(line.endswith(" 1.0") for line in said)

    await eventually(counts, within_seconds=30)


async def quota_store_up(team: Team, address: str) -> str:
    """A pod's sample of the metric."""
    metrics = (await fetches(team, f"http://{address}:{METRICS_PORT}/metrics")).content.decode()
    return next((line for line in metrics.splitlines() if line.startswith("tts_quota_store_up{")), "")


async def sees_users(fleet: Fleet, *names: str) -> None:
    """Wait for these users of Redis and no others."""

    async def there() -> bool:
        return await fleet.users() == set(names)

    await eventually(there, within_seconds=2 * REDIS_LOOK_SECONDS + 10)


async def page(team: Team) -> Answer:
    """What a browser gets at `/`."""
    return await team.caller.ask(team.host, "/", "", None)


async def test_an_upgrade_gives_a_running_endpoint_everything_and_no_caller_notices(fleet: Fleet) -> None:
    """Given callers of an endpoint, when the platform turns on stores and traces, its pods roll and no call fails."""
    assert fleet.calls_meanwhile.failed == []
    assert fleet.calls_meanwhile.spoken > 0
    await fleet.blue.sees_condition("RedisConfigured", within_seconds=30)
    assert (await fleet.blue.asks()).status == 200


async def test_audio_is_kept_in_the_platforms_object_store_below_a_prefix_of_the_tenants(fleet: Fleet) -> None:
    """Given a tenant that brings no object store, its links are presigned for the platform's, below its own UID, and
    work without any pod of it."""
    blue = fleet.blue
    answer = await blue.caller.ask(blue.host, "/v1/tts/synthesize", blue.key, {"text": SENTENCE, "format": "wav"})
    assert answer.status == 200, answer.content
    link = json.loads(answer.content)["audio_url"]
    below = f"http://{fleet.audio.address}/{BUCKET}/{PREFIX}/{await uid(blue)}/{blue.namespace}.{blue.name}/"
    assert link.startswith(below), link
    assert await secret_entry(blue, "blue-s3", "accessKey") == stores.ACCESS_KEY
    audio = await fetches(blue, link)
    assert audio.status == 200, audio.content[:300]
    assert audio.content.startswith(b"RIFF")
    assert (await fetches(blue, link.replace("X-Amz-Signature=", "X-Amz-Signature=0"))).status == 403


async def test_the_page_is_there_once_the_platform_says_so(fleet: Fleet) -> None:
    """Given the chart's own values, `/` is nothing; when the platform turns the playground on, it is a page that needs
    no key, with files that its own address serves."""
    assert fleet.page_before.status == 404
    answer = await page(fleet.blue)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    script = re.search(r'src="(playground/[^"]+\.js)"', answer.content.decode())
    assert script is not None
    loaded = await fleet.blue.caller.ask(fleet.blue.host, f"/{script[1]}", "", None)
    assert (loaded.status, loaded.headers["content-type"].partition(";")[0]) == (200, "text/javascript")


async def test_callers_behind_a_proxy_of_the_platforms_are_told_apart(fleet: Fleet) -> None:
    """Given a proxy that the platform has named, wrong keys from many addresses behind it slow nobody; those from one
    address are slowed, as are those of a stranger who claims many."""
    blue, acme = fleet.blue, fleet.acme

    async def guesses(beside: Caller, *addresses: str) -> Counter[int]:
        answers = [
            beside.ask(blue.host, "/v1/models", "guess", None, {"X-Forwarded-For": address}) for address in addresses
        ]
        return Counter(answer.status for answer in await asyncio.gather(*answers))

    many, one = [f"192.0.2.{number}" for number in range(6)], ["198.51.100.1"] * 6
    assert await guesses(blue.caller, *many) == {401: 6}
    assert await guesses(blue.caller, *one) == {401: 5, 429: 1}
    assert await guesses(acme.caller, *many) == {401: 5, 429: 1}


async def test_a_request_is_one_trace_over_the_pools_that_it_passes(fleet: Fleet) -> None:
    """Given a collector, a request for the model of another pool is one trace of both pools' pods, without its text."""
    blue = fleet.blue
    answer = await blue.asks(SENTENCE, model=fleet.second)
    assert answer.status == 200, answer.content
    assert answer.headers["x-tts-engine"] == fleet.second
    request_id = answer.headers["x-request-id"]
    entry, spans, bodies = await sees_trace(fleet, request_id)
    (member,) = (span for span in spans if span.name == "request" and span != entry)
    assert (entry.parent_id, entry.deployment) == ("", f"blue-{blue.model}")
    assert member.deployment == f"blue-{fleet.second}"
    (speak,) = (span for span in spans if span.span_id == member.parent_id)
    assert (speak.name, speak.deployment, speak.attributes["tts.model"]) == ("speak", entry.deployment, fleet.second)
    assert {"admit", "text", "speak", "encode", "settle"} <= {s.name for s in spans if s.deployment == entry.deployment}
    assert SENTENCE.encode() not in bodies
    assert blue.key.encode() not in bodies


async def sees_trace(fleet: Fleet, request_id: str) -> tuple[Seen, list[Seen], bytes]:
    """Wait until both pools have sent their part; the entry's request, all of its trace, and what was sent."""

    async def whole() -> tuple[Seen, list[Seen], bytes] | None:
        seen = await stores.collected(fleet.traces)
        found = trace_of(seen, request_id)
        return (*found, b"".join(seen.received)) if found else None

    return await eventually(whole, within_seconds=30)


def trace_of(seen: Collector, request_id: str) -> tuple[Seen, list[Seen]] | None:
    """None while either pool's request is missing."""
    entry = next((each for each in seen.named("request") if each.attributes.get("tts.request_id") == request_id), None)
    spans = [each for each in seen.spans if entry is not None and each.trace_id == entry.trace_id]
    requests = [each for each in spans if each.name == "request"]
    return (entry, spans) if entry is not None and len(requests) == 2 else None


async def test_replicas_count_together_in_the_platforms_redis_and_nobody_reads_anothers_keys(
    fleet: Fleet,
) -> None:
    """Given a tenant that brings no Redis, its two replicas let in exactly the limit, as a user of its own who reaches
    its keys and no others; when the tenant is deleted, its user and its keys go, and another's stay."""
    acme = fleet.acme
    await acme.sees_condition("Ready", within_seconds=60)
    await acme.sees_condition("RedisConfigured", within_seconds=30)
    assert (await acme.reads_condition("RedisConfigured"))["reason"] == "AsSpecified"
    await acme.sees_pods(2, within_seconds=60)
    await sees_counting_together(acme)
    answers = await asyncio.gather(*(acme.asks() for _ in range(ALL_AT_ONCE)))
    assert Counter(answer.status for answer in answers) == {200: LIMIT, 429: ALL_AT_ONCE - LIMIT}
    assert (await fleet.blue.asks()).status == 200

    ours, theirs = await uid(acme), await uid(fleet.blue)
    assert await fleet.users() == {"default", ADMINISTRATOR, f"ttsfleet-{ours}", f"ttsfleet-{theirs}"}
    url = urlsplit(await secret_entry(acme, "acme-redis", "url"))
    assert (unquote(url.username or ""), url.netloc.rpartition("@")[2]) == (f"ttsfleet-{ours}", fleet.redis.address)
    own, others = await fleet.keys_of(ours), await fleet.keys_of(theirs)
    assert own
    assert others
    reads = [("GET", key) for key in (*own, *others)]
    told = await tells_redis(fleet.redis, f"ttsfleet-{ours}", unquote(url.password or ""), *reads, ("KEYS", "*"))
    assert DENIED not in told[: len(own)]
    assert told[len(own) :] == [DENIED] * (len(others) + 1)

    await acme.deletes_its_tenant()
    await sees_users(fleet, "default", ADMINISTRATOR, f"ttsfleet-{theirs}")
    assert await fleet.keys_of(ours) == []
    assert await fleet.keys_of(theirs)
    assert (await fleet.blue.asks()).status == 200


async def uid(team: Team) -> str:
    """Of its TTSTenant."""
    return str((await team.kube.get(team.namespace, f"ttstenant/{team.name}"))["metadata"]["uid"])


async def network_of(caller: Caller) -> str:
    """Of its pod alone."""
    pod = await caller.kube.get(caller.namespace, f"pod/{CALLER}")
    return str(ip_network(pod["status"]["podIP"]))


async def secret_entry(team: Team, secret: str, entry: str) -> str:
    body = await team.kube.get(team.namespace, f"secret/{secret}")
    return base64.b64decode(body["data"][entry]).decode()
