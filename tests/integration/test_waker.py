"""The waker as HTTP clients see it, with tenants and pods told to it directly."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx
import openai
import pytest
from aiohttp import web

from tests.support.waker_process import standing_for_a_pod
from tts_operator.clock import SystemClock
from tts_operator.cluster.client import Cluster
from tts_operator.telemetry.waker_metrics import WakerMetrics
from tts_operator.waker.budget import Budget, Limits
from tts_operator.waker.passing import Passer
from tts_operator.waker.server import Arrivals, Parts, TenantServer
from tts_operator.waker.tenants import Tenants
from tts_operator.waker.wakes import Wakes

SPEECH = "/v1/audio/speech"


class Asked:
    """Stands for the client of the API server: notes which replicas were asked for."""

    def __init__(self) -> None:
        self.statuses: list[tuple[str, str, Any]] = []
        self.asked = asyncio.Event()

    async def apply_status(self, ref: Any, uid: str, status: Any, manager: str) -> None:
        self.statuses.append((ref.name, uid, status))
        self.asked.set()
        assert manager == "tts-waker"


class Waker:
    """A waker in this process, with one tenant at its port."""

    def __init__(self, parts: Parts, port: int, asked: Asked) -> None:
        self.parts = parts
        self.port = port
        self.asked = asked

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def tells(self, uid: str = "uid", **waker: Any) -> None:
        """Record the tenant's status."""
        told = {"port": self.port, "atZero": True, "wakeOnRequest": True, "maxWaitSeconds": 20, **waker}
        body = {"metadata": {"namespace": "team", "name": "acme", "uid": uid}, "status": {"waker": told}}
        self.parts.arrivals.changed(self.parts.tenants.tenant_changed(body))

    def has_pods(self, *ports: int) -> None:
        """Record its ready pods."""
        for position, port in enumerate(ports):
            body = {
                "metadata": {
                    "namespace": "team",
                    "name": f"acme-{position}",
                    "labels": {"kubernetes.io/service-name": "acme"},
                },
                "endpoints": [{"addresses": ["127.0.0.1"]}],
                "ports": [{"name": "http", "port": port}],
            }
            self.parts.arrivals.changed(self.parts.tenants.slice_changed(body))


@asynccontextmanager
async def waker(
    limits: Limits | None = None, max_body_bytes: int = 10_000, passer: Passer | None = None
) -> AsyncIterator[Waker]:
    asked, passer, clock = Asked(), passer or Passer(), SystemClock()
    parts = Parts(
        Tenants(),
        Arrivals(),
        Wakes(cast("Cluster", asked), clock),
        passer,
        Budget(limits or Limits(200, 1_000_000, 1000, 10_000_000)),
        WakerMetrics(),
        clock,
        max_body_bytes,
    )
    server = TenantServer(parts).server
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    try:
        yield Waker(parts, listening.sockets[0].getsockname()[1], asked)
    finally:
        listening.close()
        await server.shutdown(1)
        await passer.close()


def client() -> httpx.AsyncClient:
    return httpx.AsyncClient(timeout=30)


async def echo(request: web.BaseRequest) -> web.StreamResponse:
    """Answers with what arrived."""
    body = (await request.read()).decode()
    seen = {"method": request.method, "path": request.raw_path, "headers": dict(request.headers), "body": body}
    return web.json_response(seen, headers={"X-Pod": "yes"})


async def until_held(one: Waker, count: int) -> None:
    while one.parts.budget.requests < count:  # noqa: ASYNC110 - the budget is pure, and knows no event loop
        await asyncio.sleep(0.01)


async def test_a_request_at_zero_is_held_asks_once_and_reaches_the_pod_whole() -> None:
    async with waker() as one, standing_for_a_pod(echo) as pod, client() as http:
        one.tells()
        headers = {"Authorization": "Bearer key", "X-Forwarded-For": "203.0.113.7", "Host": "acme.team.svc"}
        requests = [
            asyncio.create_task(http.post(f"{one.url}{SPEECH}?a=%2F", json={"input": str(n)}, headers=headers))
            for n in range(100)
        ]
        await until_held(one, 100)
        await one.asked.asked.wait()
        one.tells(atZero=False)
        one.has_pods(pod)
        answers = [await each for each in requests]
    assert {each.status_code for each in answers} == {200}
    assert [json.loads(each.json()["body"])["input"] for each in answers] == [str(n) for n in range(100)]
    seen = answers[0].json()
    assert (seen["method"], seen["path"]) == ("POST", f"{SPEECH}?a=%2F")
    assert seen["headers"]["Authorization"] == "Bearer key"
    assert seen["headers"]["Host"] == "acme.team.svc", "links to audio begin with it"
    assert seen["headers"]["X-Forwarded-For"] == "203.0.113.7, 127.0.0.1"
    assert answers[0].headers["X-Pod"] == "yes"
    assert answers[0].headers["Connection"] == "close", "the next request finds the pod by itself"
    (name, uid, status), *more = one.asked.statuses
    assert (name, uid, list(status)) == ("acme", "uid", ["wake"])
    assert more == [], "a hundred requests are one reason to wake"


