"""Platform whose chart values turn on every feature of tenants."""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_network
from typing import Any

from e2e import stores
from e2e.caller import NAME as CALLER
from e2e.caller import Answer, Caller, Calls
from e2e.kube import eventually
from e2e.platform import Platform, Team, fixed, ready
from e2e.release import Release
from e2e.stores import BUCKET, Store, fetches, keeps_secret, tells_redis
from hack import demo
from tts_operator.rollout.situation import HALTED
from tts_server.config.schema import METRICS_PORT

ADMINISTRATOR = "fleet"
RIGHTS = (
    "resetchannels ~tts:* ~ttsfleet:* -@all +acl|setuser +acl|deluser +acl|users +hset +hdel +hgetall +scan +unlink"
    " +select"
)
"""Permissions of the operator's user, as in docs/how-to/limits.md."""
PREFIX = "voices"
ENDPOINT_OF_TRACES = "OTEL_EXPORTER_OTLP_ENDPOINT"
UPGRADE_SECONDS = 300
"""For a tenant to get the values of an upgrade, behind the other tenants of the cluster."""
MINUTE_LIMIT = 5
"""Requests per minute of acme."""


@dataclass(frozen=True)
class Fleet:
    """Platform with every feature; blue had its endpoint before they were turned on, acme came later."""

    platform: Platform
    redis: Store
    password: str
    """Password of the Redis's default user, who may do everything."""
    starts_redis: Callable[[], Awaitable[Store]]
    """Start another pod of Redis, which has only the administrator and the default user."""
    audio: Store
    traces: Store
    blue: Team
    second: str
    """Second model of blue, in a pool of its own."""
    acme: Team
    """Team with two replicas and a limit per minute."""
    page_before: Answer
    calls_meanwhile: Calls

    async def asks_redis(self, *commands: tuple[str, ...]) -> list[Any]:
        """Send commands as the default user."""
        return await tells_redis(self.redis, "default", self.password, *commands)

    async def users(self) -> set[str]:
        (users,) = await self.asks_redis(("ACL", "USERS"))
        return set(users)

    async def keys_of(self, uid: str) -> list[str]:
        (keys,) = await self.asks_redis(("KEYS", f"*{{{uid}}}*"))
        return list(keys)


OURS = ("e2e-redis", "e2e-audio")
"""Secrets that the chart's values name, in the operator's namespace."""


async def gives_everything(platform: Platform, release: Release) -> Fleet:
    password, admin_password, secret_key = (secrets.token_urlsafe(24) for _ in range(3))
    first, second = await platform.publishes_model(), await platform.publishes_model("second")
    beside = Caller(platform.kube, await platform.makes_namespace("stores"), platform.server_image)
    user = ["--user", ADMINISTRATOR, "on", f">{admin_password}", *RIGHTS.split()]
    models = [{"name": first}, {"name": second}]
    starts_redis = partial(stores.redis, beside, password, *user)
    redis, audio, traces, blue = await asyncio.gather(
        starts_redis(),
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
            networkPolicy={"metricsFrom": [{"namespaceSelector": {}}]},
            tenants={
                "playground": True, "tracing": {"endpoint": f"http://{traces.address}"},
                "trustedProxies": [await network_of(blue.caller)],
            },
        )  # fmt: skip
        limit = {"requestsPerMinute": MINUTE_LIMIT}
        _, acme = await asyncio.gather(
            sees_new_pods(blue, 2), platform.onboards_team("acme", first, schedule=fixed(2), quota=limit)
        )
    return Fleet(platform, redis, password, starts_redis, audio, traces, blue, second, acme, page_before, calls)


async def sees_new_pods(team: Team, count: int) -> None:
    """Wait for exactly so many pods, all ready, all made with the platform's new values.

    An upgrade reaches five tenants at a time, and is halted where two fail with it. Those may be anybody's: then the
    team changes its own spec, which rolls at once.
    """

    def new(pod: dict[str, Any]) -> bool:
        return any(each["name"] == ENDPOINT_OF_TRACES for each in pod["spec"]["containers"][0]["env"])

    async def there() -> bool:
        pods = await team.pods()
        return len(pods) == count and all(ready(pod) and new(pod) for pod in pods)

    async def there_or_halted() -> bool:
        return await there() or (await team.reads_condition("Programmed"))["reason"] == HALTED

    await eventually(there_or_halted, within_seconds=UPGRADE_SECONDS)
    if not await there():
        body = await team.kube.get(team.namespace, f"ttstenant/{team.name}")
        first, *others = body["spec"]["models"]
        await team.changes(models=[{**first, "aliases": ["rolls-now"]}, *others])
        await eventually(there, within_seconds=120)


async def sees_counting(team: Team, *, together: bool, within_seconds: float = 30) -> None:
    """Wait until the metrics of each pod say that it uses Redis, or that it counts alone."""
    addresses = [pod["status"]["podIP"] for pod in await team.pods()]

    async def counts() -> bool:
        said = await asyncio.gather(*(quota_store_up(team, address) for address in addresses))
        return all(line.endswith(" 1.0" if together else " 0.0") for line in said)

    await eventually(counts, within_seconds)


async def quota_store_up(team: Team, address: str) -> str:
    """Sample of the metric from one pod."""
    metrics = (await fetches(team, f"http://{address}:{METRICS_PORT}/metrics")).content.decode()
    return next((line for line in metrics.splitlines() if line.startswith("tts_quota_store_up{")), "")


async def page(team: Team) -> Answer:
    """Request `/`, as a browser does."""
    return await team.caller.ask(team.host, "/", "", None)


async def uid(team: Team) -> str:
    """UID of the team's TTSTenant."""
    return str((await team.kube.get(team.namespace, f"ttstenant/{team.name}"))["metadata"]["uid"])


async def network_of(caller: Caller) -> str:
    """The network that holds the caller's pod alone."""
    pod = await caller.kube.get(caller.namespace, f"pod/{CALLER}")
    return str(ip_network(pod["status"]["podIP"]))


async def secret_entry(team: Team, secret: str, entry: str) -> str:
    body = await team.kube.get(team.namespace, f"secret/{secret}")
    return base64.b64decode(body["data"][entry]).decode()
