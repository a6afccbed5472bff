"""Callers of an endpoint: a pod in the cluster that requests speech through the tenant's Service, as applications do.

A pod can reach a Service in every cluster; a port-forward would always lead to the same pod of the tenant.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from e2e.kube import Kube

NAME = "caller"
PYTHON = "/opt/ttsfleet/bin/python"
LONGEST_REQUEST_SECONDS = 30
SPEECH = "/v1/audio/speech"

# Sends one request and prints the response.
ASK = f"""
import base64, http.client, json, sys
host, path, key, body, more = sys.argv[1:6]
connection = http.client.HTTPConnection(host, timeout={LONGEST_REQUEST_SECONDS})
headers = {{"Content-Type": "application/json", **json.loads(more)}}
if key:
    headers["Authorization"] = "Bearer " + key
connection.request("POST" if body else "GET", path, body.encode() or None, headers)
response = connection.getresponse()
content = response.read()
print(json.dumps({{"status": response.status, "headers": {{k.lower(): v for k, v in response.getheaders()}},
                  "content": base64.b64encode(content).decode()}}))
"""

# Sends this many requests, four at a time, each on its own connection, and prints the status of each.
ASK_OFTEN = f"""
import concurrent.futures, http.client, json, sys
host, path, key, body, count = *sys.argv[1:5], int(sys.argv[5])
headers = {{"Content-Type": "application/json", "Authorization": "Bearer " + key}}

def ask(_):
    connection = http.client.HTTPConnection(host, timeout={LONGEST_REQUEST_SECONDS})
    connection.request("POST", path, body.encode(), headers)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status

with concurrent.futures.ThreadPoolExecutor(4) as callers:
    print(json.dumps(list(callers.map(ask, range(count)))))
"""

# Sends this many requests at the same time, and prints of each the status, the seconds until its first bytes of audio,
# and what went wrong.
ASK_AT_ONCE = """
import concurrent.futures, http.client, json, sys, time
host, path, key, body, count, timeout = *sys.argv[1:5], int(sys.argv[5]), float(sys.argv[6])
headers = {"Content-Type": "application/json", "Authorization": "Bearer " + key}

def ask(_):
    began = time.monotonic()
    try:
        connection = http.client.HTTPConnection(host, timeout=timeout)
        connection.request("POST", path, body.encode(), headers)
        response = connection.getresponse()
        content = response.read(64)
        heard = time.monotonic() - began
        content += response.read()
        return response.status, heard, "" if response.status == 200 else content.decode(errors="replace")[:300]
    except Exception as problem:
        return 0, time.monotonic() - began, repr(problem)

with concurrent.futures.ThreadPoolExecutor(count) as callers:
    print(json.dumps(list(callers.map(ask, range(count)))))
"""

# Sends a request every interval, each on its own connection and with the next key, until standard input ends. A slow
# request does not delay the next one. A first request, which does not count, must succeed before: pods can be ready
# before the node's rules for their Service are.
KEEP_CALLING = f"""
import http.client, json, sys, threading, time
host, path, keys, body, interval = *sys.argv[1:3], json.loads(sys.argv[3]), sys.argv[4], float(sys.argv[5])
stopping, lock = threading.Event(), threading.Lock()

def ask(key, timeout):
    headers = {{"Content-Type": "application/json", "Authorization": "Bearer " + key}}
    connection = http.client.HTTPConnection(host, 80, timeout=timeout)
    connection.request("POST", path, body.encode(), headers)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, content

def answered():
    try:
        return ask(keys[0], 2)[0] == 200
    except OSError:
        return False

def call(key):
    began, status, error, size = time.monotonic(), 0, "", 0
    since_start = began - started
    try:
        status, content = ask(key, {LONGEST_REQUEST_SECONDS})
        size, error = len(content), "" if status == 200 else content.decode(errors="replace")[:300]
    except Exception as problem:
        status, error = 0, repr(problem)
    with lock:
        print(json.dumps({{"status": status, "began": since_start, "seconds": time.monotonic() - began, "size": size,
                          "error": error}}), flush=True)

def wait_for_end():
    sys.stdin.read()
    stopping.set()

threading.Thread(target=wait_for_end, daemon=True).start()
while not answered() and not stopping.wait(0.1):
    pass
started, number, calls = time.monotonic(), 0, []
while not stopping.wait(max(0.0, started + number * interval - time.monotonic())):
    thread = threading.Thread(target=call, args=(keys[number % len(keys)],))
    thread.start()
    calls.append(thread)
    number += 1
for thread in calls:
    thread.join()
"""


@dataclass(frozen=True)
class Answer:
    """An endpoint's reply to one request."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def error(self) -> dict[str, Any]:
        """Error object in the body of a refusal."""
        return dict(json.loads(self.content)["error"])


