"""The platform turns things on for every tenant by values of the chart: a Redis, an object store, a trace collector,
a page, and proxies that are believed.

One upgrade turns on all of them, for the whole module, while an endpoint serves requests; another restores the chart's
defaults. No story changes the endpoint that all of them share.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from urllib.parse import unquote, urlsplit

import pytest
import pytest_asyncio

from e2e import stores
from e2e.caller import Caller
from e2e.crowd import ALONE, NOTHING_MORE, TOGETHER, Crowd, gathers, nobody_noticed
from e2e.fleet import (
    ADMINISTRATOR,
    MINUTE_LIMIT,
    OURS,
    PREFIX,
    Fleet,
    gives_everything,
    page,
    secret_entry,
    sees_counting,
    uid,
)
from e2e.kube import Kube, eventually
from e2e.platform import Platform
from e2e.release import Release
from e2e.stores import BUCKET, fetches, tells_redis
from hack import demo
from hack.cluster import binaries, choice
from tests.support.trace_collector import Collector, Seen

pytestmark = pytest.mark.timeout(900)  # the first test waits for an upgrade of every tenant that there is

DENIED = "NoPermissionError"
SENTENCE = "The platform keeps what I say."
ALL_AT_ONCE = 12
REDIS_LOOK_SECONDS = 15
"""Interval at which the operator checks its Redis, seconds."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fleet(installed: dict[str, str]) -> AsyncIterator[Fleet]:
    """Platform with every feature turned on; afterwards the chart's defaults are restored."""
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


async def sees_no_user(fleet: Fleet, name: str) -> None:
    """Wait until Redis has no user of this name. Other tenants of the cluster may have theirs there as well."""

    async def gone() -> bool:
        return name not in await fleet.users()

    await eventually(gone, within_seconds=2 * REDIS_LOOK_SECONDS + 10)


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
    """Wait until both pools have sent their spans. Returns the entry's request, its trace, and everything received."""

    async def whole() -> tuple[Seen, list[Seen], bytes] | None:
        seen = await stores.collected(fleet.traces)
        found = trace_of(seen, request_id)
        return (*found, b"".join(seen.received)) if found else None

    return await eventually(whole, within_seconds=30)


def trace_of(seen: Collector, request_id: str) -> tuple[Seen, list[Seen]] | None:
    """The entry's request and its trace; None while either pool's request is missing."""
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
    await sees_counting(acme, together=True)
    answers = await asyncio.gather(*(acme.asks() for _ in range(ALL_AT_ONCE)))
    assert Counter(answer.status for answer in answers) == {200: MINUTE_LIMIT, 429: ALL_AT_ONCE - MINUTE_LIMIT}
    assert (await fleet.blue.asks()).status == 200

    ours, theirs = await uid(acme), await uid(fleet.blue)
    assert await fleet.users() >= {"default", ADMINISTRATOR, f"ttsfleet-{ours}", f"ttsfleet-{theirs}"}
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
    await sees_no_user(fleet, f"ttsfleet-{ours}")
    assert await fleet.users() >= {"default", ADMINISTRATOR, f"ttsfleet-{theirs}"}
    assert await fleet.keys_of(ours) == []
    assert await fleet.keys_of(theirs)
    assert (await fleet.blue.asks()).status == 200


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def crowd(fleet: Fleet) -> Crowd:
    """The crowd of one more team."""
    return await gathers(fleet)


async def test_nobody_notices_that_the_platforms_redis_is_deleted_and_comes_back_empty(
    fleet: Fleet, crowd: Crowd
) -> None:
    """Given clients within their limits, when the Redis goes, each replica lets in its part and no more; when one comes
    that knows nobody, what was let in counts there, and the next client gets exactly its limit of all replicas."""
    first, second, third = (crowd.greedy.pop() for _ in range(3))
    async with crowd.keeps_calling() as calls:
        assert await crowd.takes(first) == TOGETHER
        await fleet.redis.is_deleted()
        await sees_counting(crowd.team, together=False)
        assert await crowd.takes(second) == ALONE
        await fleet.starts_redis()
        await sees_counting(crowd.team, together=True, within_seconds=2 * REDIS_LOOK_SECONDS + 10)
        assert await crowd.takes(second) == NOTHING_MORE
        assert await crowd.takes(third) == TOGETHER
    nobody_noticed(calls)


async def test_nobody_notices_that_the_platforms_redis_hangs(fleet: Fleet, crowd: Crowd) -> None:
    """Given clients within their limits, when the Redis answers nobody, no reply waits for it, and each replica lets in
    its part; when it goes on, what was let in counts there."""
    first, second, third = (crowd.greedy.pop() for _ in range(3))
    async with crowd.keeps_calling() as calls:
        assert await crowd.takes(first) == TOGETHER
        await fleet.redis.hangs()
        try:
            await sees_counting(crowd.team, together=False)
            assert await crowd.takes(second) == ALONE
        finally:
            await fleet.redis.goes_on()
        await sees_counting(crowd.team, together=True)
        assert await crowd.takes(second) == NOTHING_MORE
        assert await crowd.takes(third) == TOGETHER
    nobody_noticed(calls)


async def test_nobody_gets_more_because_the_platforms_redis_was_emptied(fleet: Fleet, crowd: Crowd) -> None:
    """Given a client that has used up its limit, when the Redis forgets everything, the replicas remind it."""
    first, second = (crowd.greedy.pop() for _ in range(2))
    async with crowd.keeps_calling() as calls:
        assert await crowd.takes(first) == TOGETHER
        await fleet.asks_redis(("FLUSHALL",))
        await crowd.sees_used_up(first)
        assert await crowd.takes(first) == NOTHING_MORE
        assert await crowd.takes(second) == TOGETHER
    nobody_noticed(calls)