async def test_an_answer_is_passed_on_as_it_comes() -> None:
    heard = asyncio.Event()

    async def speaks(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "audio/pcm"})
        await response.prepare(request)
        await response.write(b"first")
        await asyncio.wait_for(heard.wait(), 20)
        await response.write(b"second")
        return response

    async with waker() as one, standing_for_a_pod(speaks) as pod, client() as http:
        one.tells(atZero=False)
        one.has_pods(pod)
        async with http.stream("POST", f"{one.url}{SPEECH}", content=b"{}") as answer:
            chunks = []
            async for chunk in answer.aiter_raw():
                chunks.append(chunk)
                heard.set()
    assert chunks == [b"first", b"second"]


async def test_an_answer_that_breaks_off_never_ends_as_if_it_were_whole() -> None:
    async def dies(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first")
        assert request.transport is not None
        request.transport.abort()
        return response

    async with waker() as one, standing_for_a_pod(dies) as pod, client() as http:
        one.tells(atZero=False)
        one.has_pods(pod)
        broken = False
        try:
            await http.post(f"{one.url}{SPEECH}", content=b"{}")
        except httpx.TransportError:
            broken = True
    assert broken


async def test_a_pod_that_is_busy_or_gone_gets_the_request_again() -> None:
    """Many requests that waited reach a new pod at once: its 503 says that it has not begun."""
    answers = [503, 503, 200]

    async def busy(_request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=answers.pop(0))

    async with waker() as one, standing_for_a_pod(busy) as pod, client() as http:
        async with standing_for_a_pod(echo) as gone:
            pass
        one.tells(atZero=False)
        one.has_pods(pod, gone)
        assert (await http.post(f"{one.url}{SPEECH}", content=b"{}")).status_code == 200
    assert answers == []


async def test_without_permission_to_wake_the_answer_says_when_and_openai_s_client_understands_it() -> None:
    async with waker() as one:
        one.tells(wakeOnRequest=False, wakesAt="2126-11-05T05:00:00Z", timeZone="Europe/Berlin")
        caller = openai.AsyncOpenAI(base_url=f"{one.url}/v1", api_key="key", max_retries=0)
        try:
            await caller.audio.speech.create(model="tts-1", voice="alloy", input="Hello.")
        except openai.APIStatusError as error:
            refusal = error
        assert refusal.status_code == 503
        assert refusal.code == "scaled_to_zero"
        assert "2126-11-05 06:00 Europe/Berlin (2126-11-05 05:00 UTC)" in refusal.message
        assert int(refusal.response.headers["Retry-After"]) > 0
        assert refusal.response.headers["X-Request-ID"].startswith("req_")
        assert one.asked.statuses == []


async def test_probes_neither_wake_nor_wait() -> None:
    async with waker() as one, client() as http:
        one.tells()
        for path in ("/healthz", "/readyz", "/metrics", "/"):
            assert (await http.get(f"{one.url}{path}")).status_code == 503
        assert one.asked.statuses == []


async def test_a_request_is_held_for_as_long_as_the_tenant_says() -> None:
    async with waker() as one, client() as http:
        one.tells(maxWaitSeconds=1)
        answer = await http.post(f"{one.url}{SPEECH}", content=b"{}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "scaled_to_zero")
    assert answer.headers["Retry-After"] == "10"


async def test_a_caller_that_hangs_up_is_held_no_longer() -> None:
    async with waker() as one, client() as http:
        one.tells()
        request = asyncio.create_task(http.post(f"{one.url}{SPEECH}", content=b"{}"))
        await until_held(one, 1)
        request.cancel()
        await asyncio.wait({request})
        async with asyncio.timeout(10):
            while one.parts.budget.requests:  # noqa: ASYNC110 - the budget is pure, and knows no event loop
                await asyncio.sleep(0.01)


async def test_a_caller_that_does_not_read_its_answer_gives_its_place_back() -> None:
    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65_536)

    passer = Passer(write_seconds=0.5)
    async with waker(passer=passer) as one, standing_for_a_pod(endless) as pod:
        one.tells(atZero=False)
        one.has_pods(pod)
        _, writer = await asyncio.open_connection("127.0.0.1", one.port, limit=1024)
        writer.write(b"GET /v1/models HTTP/1.1\r\nHost: acme\r\n\r\n")
        await until_held(one, 1)
        async with asyncio.timeout(20):
            while one.parts.budget.requests:  # noqa: ASYNC110 - the budget is pure, and knows no event loop
                await asyncio.sleep(0.01)
        writer.transport.abort()


async def test_what_is_held_is_bounded_by_number_and_by_size() -> None:
    limits = Limits(tenant_requests=2, tenant_bytes=15_000, total_requests=10, total_bytes=100_000)
    async with waker(limits, max_body_bytes=10_000) as one, client() as http:
        one.tells()
        held = [asyncio.create_task(http.post(f"{one.url}{SPEECH}", content=b"x" * 7000)) for _ in range(2)]
        await until_held(one, 2)
        third = await http.post(f"{one.url}{SPEECH}", content=b"{}")
        assert (third.status_code, third.json()["error"]["code"]) == (503, "overloaded")
        held[0].cancel()
        await asyncio.wait({held[0]})
        while one.parts.budget.requests > 1:  # noqa: ASYNC110 - the budget is pure, and knows no event loop
            await asyncio.sleep(0.01)
        fat = await http.post(f"{one.url}{SPEECH}", content=b"x" * 8000)
        assert (fat.status_code, fat.json()["error"]["code"]) == (503, "overloaded")
        large = await http.post(f"{one.url}{SPEECH}", content=b"x" * 10_001)
        assert (large.status_code, large.json()["error"]["code"]) == (413, "body_too_large")
        held[1].cancel()
        await asyncio.wait(held)


async def test_headers_are_held_within_the_bytes_of_a_tenant() -> None:
    """A GET without a body holds memory, too, and needs no key."""
    limits = Limits(tenant_requests=100, tenant_bytes=100_000, total_requests=100, total_bytes=1_000_000)
    headers = {f"X-{number}": "x" * 8000 for number in range(3)}
    async with waker(limits) as one, client() as http:
        one.tells()
        held = [asyncio.create_task(http.get(f"{one.url}/v1/models", headers=headers)) for _ in range(2)]
        await until_held(one, 2)
        third = await http.get(f"{one.url}/v1/models", headers=headers)
        assert (third.status_code, third.json()["error"]["code"]) == (503, "overloaded")
        for each in held:
            each.cancel()
        await asyncio.wait(held)


async def test_headers_that_are_too_large_in_sum_are_refused() -> None:
    async with waker() as one, client() as http:
        one.tells(maxWaitSeconds=1)
        large = await http.get(f"{one.url}/v1/models", headers={f"X-{number}": "x" * 8000 for number in range(5)})
        assert (large.status_code, large.json()["error"]["code"]) == (431, "headers_too_large")
        many = await http.get(f"{one.url}/v1/models", headers={f"X-{number}": "x" for number in range(120)})
        assert many.status_code == 400


async def sent(port: int, head: str) -> bytes:
    """The answer to this head, byte by byte."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head.encode())
    try:
        return await asyncio.wait_for(reader.read(), 20)
    finally:
        writer.close()


@pytest.mark.parametrize(
    "target", ["CONNECT @127.0.0.1:{port}", "CONNECT 127.0.0.1:{port}", "GET http://127.0.0.1:{port}/", "OPTIONS *"]
)
async def test_no_target_of_a_proxy_leads_a_request_to_another_server(target: str) -> None:
    reached: list[str] = []

    async def foreign(request: web.BaseRequest) -> web.StreamResponse:
        reached.append(request.raw_path)
        return web.Response()

    async with waker() as one, standing_for_a_pod(echo) as pod, standing_for_a_pod(foreign) as elsewhere:
        one.tells(atZero=False)
        one.has_pods(pod)
        line = target.format(port=elsewhere)
        answer = await sent(one.port, f"{line} HTTP/1.1\r\nHost: acme\r\nAuthorization: Bearer key\r\n\r\n")
    assert reached == []
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 "), answer
    assert json.loads(body)["error"]["code"] == "invalid_request_target"


async def test_a_path_with_two_slashes_or_odd_characters_reaches_the_pod_unchanged() -> None:
    async with waker() as one, standing_for_a_pod(echo) as pod:
        one.tells(atZero=False)
        one.has_pods(pod)
        for target in ("//elsewhere.example/a", "/@elsewhere.example/a?b=//c?d@e", "/a%2Fb%zz?"):
            answer = await sent(one.port, f"GET {target} HTTP/1.1\r\nHost: acme\r\n\r\n")
            assert json.loads(answer.partition(b"\r\n\r\n")[2])["path"].rstrip("?") == target.rstrip("?"), answer


async def test_a_request_to_a_tenant_that_was_deleted_meanwhile_never_reaches_its_namesake() -> None:
    async with waker() as one, standing_for_a_pod(echo) as pod, client() as http:
        one.tells()
        request = asyncio.create_task(http.post(f"{one.url}{SPEECH}", content=b"{}"))
        await until_held(one, 1)
        one.tells(uid="another")  # nothing runs between this and the next line
        one.has_pods(pod)
        answer = await request
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unknown_endpoint")


async def test_a_request_before_the_tenant_s_status_was_read_waits_for_it() -> None:
    async with waker() as one, standing_for_a_pod(echo) as pod, client() as http:
        request = asyncio.create_task(http.post(f"{one.url}{SPEECH}", content=b"{}"))
        await until_held(one, 1)
        one.has_pods(pod)
        one.tells(atZero=False)
        assert (await request).status_code == 200


def test_a_waker_that_may_open_few_files_raises_its_limit_for_its_ports() -> None:
    """Each port is a file, and containers may start with a soft limit of 1024."""
    script = """
import asyncio, resource, sys
from tts_operator.waker.run import _listening, allow_many_files

class Tenants:
    server = asyncio.Protocol

async def listen():
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    allow_many_files()
    async with _listening(Tenants(), [0] * 200):
        print("listening")

asyncio.run(listen())
"""
    run = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True, timeout=60)
    assert run.stdout == "listening\n", run.stderr
