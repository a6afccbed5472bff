"""A fleet of tenants in an API server, with statuses as an operator writes them: for looks and tests of the console."""

from __future__ import annotations

import asyncio
import http.server
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tts_operator.api import Schedule
from tts_operator.calendar.calendar import state_at
from tts_operator.cluster.client import Cluster, Kubeconfig
from tts_operator.cluster.errors import Conflict
from tts_operator.objects.kinds import TENANT
from tts_operator.objects.labels import ROLLOUT, tenant_labels
from tts_operator.objects.manifest import Body, Manifest, Ref
from tts_operator.objects.names import API_VERSION

MAX_CONCURRENT_OBJECTS = 16
TEAMS = ("support", "lessons", "lab", "news", "games", "maps", "clinic", "bank", "travel", "radio")
ZONES = ("Asia/Shanghai", "Europe/Berlin", "America/New_York", "UTC")
OFFICE: dict[str, Any] = {
    "default": {"minReplicas": 1, "maxReplicas": 2},
    "windows": [
        {"name": "weekend", "days": ["Sat", "Sun"], "minReplicas": 0, "maxReplicas": 0},
        {"name": "peak", "start": "10:00", "end": "12:30", "minReplicas": 4, "maxReplicas": 8},
        {"name": "office", "start": "07:30", "end": "19:00", "minReplicas": 2, "maxReplicas": 6},
    ],
}
NIGHTLY: dict[str, Any] = {
    "default": {"minReplicas": 0},
    "windows": [{"name": "batch", "start": "22:00", "end": "04:00", "minReplicas": 3, "maxReplicas": 12}],
}
SCHEDULES: tuple[dict[str, Any] | None, ...] = ({"preset": "DayNightWeekend"}, OFFICE, NIGHTLY, None)
PROBLEMS = (
    ("ImagePullBackOff", "image registry.example/voices/amber:7 of TTSModel amber cannot be pulled: check the image."),
    ("KeysNotFound", "the Secret with API keys does not exist; create a key: kubectl tts keygen --tenant NAME"),
    ("Unschedulable", "0/12 nodes are available: free capacity, or lower the resource requests of the model."),
)
MODELS = ("kokoro", "espeak", "amber")


def models() -> Iterator[Body]:
    """Three models with voices."""
    voices = {
        "espeak": [{"name": "en-us", "languages": ["en"]}, {"name": "de", "languages": ["de"]}],
        "kokoro": [
            {"name": name, "languages": [language]}
            for name, language in (("heart", "en"), ("bella", "en"), ("michael", "en"), ("xiaoxiao", "zh"),
                                   ("yunxi", "zh"), ("dora", "es"), ("siwis", "fr"), ("alpha", "ja"))
        ],
        "amber": [{"name": "amber", "languages": ["en"]}],
    }  # fmt: skip
    for name in MODELS:
        yield {
            "apiVersion": API_VERSION,
            "kind": "TTSModel",
            "metadata": {"name": name},
            "spec": {
                "engine": "Espeak",
                "languages": sorted({each for voice in voices[name] for each in voice["languages"]}),
                "voices": voices[name],
                "sampleRateHz": 22050,
                "precisions": [{"name": "fp32", "resources": {"limits": {"cpu": "1", "memory": "448Mi"}}}],
            },
        }


def tenant(number: int, now: datetime) -> Body:
    """One tenant, by its number: its name, its schedule and its state follow from that."""
    team = TEAMS[number % len(TEAMS)]
    namespace, name = f"team-{team}", f"{team}-{number:04d}"
    schedule = SCHEDULES[number % 4]
    spec: dict[str, Any] = {
        "tier": ("VIP", "Basic", "Enterprise")[number % 3],
        "models": [{"name": MODELS[number % 3]}],
        "quota": {"requestsPerMinute": 60 + number % 7 * 10},
        **({"schedule": {"timeZone": ZONES[number % len(ZONES)], **schedule}} if schedule else {}),
    }
    return {
        "apiVersion": API_VERSION,
        "kind": "TTSTenant",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
        "status": status(number, spec, now),
    }


