"""`make demo`: set up a cluster, the operator, models and tenants, and request speech from their endpoints."""

from __future__ import annotations

import argparse
import json
import math
import shlex
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hack.cluster import binaries, choice
from hack.cluster.commands import run
from hack.cluster.errors import ClusterError, CommandError
from hack.cluster.progress import about, say, step

EXAMPLES = binaries.ROOT / "examples"
CHART = binaries.ROOT / "charts" / "ttsfleet"
SYSTEM_NAMESPACE = "ttsfleet-system"
RELEASE = "ttsfleet"
OPERATORS = "app.kubernetes.io/name=tts-operator"
NAMESPACE, TENANT = "team-acme", "acme"
API_KEY = "tts-demo-only-not-a-secret"
"""API key whose hash is published in examples/tenant.yaml."""
SENTENCE = "Hello from the fleet. This endpoint belongs to team Acme, and so does this voice."
WAV = choice.BUILD / "demo.wav"
FULL_SCALE = 32768


@dataclass(frozen=True)
class Neural:
    """A tenant of examples/ whose endpoint speaks with a neural voice of the server image."""

    name: str
    """Name of the model, of the tenant and of its recording; its namespace is `team-` and this."""
    text: str


NEURAL = (
    Neural("heart", "The second team speaks with a neural voice."),
    Neural("kokoro", "The third team speaks two languages. 你好，欢迎使用语音服务。"),
)


@dataclass(frozen=True)
class Recording:
    """Properties of a WAV file of 16-bit samples."""

    seconds: float
    sample_rate_hz: int
    loudness_dbfs: float
    """Root mean square, relative to a full-scale square wave; silence is -inf."""


def main() -> int:
    argparse.ArgumentParser(prog="python -m hack.demo", description=__doc__).parse_args()
    started = time.monotonic()
    try:
        ending = demo()
    except ClusterError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    say(f"\nDone in {time.monotonic() - started:.0f} s. {ending}")
    return 0


def demo() -> str:
    """Run every step. Returns a sentence on how to remove what it made; raises ClusterError, which says what to do."""
    cluster = choice.choose("demo")
    say(f"1. Start a cluster, {cluster.description}, and build both images from their Dockerfiles")
    say(f"   ({about(max(cluster.expected_seconds(), 1))} on two slow cores)")
    with ThreadPoolExecutor(max_workers=1) as beside:
        images = beside.submit(
            cluster.build_images
        )  # mostly waits for the network, while the cluster's build waits for compilers
        cluster.up()
        images.result()
    kube = Kube(cluster.kubeconfig)
    say("2. Load the images into the cluster")
    references = cluster.images()
    say("3. Install the Helm chart")
    with step(f"helm upgrade --install {RELEASE}", 20):
        install(kube, references, {"tenants": {"playground": True}})
    say("4. Apply a model and a tenant from examples/")
    # Server-side: otherwise the first API key that is added server-side would remove the example's key from the Secret.
    files = ("-f", EXAMPLES / "model-espeak.yaml", "-f", EXAMPLES / "tenant.yaml")
    kube.kubectl("apply", "--server-side", "--force-conflicts", *files)
    with step(f"waiting for ttstenant/{TENANT} to be Ready", 30):
        wait_ready(kube)
    say(f"5. Request speech from the Service {NAMESPACE}/{TENANT}, with an API key")
    with step("synthesizing", 3), kube.forwarded(NAMESPACE, f"service/{TENANT}", 80) as port:
        WAV.parent.mkdir(exist_ok=True)
        WAV.write_bytes(speak(port))
    report(WAV)
    say("6. Apply two neural voices of the server image from examples/, each with a tenant that speaks with it")
    for each in NEURAL:
        speak_neurally(kube, each)
    say("7. List the objects that exist now\n")
    say(kube.kubectl("get", "ttsmodels,ttstenants", "--all-namespaces"))
    children = "deployments,pods,services,hpa,poddisruptionbudgets,networkpolicies,configmaps,serviceaccounts"
    say(kube.kubectl("get", children, "--namespace", NAMESPACE, "--selector", f"ttsfleet.io/tenant={TENANT}"))
    say("To look around, in any folder:\n")
    say(commands(cluster.kubeconfig))
    say(f"\nThe playground is then at http://localhost:8080/ and takes the key {API_KEY}.")
    return cluster.ending


