"""Measures the memory of the copies that the operator holds of 10,000 tenants, each with its children and one pod, and
of 210 foreign ConfigMaps of 900 kB with a tenant's label. The objects are what the builders of children make, with what
an API server adds: defaults, statuses, and a field set for each manager. No API server takes part.
"""

from __future__ import annotations

import copy
import gc
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.figures import Figure
from tests.support.operator_builders import observe, settle
from tests.support.resources import stored, tenant_body
from tts_operator.informer.indexer import Indexer
from tts_operator.objects.keys import Key
from tts_operator.objects.kinds import CONFIG_MAP, POD, kind_of

TENANTS = int(os.environ.get("CACHE_TENANTS", "10000"))
TENANTS_PER_NAMESPACE = 10
FOREIGN, FOREIGN_BYTES = 210, 900_000
DAY = {"preset": "DayNightWeekend", "timeZone": "Europe/Berlin"}
MEBIBYTE, KIBIBYTE = 2**20, 2**10


def measure() -> list[Figure]:
    indexer = Indexer()
    before = _resident_bytes()
    count, text_bytes, seconds = 0, 0, 0.0
    for line in _lines():
        text_bytes += len(line)
        started = time.process_time()
        body = json.loads(line)
        kind = kind_of(body["apiVersion"], body["kind"])
        indexer.put(kind, body)
        seconds += time.process_time() - started
        count += 1
    held = _resident_bytes() - before
    before = _resident_bytes()
    for number in range(FOREIGN):
        indexer.put(CONFIG_MAP, json.loads(_foreign(number)))
    foreign = _resident_bytes() - before
    return [
        Figure("objects", count, "", f"{TENANTS:,} tenants"),
        Figure("their JSON", text_bytes / MEBIBYTE, "MiB"),
        Figure("copies of all", held / MEBIBYTE, "MiB", "resident, above an empty process"),
        Figure("copies of one tenant", held / TENANTS / KIBIBYTE, "KiB"),
        Figure("time for each object", seconds / count * 1e6, "us", "parsed and indexed, CPU"),
        Figure(f"{FOREIGN} foreign ConfigMaps of 900 kB", foreign / MEBIBYTE, "MiB", "resident, above all others"),
    ]


def _resident_bytes() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _lines() -> Iterator[str]:
    """Every object, as the JSON of a watch."""
    template = json.dumps([_as_stored(body) for body in (*settle(observe(schedule=DAY)), _pod(), _tenant())])
    version = 0
    for number in range(TENANTS):
        key = Key(f"team-{number // TENANTS_PER_NAMESPACE}", f"tenant-{number}")
        text = template.replace("team-acme", key.namespace).replace("acme", key.name)
        for body in json.loads(text):
            version += 1
            body["metadata"]["resourceVersion"] = str(version)
            body["metadata"]["uid"] = f"{version:08x}-0000-4000-8000-{number:012x}"
            yield json.dumps(body)


def _tenant() -> dict[str, Any]:
    conditions = [
        {
            "type": type_,
            "status": "True",
            "reason": "AsSpecified",
            "message": "",
            "observedGeneration": 1,
            "lastTransitionTime": "2026-11-04T12:00:00Z",
        }
        for type_ in ("Accepted", "ModelsResolved", "Programmed", "Available", "ScalingActive", "Progressing", "Ready")
    ]
    body = tenant_body(schedule=DAY)
    status = {"conditions": conditions, "acceptedSpec": json.dumps(body["spec"]), "url": "http://acme.team-acme.svc"}
    return {**stored(body), "status": status}


def _pod() -> dict[str, Any]:
    deployment = next(child for child in settle(observe(schedule=DAY)) if child["kind"] == "Deployment")
    template = copy.deepcopy(deployment["spec"]["template"])
    ready = [
        {"type": type_, "status": "True", "lastTransitionTime": "2026-11-04T12:00:00Z", "lastProbeTime": None}
        for type_ in ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    ]
    container = {
        "name": "tts-server",
        "ready": True,
        "restartCount": 0,
        "image": "registry.example/tts-server:1",
        "imageID": f"registry.example/tts-server@sha256:{'0' * 64}",
        "containerID": f"containerd://{'0' * 64}",
        "state": {"running": {"startedAt": "2026-11-04T12:00:00Z"}},
        "lastState": {},
    }
    metadata = {**template["metadata"], "name": "acme-espeak-6d4cf56db6-x2x7v", "namespace": "team-acme"}
    return {
        "apiVersion": POD.api_version,
        "kind": POD.name,
        "metadata": metadata,
        "spec": template["spec"],
        "status": {"phase": "Running", "conditions": ready, "containerStatuses": [container], "podIP": "10.0.0.1"},
    }


def _as_stored(body: dict[str, Any]) -> dict[str, Any]:
    """The object with a field set for each of two managers."""
    entries = [
        {
            "manager": manager,
            "operation": operation,
            "apiVersion": body["apiVersion"],
            "time": "2026-11-04T12:00:00Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": _field_set(fields),
        }
        for manager, operation, fields in (
            ("tts-operator", "Apply", {name: part for name, part in body.items() if name in ("spec", "data")}),
            ("kube-controller-manager", "Update", {"status": body.get("status") or {}}),
        )
    ]
    return {**body, "metadata": {**body["metadata"], "managedFields": entries}}


def _field_set(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return {f"f:{name}": _field_set(part) for name, part in value.items()}
    if isinstance(value, list) and value and all(isinstance(each, dict) and "name" in each for each in value):
        return {f'k:{{"name":"{each["name"]}"}}': {".": {}, **_field_set(each)} for each in value}
    return {}


def _foreign(number: int) -> str:
    metadata = {
        "name": f"large-{number}",
        "namespace": "team-0",
        "uid": f"large-{number}",
        "resourceVersion": str(10**9 + number),
        "labels": {"ttsfleet.io/tenant": "tenant-0", "app.kubernetes.io/managed-by": "tts-operator"},
    }
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "x" * FOREIGN_BYTES}}
    return json.dumps(body)
