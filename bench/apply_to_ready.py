"""Measures the time from `kubectl apply` of a tenant with one replica to its condition Ready, on a cluster that has the
images and a running operator. One tenant after the other; each is deleted before the next.

It starts the cluster if it does not run, as `make cluster` does, and leaves it running.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

from bench.figures import Figure, percentile
from hack.cluster import choice
from hack.demo import EXAMPLES, Kube, install

ROUNDS = 6
NAMESPACE = "team-bench"
MODEL = "espeak"


def measure() -> list[Figure]:
    cluster = choice.choose("bench")
    cluster.build_images()
    cluster.up()
    kube = Kube(cluster.kubeconfig)
    install(kube, cluster.images())
    kube.kubectl("apply", "-f", EXAMPLES / "model-espeak.yaml")
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    with tempfile.TemporaryDirectory() as folder:
        _apply(kube, Path(folder) / "namespace.json", namespace)
        try:
            seconds = [_apply_to_ready(kube, Path(folder), number) for number in range(ROUNDS)]
        finally:
            kube.kubectl("delete", "namespace", NAMESPACE)
    warm = seconds[1:]
    return [
        Figure("apply to Ready, warm, P50", percentile(warm, 50), "s", f"{len(warm)} tenants"),
        Figure("apply to Ready, warm, slowest", max(warm), "s"),
        Figure("apply to Ready, the first one", seconds[0], "s"),
    ]


def _apply_to_ready(kube: Kube, folder: Path, number: int) -> float:
    name = f"bench-{number}"
    tenant = {
        "apiVersion": "ttsfleet.io/v1alpha1",
        "kind": "TTSTenant",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"models": [{"name": MODEL}], "auth": {"modes": ["None"]}},
    }
    started = time.perf_counter()
    _apply(kube, folder / "tenant.json", tenant)
    where = (f"ttstenant/{name}", "--namespace", NAMESPACE)
    kube.kubectl("wait", *where, "--for=condition=Ready", "--timeout=120s")
    seconds = time.perf_counter() - started
    kube.kubectl("delete", *where)
    selector = f"ttsfleet.io/tenant={name}"
    kube.kubectl("wait", "pods", "--namespace", NAMESPACE, "--selector", selector, "--for=delete", "--timeout=120s")
    return seconds


def _apply(kube: Kube, file: Path, body: object) -> None:
    file.write_text(json.dumps(body), encoding="utf-8")
    kube.kubectl("apply", "-f", file)