def speak_neurally(kube: Kube, neural: Neural) -> None:
    """Apply the model and the tenant, and save what the tenant's endpoint says."""
    namespace = f"team-{neural.name}"
    files = ("-f", EXAMPLES / f"model-{neural.name}.yaml", "-f", EXAMPLES / f"tenant-{neural.name}.yaml")
    kube.kubectl("apply", "--server-side", "--force-conflicts", *files)
    with step(f"waiting for ttstenant/{neural.name} to be Ready", 30):
        wait_ready(kube, namespace, neural.name)
    wav = choice.BUILD / f"demo-{neural.name}.wav"
    with step("synthesizing", 5), kube.forwarded(namespace, f"service/{neural.name}", 80) as port:
        wav.write_bytes(speak(port, neural.text))
    report(wav)


def report(wav: Path) -> None:
    """Say what a recording is. Raises ClusterError if it is not speech."""
    recording = examine(wav.read_bytes())
    say(
        f"   {wav.relative_to(binaries.ROOT)}: {recording.seconds:.2f} s of audio at {recording.sample_rate_hz} Hz, "
        f"loudness {recording.loudness_dbfs:.1f} dBFS"
    )
    if recording.seconds < 1 or recording.loudness_dbfs < -50:
        raise ClusterError(f"{wav.name} is not speech: it is too short or too quiet")


def commands(kubeconfig: Path) -> str:
    """Commands for a shell in any folder: they choose the cluster, find kubectl and its plugin, and request speech."""
    path = f"{binaries.BIN}:{binaries.ROOT / '.venv' / 'bin'}"
    body = json.dumps({"model": "tts-1", "voice": "alloy", "input": "Hello from the fleet.", "response_format": "wav"})
    return f"""\
export KUBECONFIG={shlex.quote(str(kubeconfig.resolve()))} PATH={shlex.quote(path)}:$PATH
kubectl get ttst --all-namespaces
kubectl -n {NAMESPACE} port-forward service/{TENANT} 8080:80 &
curl -sS --fail-with-body --retry 120 --retry-delay 1 --retry-connrefused -o hello.wav \\
  http://localhost:8080/v1/audio/speech -H 'Authorization: Bearer {API_KEY}' \\
  -H 'Content-Type: application/json' -d '{body}'"""


