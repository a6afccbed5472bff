"""Commands of the plugin that change a fleet or listen to it, beside a real API server and a real tts-server.

There is no kubelet, so that a program stands for `kubectl port-forward`, and for nothing else of kubectl.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import secrets
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack.cluster.binaries import CONTROL_PLANE, ensure
from hack.cluster.control_plane import ControlPlane
from tests.support.control_planes import install_crds
from tests.support.resources import model_body, tenant_body
from tests.support.server_process import Running, espeak_alone, running
from tts_operator.cli.kubectl_tts import main
from tts_operator.fleet import pod_metrics
from tts_operator.objects.keys import Key
from tts_operator.objects.labels import MANAGED_BY, TENANT_LABEL

KEY = "tts_a-key-of-this-test"
MANY = 1000
MOST_SECONDS = 2.0
FORWARDER = """#!{python}
import os, socket, sys, threading
if sys.argv[1] != "port-forward":
    os.execv({kubectl!r}, [{kubectl!r}, *sys.argv[1:]])
listening = socket.create_server(("127.0.0.1", 0))
print(f"Forwarding from 127.0.0.1:{{listening.getsockname()[1]}} -> 8080", flush=True)
def pump(one, other):
    while part := one.recv(65536):
        other.sendall(part)
    other.shutdown(socket.SHUT_WR)
while True:
    caller, _ = listening.accept()
    server = socket.create_connection(("127.0.0.1", {port}))
    for pair in ((caller, server), (server, caller)):
        threading.Thread(target=pump, args=pair, daemon=True).start()
"""


@pytest.fixture(scope="module")
def plane(control_plane: ControlPlane) -> ControlPlane:
    install_crds(control_plane)
    return control_plane


@pytest.fixture
def namespace(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Namespace of a team with kubectl on its PATH."""
    name = f"team-{secrets.token_hex(4)}"
    plane.kubectl("create", "namespace", name)
    monkeypatch.setenv("PATH", f"{ensure(CONTROL_PLANE)['kubectl'].parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("KUBECONFIG", str(plane.kubeconfig))
    yield name
    plane.kubectl("delete", "ttstenants", "--all", "-n", name)


def apply(plane: ControlPlane, *bodies: dict[str, Any]) -> None:
    plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=yaml.safe_dump_all(bodies))


def set_status(plane: ControlPlane, resource: str, name: str, status: dict[str, Any], *where: str) -> None:
    change = json.dumps({"status": status})
    plane.kubectl("patch", resource, name, *where, "--subresource=status", "--type=merge", f"--patch={change}")