@dataclass(frozen=True)
class Call:
    """Result of one of many requests."""

    status: int
    """Status of the response; 0 without a complete response."""
    began: float
    """Start, in seconds after the first request."""
    seconds: float
    error: str
    heard_at: float
    """Time of the result on this machine's monotonic clock."""


@dataclass
class Calls:
    """Results of constant calls so far."""

    all: list[Call] = field(default_factory=list)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def spoken(self) -> int:
        return sum(call.status == 200 for call in self.all)

    @property
    def failed(self) -> list[str]:
        """Descriptions of the requests that got no speech."""
        return [
            f"{call.status} at {call.began:.1f} s, after {call.seconds:.2f} s: {call.error}"
            for call in self.all
            if call.status != 200
        ]

    @property
    def slowest(self) -> Call:
        """Call that took longest."""
        return max(self.all, key=lambda call: call.seconds)

    async def see(self, count: int, status: int = 200, within_seconds: float = 30) -> Call:
        """Wait for `count` more answers with this status. Returns the last of them."""
        seen = len(self.all)

        def matching() -> list[Call]:
            return [call for call in self.all[seen:] if call.status == status]

        async with asyncio.timeout(within_seconds), self.news:
            await self.news.wait_for(lambda: len(matching()) >= count)
        return matching()[count - 1]


@dataclass(frozen=True)
class Caller:
    """Pod that sends requests."""

    kube: Kube
    namespace: str
    image: str

    async def start(self) -> None:
        """Start the pod. Returns once it runs; its image is the server's, which contains Python."""
        await self.kube.apply(pod(self.namespace, self.image))
        await self.kube.kubectl("wait", f"pod/{NAME}", "-n", self.namespace, "--for=condition=Ready", "--timeout=60s")

    async def ask(
        self, host: str, path: str, key: str, body: dict[str, Any] | None, headers: dict[str, str] | None = None
    ) -> Answer:
        """Send one request. Returns the response, whatever its status; raises KubectlError without one."""
        text = json.dumps(body) if body is not None else ""
        printed = json.loads(
            await self.kube.kubectl(*self._exec(), "-c", ASK, host, path, key, text, json.dumps(headers or {}))
        )
        return Answer(printed["status"], printed["headers"], base64.b64decode(printed["content"]))

    async def ask_often(self, host: str, key: str, body: dict[str, Any], count: int) -> Counter[int]:
        """Send this many requests for speech, four at a time. Returns the number of responses by status."""
        words = ["-c", ASK_OFTEN, host, SPEECH, key, json.dumps(body), str(count)]
        return Counter(json.loads(await self.kube.kubectl(*self._exec(), *words)))

    async def ask_at_once(
        self, host: str, key: str, body: dict[str, Any], count: int, timeout_seconds: float
    ) -> list[tuple[int, float, str]]:
        """Send requests for speech at the same time. Returns of each the status, 0 without one, the seconds until its
        first audio, and the error."""
        words = ["-c", ASK_AT_ONCE, host, SPEECH, key, json.dumps(body), str(count), str(timeout_seconds)]
        return [
            (status, heard, error)
            for status, heard, error in json.loads(await self.kube.kubectl(*self._exec(), *words))
        ]

    @asynccontextmanager
    async def keep_calling(
        self, host: str, keys: Sequence[str], body: dict[str, Any], requests_per_second: float
    ) -> AsyncIterator[Calls]:
        """Send requests until the block ends, and wait for the last answer; they begin once the endpoint answers."""
        calls = Calls()
        words = [
            "-c",
            KEEP_CALLING,
            host,
            SPEECH,
            json.dumps(list(keys)),
            json.dumps(body),
            str(1 / requests_per_second),
        ]
        process = await self.kube.start(*self._exec("-i"), *words)
        assert process.stdin is not None
        listening = asyncio.create_task(listen(process, calls))
        try:
            await calls.see(1, within_seconds=60)
            yield calls
        finally:
            process.stdin.close()
            async with asyncio.timeout(LONGEST_REQUEST_SECONDS + 15):
                await listening
                await process.wait()

    def _exec(self, *flags: str) -> list[str]:
        return ["exec", "-n", self.namespace, *flags, NAME, "--", PYTHON]


async def listen(process: asyncio.subprocess.Process, calls: Calls) -> None:
    """Record each line as a call."""
    assert process.stdout is not None
    async for line in process.stdout:
        told = json.loads(line)
        call = Call(told["status"], told["began"], told["seconds"], told["error"], time.monotonic())
        async with calls.news:
            calls.all.append(call)
            calls.news.notify_all()


def pod(namespace: str, image: str) -> dict[str, Any]:
    """Pod that waits for `kubectl exec`, under the strictest pod security."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": NAME, "namespace": namespace},
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": NAME,
                    "image": image,
                    "command": ["sleep", "infinity"],
                    "resources": {"requests": {"cpu": "20m", "memory": "32Mi"}},
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                }
            ],
        },
    }