@dataclass(frozen=True)
class Kube:
    """Runs kubectl and helm on one cluster."""

    kubeconfig: Path

    def kubectl(self, *arguments: str | Path, timeout_seconds: float = 180) -> str:
        return run([*self._kubectl(), *arguments], timeout_seconds=timeout_seconds)

    def helm(self, *arguments: str | Path) -> str:
        program = binaries.ensure(binaries.HELM)["helm"]
        home = choice.BUILD / "helm"  # otherwise helm writes to the developer's configuration and cache
        environment = {f"HELM_{kind}_HOME": str(home / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}
        return run([program, "--kubeconfig", self.kubeconfig, *arguments], environment=environment)

    @contextmanager
    def forwarded(self, namespace: str, target: str, port: int) -> Iterator[int]:
        """Forward a local port to `target`, which works on every kind of cluster."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            local = probe.getsockname()[1]
        command = [*self._kubectl(), "--namespace", namespace, "port-forward", target, f"{local}:{port}"]
        with subprocess.Popen(
            [str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            try:
                assert process.stdout is not None
                first = process.stdout.readline()  # "Forwarding from ...": the port is open
                if not first.startswith("Forwarding"):
                    raise CommandError(f"kubectl port-forward {target}: {first.strip()}")
                yield local
            finally:
                process.terminate()

    def _kubectl(self) -> list[str | Path]:
        return [binaries.ensure(binaries.CLIENTS)["kubectl"], "--kubeconfig", self.kubeconfig]


def install(kube: Kube, references: dict[str, str], values: Mapping[str, Any] | None = None) -> None:
    """Install or upgrade the chart with the images that the cluster has, and wait for the operator.

    `values` are keyed by their first names; all others get the chart's defaults, whatever they were before.
    """
    settings = []
    for value, image in (("image", "tts-operator"), ("serverImage", "tts-server")):
        repository, _, tag = references[image].rpartition(":")
        settings += ["--set-string", f"{value}.repository={repository}", "--set-string", f"{value}.tag={tag}"]
    for name, value_of in (values or {}).items():
        settings += ["--set-json", f"{name}={json.dumps(value_of)}"]
    where = ("--namespace", SYSTEM_NAMESPACE)
    kube.helm("upgrade", "--install", RELEASE, CHART, *where, "--create-namespace", *settings)
    try:
        kube.kubectl("rollout", "status", f"deployment/{RELEASE}", *where, "--timeout=120s")
    except CommandError as error:
        pods = json.loads(kube.kubectl("get", "pods", *where, "--selector", OPERATORS, "--output=json"))["items"]
        words = [kube.kubectl("get", "pods", *where), *reasons(pods)]
        with suppress(CommandError):  # a container that never started has no log
            words += ["The end of its log:", kube.kubectl("logs", f"deployment/{RELEASE}", *where, "--tail=15")]
        raise ClusterError("\n".join(["the operator does not become ready:", *words])) from error


def reasons(pods: Sequence[Mapping[str, Any]]) -> list[str]:
    """Reasons why containers do not run, each once."""
    waiting = [
        each["state"]["waiting"]
        for pod in pods
        for each in pod.get("status", {}).get("containerStatuses", [])
        if "waiting" in each["state"]
    ]
    return list(dict.fromkeys(": ".join(filter(None, map(each.get, ("reason", "message")))) for each in waiting))


def wait_ready(kube: Kube, namespace: str = NAMESPACE, name: str = TENANT) -> None:
    """Wait until the tenant is Ready. Raises ClusterError with the tenant's conditions if it does not become Ready."""
    tenant = f"ttstenant/{name}"
    try:
        kube.kubectl("wait", tenant, "--namespace", namespace, "--for=condition=Ready", "--timeout=150s")
    except CommandError as error:
        status = json.loads(kube.kubectl("get", tenant, "--namespace", namespace, "--output=json")).get("status", {})
        words = [
            f"  {condition['type']}={condition['status']} {condition['reason']}: {condition['message']}"
            for condition in status.get("conditions", [])
        ]
        raise ClusterError("\n".join([f"{tenant} is not Ready:", *(words or [f"  {error}"])])) from error


def speak(port: int, text: str = SENTENCE) -> bytes:
    """Request a text as a WAV file, through the OpenAI-compatible route."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/audio/speech",
        data=json.dumps({"model": "tts-1", "voice": "alloy", "input": text, "response_format": "wav"}).encode(),
        headers={"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return bytes(response.read())
    except urllib.error.HTTPError as error:
        raise ClusterError(f"the endpoint answered {error.code}: {error.read().decode(errors='replace')}") from error
    except OSError as error:
        raise ClusterError(f"the endpoint does not answer: {error}") from error


def examine(wav: bytes) -> Recording:
    """Measure mono 16-bit PCM. A streamed file does not state its length: its data lasts to the end."""
    if wav[:4] != b"RIFF" or wav[8:12] != b"WAVE":
        raise ClusterError(f"the endpoint sent {len(wav)} bytes that are not a WAV file")
    sample_rate_hz, start = 0, 12
    while start + 8 <= len(wav):
        kind, size = wav[start : start + 4], int.from_bytes(wav[start + 4 : start + 8], "little")
        if kind == b"fmt ":
            sample_rate_hz = int.from_bytes(wav[start + 12 : start + 16], "little")
        if kind == b"data":
            data = wav[start + 8 : start + 8 + size]
            samples = memoryview(data[: len(data) // 2 * 2]).cast("h")
            power = sum(sample * sample for sample in samples) / max(1, len(samples))
            loudness = 20 * math.log10(math.sqrt(power) / FULL_SCALE) if power else -math.inf
            return Recording(len(samples) / sample_rate_hz, sample_rate_hz, loudness)
        start += 8 + size + size % 2
    raise ClusterError("the WAV file that the endpoint sent has no data")


if __name__ == "__main__":
    sys.exit(main())