def told(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    """Standard output of a command."""
    found = main(arguments)
    out, err = capsys.readouterr()
    assert found == status, err
    return out if status == 0 else err


def test_keys_are_listed_by_name_created_and_revoked(
    plane: ControlPlane, namespace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    apply(plane, tenant_body(key=Key(namespace, "acme")))
    where = ("acme", "-n", namespace)
    assert "acme has no key, so every request is refused; make one" in told(capsys, "keys", "list", *where)
    laptop = told(capsys, "keys", "create", *where, "--name=laptop").strip()
    told(capsys, "keys", "create", *where, "--name=ci")
    plain = json.dumps({"stringData": {"leaked": "a-key-in-plain-text-1"}})
    plane.kubectl("patch", "secret", "acme-keys", "-n", namespace, "--type=merge", f"--patch={plain}")
    listed = told(capsys, "keys", "list", *where, "-o", "json")
    assert [(each["name"], each["state"]) for each in json.loads(listed)] == [
        ("ci", "usable"),
        ("laptop", "usable"),
        ("leaked", "plain text"),
    ]
    assert laptop not in listed
    assert hashlib.sha256(laptop.encode()).hexdigest() not in listed
    assert told(capsys, "keys", "revoke", *where[:1], "laptop", *where[1:]) == (
        "acme no longer takes the key laptop; 2 left\n"
    )
    secret = json.loads(plane.kubectl("get", "secret", "acme-keys", "-n", namespace, "-o", "json"))
    assert secret["data"].keys() == {"ci", "leaked"}
    refused = told(capsys, "keys", "revoke", "acme", "laptop", "-n", namespace, status=1)
    assert refused == "error: the Secret acme-keys has no key named laptop; its keys are ci, leaked\n"


def test_a_tenant_is_suspended_and_resumed(
    plane: ControlPlane, namespace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    apply(plane, tenant_body(key=Key(namespace, "acme")))

    def suspended() -> str:
        return plane.kubectl("get", "ttst", "acme", "-n", namespace, "-o", "jsonpath={.spec.suspend}")

    assert "acme is not suspended" in told(capsys, "resume", "acme", "-n", namespace)
    assert "acme is suspended: its replicas end" in told(capsys, "suspend", "acme", "-n", namespace)
    assert suspended() == "true"
    assert "acme is suspended already" in told(capsys, "suspend", "acme", "-n", namespace)
    assert "acme is resumed" in told(capsys, "resume", "acme", "-n", namespace)
    assert suspended() == "false"


def test_rollouts_are_shown_paused_and_resumed(
    plane: ControlPlane, namespace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"model-{secrets.token_hex(4)}"
    body = {**model_body(), "metadata": {"name": name}}
    body["spec"]["license"] = "Apache-2.0"
    apply(plane, body, tenant_body(key=Key(namespace, "acme")))
    since = {"lastTransitionTime": "2026-11-30T12:00:00Z", "observedGeneration": 1}
    waits = {"type": "Progressing", "status": "True", "reason": "WaitingForRollout", "message": "2 before it", **since}
    pool = {"model": name, "role": "Entry", "precision": "fp32", "min": 1, "max": 1, "desired": 1, "ready": 1}
    set_status(plane, "ttst", "acme", {"conditions": [waits], "pools": [pool]}, "-n", namespace)
    rolls = {"type": "RolledOut", "status": "False", "reason": "RollingOut", "message": "1 of 3", **since}
    set_status(plane, "ttsm", name, {"conditions": [rolls], "tenants": 3, "updatedTenants": 1})

    def mode() -> str:
        metadata = json.loads(plane.kubectl("get", "ttsm", name, "-o", "json"))["metadata"]
        return str(metadata.get("annotations", {}).get("ttsfleet.io/rollout-mode", ""))

    shown = told(capsys, "rollout", "status", name)
    assert f"{name}   Auto   1/3       False        RollingOut   1 of 3" in shown
    assert [line.split() for line in shown.splitlines()[-1:]] == [
        [namespace, "acme", "WaitingForRollout", "2", "before", "it"]
    ]
    assert f"no further tenant starts a change of {name}" in told(capsys, "rollout", "pause", name)
    assert mode() == "Paused"
    assert "Paused" in told(capsys, "rollout", "status")
    assert "a few tenants at a time" in told(capsys, "rollout", "resume", name)
    assert mode() == ""
    assert "there is no TTSModel nowhere" in told(capsys, "rollout", "pause", "nowhere", status=1)
    voices = json.loads(told(capsys, "voices", "--model", name, "-n", namespace, "-o", "json"))
    assert {voice["license"] for voice in voices} == {"Apache-2.0"}
    assert voices[0]["listen"].startswith("kubectl tts say acme ")
    plane.kubectl("delete", "ttsm", name)


def test_a_cluster_is_checked(plane: ControlPlane, namespace: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "-o", "json"]) == 3
    lines = {line["subject"]: line for line in json.loads(capsys.readouterr().out)}
    assert lines["Kubernetes"]["result"] == lines["CRD ttstenants"]["result"] == "ok"
    assert lines["operator"]["result"] == "fail"
    user = f"reader-{namespace}"
    kubeconfig = plane.kubeconfig_for(user, user)
    assert main(["check", "-o", "json", f"--kubeconfig={kubeconfig}"]) == 0
    lines = {line["subject"]: line for line in json.loads(capsys.readouterr().out)}
    assert lines["operator"]["message"].startswith("you may not read this")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server whose only key is KEY; it allows few requests."""
    folder = tmp_path_factory.mktemp("server")
    keys = folder / "keys"
    keys.mkdir()
    (keys / "laptop").write_text(hashlib.sha256(KEY.encode()).hexdigest())
    quota = folder / "quota.json"
    quota.write_text(json.dumps({"requestsPerMinute": 3}))
    auth = {"modes": ["APIKey"], "keysDirectory": str(keys)}
    flags = (espeak_alone(folder, auth=auth, tenant="acme"), f"--quota={quota}", "--host=0.0.0.0")
    with running(folder, *flags) as found:
        yield found


@pytest.fixture
def forwarded(server: Running, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Namespace in which `kubectl port-forward` leads to the server."""
    program = tmp_path / "bin" / "kubectl"
    program.parent.mkdir()
    kubectl = str(ensure(CONTROL_PLANE)["kubectl"])
    program.write_text(FORWARDER.format(python=sys.executable, kubectl=kubectl, port=server.port))
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("TTS_API_KEY", raising=False)
    return namespace


def test_a_tenant_speaks_until_its_limit(
    plane: ControlPlane,
    forwarded: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    apply(plane, tenant_body(key=Key(forwarded, "acme")))
    pool = {"model": "espeak", "role": "Entry", "precision": "fp32", "min": 1, "max": 1, "desired": 1, "ready": 0}
    set_status(plane, "ttst", "acme", {"pools": [pool]}, "-n", forwarded)
    file = tmp_path / "out.wav"
    say = ("say", "acme", "Good morning.", "-n", forwarded, "-o", str(file))
    assert "acme asks for an API key" in told(capsys, *say, status=1)
    monkeypatch.setenv("TTS_API_KEY", KEY)
    assert "acme has no ready replica; kubectl tts why acme" in told(capsys, *say, status=4)
    set_status(plane, "ttst", "acme", {"pools": [{**pool, "ready": 1}]}, "-n", forwarded)
    assert "answered 401 (invalid_api_key)" in told(capsys, *say, "--key=wrong", status=1)
    assert not file.exists()
    assert main(say) == 0
    assert "bytes of wav in " in capsys.readouterr().err
    assert file.read_bytes()[:4] == b"RIFF"
    assert list(tmp_path.glob(".*.part")) == []
    for _ in range(4):
        status = main([*say[:-2], "-o", str(tmp_path / "more.mp3")])
        said = capsys.readouterr().err
    assert status == 4
    assert "answered 429 (rate_limit_exceeded)" in said
    assert "Try again in " in said


def own_address() -> str:
    """Address of this machine to which the API server's proxy may connect: not a loopback one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("10.255.255.255", 1))
        return str(probe.getsockname()[0])


def test_top_reads_pods_through_the_api_server(
    plane: ControlPlane,
    namespace: str,
    server: Running,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pod_metrics, "METRICS_PORT", server.metrics_port)
    labels = {TENANT_LABEL: "acme", MANAGED_BY: "tts-operator"}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "acme-1", "namespace": namespace, "labels": labels},
        "spec": {"containers": [{"name": "tts-server", "image": "example.invalid/tts-server:1"}]},
    }
    apply(plane, tenant_body(key=Key(namespace, "acme")), pod)
    address = own_address()
    set_status(
        plane, "pod", "acme-1", {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}, "-n", namespace
    )
    top = ("top", "-n", namespace, "--once", "--interval=0.5")
    assert main([*top, "-o", "json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    (found,) = json.loads(out)
    assert (found["requestsPerSecond"], found["p95Seconds"], found["inFlight"]) == (0, None, 0)
    assert found["ready"] is False
    user = f"reader-{namespace}"
    plane.kubectl("create", "role", user, "--verb=get,list", "--resource=ttstenants.ttsfleet.io", "-n", namespace)
    plane.kubectl("create", "rolebinding", user, f"--role={user}", f"--user={user}", "-n", namespace)
    limited = told(capsys, *top, f"--kubeconfig={plane.kubeconfig_for(user, user)}")
    assert limited.splitlines()[-1] == "Metrics are missing: you may not list pods here."


def test_a_thousand_tenants_are_shown_in_two_seconds(plane: ControlPlane, namespace: str) -> None:
    bodies = [tenant_body(key=Key(namespace, f"t{number:04}")) for number in range(MANY)]
    plane.kubectl("create", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": bodies}))
    command = [sys.executable, "-m", "tts_operator.cli.kubectl_tts", "status", "-n", namespace]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    elapsed, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    assert f"{MANY} tenants; 0 ready" in done.stdout
    # Processor time of the plugin and of kubectl: the machine may be busy with other tests.
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"status of {MANY} tenants: {seconds:.2f} s of a processor, {elapsed:.2f} s by the clock")
    assert seconds < MOST_SECONDS


def test_the_plugin_leaves_no_key_in_the_cluster(
    plane: ControlPlane, forwarded: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Given a key for one request, when the endpoint refuses the request, it is revoked all the same."""
    apply(plane, tenant_body(key=Key(forwarded, "acme")))
    said = told(
        capsys,
        *("say", "acme", "Hello.", "-n", forwarded, "--temporary-key", "--voice", "nobody", "--url=http://127.0.0.1:1"),
        *("-o", str(tmp_path / "a.mp3")),
        status=1,
    )
    assert "the connection to http://127.0.0.1:1 failed" in said
    secret = json.loads(plane.kubectl("get", "secret", "acme-keys", "-n", forwarded, "-o", "json"))
    assert not secret.get("data")