def status(number: int, spec: Body, now: datetime) -> dict[str, Any]:
    """Status of that tenant: every twentieth has a problem, every seventh rolls out or waits."""
    bad = PROBLEMS[number // 20 % len(PROBLEMS)] if number % 20 == 4 else None
    waits = number % 7 == 3 and bad is None
    schedule = Schedule.model_validate(spec["schedule"]) if "schedule" in spec else None
    state = state_at(schedule, now)
    low, high = state.bounds.min_replicas, state.bounds.max_replicas
    desired = min(low + number % 3, high)
    ready, well = 0 if bad else desired, "Ready" if desired else "ScaledToZero"
    since = (now - timedelta(minutes=7 * (number % 300) + 3)).isoformat().replace("+00:00", "Z")

    def condition(type_: str, value: str, reason: str, message: str = "") -> dict[str, Any]:
        return {"type": type_, "status": value, "reason": reason, "message": message,
                "lastTransitionTime": since, "observedGeneration": 1}  # fmt: skip

    queued = "Queued behind other tenants' rollouts; no action needed."
    rolling = condition("Progressing", "False", "Complete")
    if waits:
        rolling = condition("Progressing", "True", "WaitingForRollout", queued)
    return {
        "observedGeneration": 1,
        "runningGeneration": 1,
        "conditions": [
            condition("Accepted", "True", "AsSpecified"),
            condition("ModelsResolved", "True", "AsSpecified"),
            condition("Available", "False", *bad) if bad else condition("Available", "True", "AsSpecified"),
            condition("Ready", "False", *bad) if bad else condition("Ready", "True", well),
            rolling,
        ],
        "activeWindow": state.window,
        "pools": [{"model": spec["models"][0]["name"], "role": "Entry", "precision": "fp32", "min": low, "max": high,
                   "desired": desired, "ready": ready, **({"reason": bad[0]} if bad else {})}],
        "precision": "fp32",
        **({} if number % 3 == 1 else
           {"cost": {"hourly": f"{0.4 * desired:.2f}", "monthly": f"{210 * desired}.00",
                     "unscheduledMonthly": f"{292 * desired}.00"}}),
    }  # fmt: skip


def rollout(tenant_body: Body, change: str) -> Body:
    """Deployment of a tenant's pool that has just begun to roll out a change."""
    metadata = tenant_body["metadata"]
    name, model = metadata["name"], tenant_body["spec"]["models"][0]["name"]
    labels = tenant_labels(name)
    owner = {"apiVersion": API_VERSION, "kind": "TTSTenant", "name": name, "uid": metadata["uid"], "controller": True}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": f"{name}-{model}", "namespace": metadata["namespace"], "labels": labels,
                     "annotations": {ROLLOUT: change}, "ownerReferences": [owner]},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels},
                         "spec": {"containers": [{"name": "tts-server", "image": "example.invalid/tts-server"}]}},
        },
    }  # fmt: skip


def pod(tenant_body: Body, address: str, metrics_port: int) -> Body:
    """Ready pod of a tenant, whose metrics are served at this address. No node runs it."""
    metadata = tenant_body["metadata"]
    container = {"name": "tts-server", "image": "example.invalid/tts-server",
                 "ports": [{"name": "metrics", "containerPort": metrics_port}]}  # fmt: skip
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"{metadata['name']}-0", "namespace": metadata["namespace"],
                     "labels": tenant_labels(metadata["name"])},
        "spec": {"nodeName": "nowhere", "containers": [container]},
        "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}],
                   "conditions": [{"type": "Ready", "status": "True"}],
                   "containerStatuses": [{"name": "tts-server", "ready": True, "restartCount": 0, "image": "x",
                                          "imageID": "x", "started": True}]},
    }  # fmt: skip


def metrics(number: int) -> str:
    """Metrics of a pod, as `tts-server` writes them."""
    requests, refused, left = 140 + 37 * (number % 23), number * 7 % 11, 60 - number * 13 % 58
    lines = ["tts_entry_pool 1", f'tts_requests_total{{status_code="200"}} {requests}',
             f'tts_requests_total{{status_code="429"}} {refused}',
             f'tts_quota_remaining{{quota="requestsPerMinute"}} {left}',
             f'tts_quota_limit{{quota="requestsPerMinute"}} {60 + number % 7 * 10}']  # fmt: skip
    fast = requests * (0.97 - number % 5 * 0.04)
    for bound, count in (("0.25", fast * 0.6), ("0.5", fast), ("1.0", requests), ("+Inf", requests)):
        lines.append(f'tts_request_latency_seconds_bucket{{le="{bound}"}} {count}')
    return "\n".join(lines) + "\n"


def own_address() -> str:
    """Address of this machine that the API server may proxy to: it refuses loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing
        return str(probe.getsockname()[0])


@contextmanager
def serving(text: str, address: str) -> Iterator[int]:
    """Serve a text at every path. Yields the port."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer((address, 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()


async def put(kubeconfig: Path, bodies: Iterable[Body]) -> None:
    """Create objects with their statuses; those that exist get the status."""
    slots = asyncio.Semaphore(MAX_CONCURRENT_OBJECTS)
    async with await Cluster.connect(lambda: True, kubeconfig=Kubeconfig(str(kubeconfig))) as cluster:

        async def one(body: Body) -> None:
            async with slots:
                whole = {name: value for name, value in body.items() if name != "status"}
                with suppress(Conflict):
                    await cluster.create(Manifest.of(whole))
                if "status" in body:
                    ref = Manifest.of(whole).ref
                    live = await cluster.get(ref)
                    assert live is not None
                    await cluster.apply_status(ref, live["metadata"]["uid"], body["status"])

        await asyncio.gather(*(one(body) for body in bodies))


def namespaces() -> Iterator[Body]:
    """Namespaces of the teams."""
    for team in TEAMS:
        yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"team-{team}"}}


async def fleet(kubeconfig: Path, count: int) -> None:
    """Put models and so many tenants into an API server that has both resources."""
    now = datetime.now(UTC)
    await put(kubeconfig, namespaces())
    await put(kubeconfig, models())
    tenants = [tenant(number, now) for number in range(count)]
    await put(kubeconfig, tenants)
    async with await Cluster.connect(lambda: True, kubeconfig=Kubeconfig(str(kubeconfig))) as cluster:
        live = [
            await cluster.get(Ref.of(TENANT, each["metadata"]["namespace"], each["metadata"]["name"]))
            for each in tenants[:3]
        ]
    await put(kubeconfig, [rollout(each, "model/kokoro/3f2a") for each in live if each is not None])
