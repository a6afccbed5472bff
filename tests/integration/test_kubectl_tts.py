"""The plugin beside a real kubectl and a real API server."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from hack.cluster.binaries import CONTROL_PLANE, ensure
from hack.cluster.control_plane import ControlPlane
from hack.cluster.errors import CommandError
from tests.support.resources import tenant_body
from tests.support.tenant_files import PROBLEMS, SPAN, TENANT, WITHOUT_VALUES
from tts_operator.api.crd import definitions
from tts_operator.cli.kubectl_tts import main
from tts_operator.objects.keys import Key
from tts_operator.objects.labels import TENANT_LABEL


@pytest.fixture(scope="module")
def plane(control_plane: ControlPlane) -> ControlPlane:
    """The run's API server, with both resources and a team's namespace."""
    control_plane.kubectl(
        "apply", "--server-side", "--force-conflicts", "-f", "-", input=yaml.safe_dump_all(definitions())
    )
    control_plane.wait_established("ttsmodels.ttsfleet.io", "ttstenants.ttsfleet.io", "ttscalendars.ttsfleet.io")
    namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: team-acme}\n"
    control_plane.kubectl("apply", "-f", "-", input=namespace)
    return control_plane


def test_kubectl_finds_the_plugin(tmp_path: Path) -> None:
    (tmp_path / "tenant.yaml").write_text(TENANT)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    command = [str(ensure(CONTROL_PLANE)["kubectl"]), "tts", "schedule", "-f", "tenant.yaml", *SPAN]
    result = subprocess.run(
        command, env={**os.environ, "PATH": path}, cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert "2026-11-10T14:00:00Z   Tue 2026-11-10 22:00:00 +0800   night" in result.stdout


def test_a_reader_that_leaves_early_sees_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "tenant.yaml").write_text(TENANT)
    arguments = "schedule -f tenant.yaml --from 2026-01-01T00:00:00Z --to 2066-01-01T00:00:00Z"
    command = f"{sys.executable} -m tts_operator.cli.kubectl_tts {arguments} | head -1"
    result = subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert result.stdout.startswith("UTC ")
    assert result.stderr == ""


@pytest.mark.parametrize("tenant", [TENANT[TENANT.index("---") :], WITHOUT_VALUES], ids=["whole", "without values"])
def test_the_api_server_takes_the_file_that_the_plugin_takes(plane: ControlPlane, tenant: str) -> None:
    assert "acme" in plane.kubectl("apply", "--dry-run=server", "-f", "-", input=tenant)


@pytest.mark.parametrize("mistake", [name for name in PROBLEMS if name not in {"no tenant", "no YAML"}])
def test_the_api_server_refuses_what_the_plugin_refuses(plane: ControlPlane, tmp_path: Path, mistake: str) -> None:
    written, instead, _ = PROBLEMS[mistake]
    path = tmp_path / "tenant.yaml"
    path.write_text(TENANT[TENANT.index("---") :].replace(written, instead))
    assert main(["schedule", "-f", str(path)]) == 1
    with pytest.raises(CommandError, match=r"schedule|unknown field"):
        plane.kubectl("apply", "--dry-run=server", "-f", str(path))


@pytest.fixture
def namespace(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> str:
    """Namespace of a team that has kubectl on its PATH, and the plugin beside it."""
    name = f"team-{secrets.token_hex(4)}"
    plane.kubectl("create", "namespace", name)
    programs = (ensure(CONTROL_PLANE)["kubectl"].parent, Path(sys.executable).parent)
    monkeypatch.setenv("PATH", os.pathsep.join([*map(str, programs), os.environ["PATH"]]))
    monkeypatch.setenv("KUBECONFIG", str(plane.kubeconfig))
    return name


def onboard(plane: ControlPlane, namespace: str, name: str = "acme", auth: dict[str, object] | None = None) -> None:
    """Apply a TTSTenant."""
    body = tenant_body(key=Key(namespace, name), **({"auth": auth} if auth else {}))
    plane.kubectl("apply", "--server-side", "-f", "-", input=yaml.safe_dump(body))


def hashes(plane: ControlPlane, namespace: str, secret: str = "acme-keys") -> dict[str, str]:
    """Hash of each key in the Secret, by the name of the key."""
    stored = yaml.safe_load(plane.kubectl("get", "secret", secret, "-n", namespace, "-o", "yaml"))
    return {name: base64.b64decode(value).decode() for name, value in stored["data"].items()}


def sha256(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def test_the_same_line_twice_makes_two_keys(plane: ControlPlane, namespace: str) -> None:
    onboard(plane, namespace)
    line = f"kubectl tts keygen --tenant acme -n {namespace}"
    keys = [subprocess.run(["bash", "-c", line], check=True, capture_output=True, text=True) for _ in range(2)]
    assert set(hashes(plane, namespace).values()) == {sha256(key.stdout.strip()) for key in keys}
    assert len(hashes(plane, namespace)) == 2
    for key in keys:
        assert "Authorization: Bearer KEY" in key.stderr
        assert key.stdout.strip() not in key.stderr


@pytest.mark.parametrize("how", [["--server-side"], ["--server-side", "--field-manager=kubectl-tts"], []], ids=str)
def test_a_key_leaves_those_in_place_that_were_applied(
    plane: ControlPlane, namespace: str, capsys: pytest.CaptureFixture[str], how: list[str]
) -> None:
    onboard(plane, namespace)
    first = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "acme-keys", "namespace": namespace}}
    manifest = yaml.safe_dump({**first, "stringData": {"first": sha256("one")}})
    plane.kubectl("apply", *how, "-f", "-", input=manifest)
    assert main(["keygen", "--tenant", "acme", "-n", namespace, "--name", "second"]) == 0
    key = capsys.readouterr().out.strip()
    assert hashes(plane, namespace) == {"first": sha256("one"), "second": sha256(key)}
    plane.kubectl("apply", *how, "-f", "-", input=manifest)
    assert hashes(plane, namespace).keys() == {"first", "second"}


def test_a_key_does_not_take_the_name_of_another(
    plane: ControlPlane, namespace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    onboard(plane, namespace)
    assert main(["keygen", "--tenant", "acme", "-n", namespace, "--name", "laptop"]) == 0
    before = hashes(plane, namespace)
    capsys.readouterr()
    assert main(["keygen", "--tenant", "acme", "-n", namespace, "--name", "laptop"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "has a key named laptop already; choose another --name" in err
    assert hashes(plane, namespace) == before
    plane.kubectl(*shlex.split(err.partition("revoke that key first: kubectl ")[2]))
    assert main(["keygen", "--tenant", "acme", "-n", namespace, "--name", "laptop"]) == 0
    assert hashes(plane, namespace) == {"laptop": sha256(capsys.readouterr().out.strip())}


def test_keys_that_are_made_at_once_are_all_kept(plane: ControlPlane, namespace: str) -> None:
    onboard(plane, namespace)
    command = [sys.executable, "-m", "tts_operator.cli.kubectl_tts", "keygen", "--tenant=acme", f"-n={namespace}"]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    keys = [process.communicate()[0].strip() for process in running]
    assert set(hashes(plane, namespace).values()) == {sha256(key) for key in keys}


def test_no_secret_is_made_that_no_tenant_reads(
    plane: ControlPlane, namespace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    onboard(plane, namespace, "open", {"modes": ["None"]})
    onboard(plane, namespace, "own", {"apiKeysSecretRef": {"name": "speech-keys"}})
    refused = {
        ("--tenant", "acme"): f"there is no TTSTenant acme in namespace {namespace}",
        ("--tenant", "open"): "the TTSTenant open takes no keys",
        ("--secret", "own-keys"): f"no TTSTenant in namespace {namespace} reads the Secret own-keys",
    }
    for wanted, message in refused.items():
        assert main(["keygen", *wanted, "-n", namespace]) == 1
        out, err = capsys.readouterr()
        assert (out, err.startswith(f"error: {message}")) == ("", True), err
    assert plane.kubectl("get", "secrets", "-n", namespace, "-o", "name") == ""
    for wanted_secret in (("--tenant", "own"), ("--secret", "speech-keys")):
        assert main(["keygen", *wanted_secret, "-n", namespace]) == 0
    assert plane.kubectl("get", "secrets", "-n", namespace, "-o", "name").split() == ["secret/speech-keys"]
    assert len(hashes(plane, namespace, "speech-keys")) == 2


def test_secrets_from_files_add_to_each_other(
    plane: ControlPlane, namespace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = set()
    for name in ("laptop", "ci"):
        assert main(["keygen", "--tenant", "acme", "--namespace", namespace, "--name", name, "-o", "yaml"]) == 0
        manifest = capsys.readouterr().out
        (flag,) = [word for word in manifest.split() if word.startswith("--field-manager=")]
        plane.kubectl("apply", "--server-side", flag, "-f", "-", input=manifest)
        kept.add(name)
    assert hashes(plane, namespace).keys() == kept


def schedule_of(plane: ControlPlane, namespace: str) -> dict[str, object] | None:
    stored = yaml.safe_load(plane.kubectl("get", "ttst", "acme", "-n", namespace, "-o", "yaml"))
    found: dict[str, object] | None = stored["spec"].get("schedule")
    return found


def test_an_override_is_set_over_a_calendar_and_ended(
    plane: ControlPlane, namespace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    calendar = {"timeZone": "Asia/Shanghai", "preset": "DayNightWeekend", "wakeOnRequest": False}
    body = tenant_body(key=Key(namespace, "acme"), schedule=calendar)
    plane.kubectl("apply", "--server-side", "-f", "-", input=yaml.safe_dump(body))
    command = ["override", "acme", "-n", namespace]
    assert main([*command, "--min=6", "--max=20", "--until=2099-11-30T18:00:00Z"]) == 0
    assert capsys.readouterr().out == (
        "acme has 6 to 20 replicas until 2099-11-30T18:00:00Z (Tue 02:00 Asia/Shanghai)\n"
    )
    override = {"minReplicas": 6, "maxReplicas": 20, "until": "2099-11-30T18:00:00Z"}
    assert schedule_of(plane, namespace) == {**calendar, "override": override}
    # The file in version control does not name it, and leaves it in place when it is applied again.
    plane.kubectl("apply", "--server-side", "-f", "-", input=yaml.safe_dump(body))
    assert schedule_of(plane, namespace) == {**calendar, "override": override}
    assert main([*command, "--clear"]) == 0
    assert schedule_of(plane, namespace) == calendar
    assert main([*command, "--clear"]) == 0
    assert capsys.readouterr().out == "acme follows its calendar again\nacme has no override\n"


def test_a_tenant_without_a_calendar_can_be_overridden(plane: ControlPlane, namespace: str) -> None:
    onboard(plane, namespace)
    assert main(["override", "acme", "-n", namespace, "--min=2", "--for=90m"]) == 0
    found = schedule_of(plane, namespace)
    assert found is not None
    assert found["default"] == {"minReplicas": 1}


def test_an_override_that_cannot_be_says_why(
    plane: ControlPlane, namespace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    onboard(plane, namespace)
    for arguments, problem in (
        (["nobody", "--min=2", "--for=1h"], f"there is no TTSTenant nobody in namespace {namespace}"),
        (["acme", "--for=1h"], "--min is required; end an override with --clear"),
        (["acme", "--min=3", "--max=2", "--for=1h"], "--max 2 is less than --min 3"),
        (["acme", "--min=3", "--clear"], "--clear takes neither --min nor --max"),
        (["acme", "--min=3", "--until=2001-01-01T00:00:00Z"], "--until 2001-01-01T00:00:00Z is past"),
    ):
        assert main(["override", "-n", namespace, *arguments]) == 1
        assert problem in capsys.readouterr().err
    assert schedule_of(plane, namespace) is None


def set_status(plane: ControlPlane, namespace: str, name: str, *conditions: dict[str, str], **status: object) -> None:
    """Write a status as an operator does."""
    since = "2026-11-30T12:00:00Z"
    written = [{"lastTransitionTime": since, "observedGeneration": 1, **each} for each in conditions]
    change = json.dumps({"status": {"conditions": written, **status}})
    where = ("-n", namespace, "--subresource=status", "--type=merge")
    plane.kubectl("patch", "ttst", name, *where, f"--patch={change}")


def test_status_and_why_read_what_the_cluster_has(
    plane: ControlPlane, namespace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    onboard(plane, namespace, "well")
    onboard(plane, namespace, "acme")
    onboard(plane, namespace, "new")
    good = {"type": "Ready", "status": "True", "reason": "Ready", "message": "All well."}
    bad = {"type": "Ready", "status": "False", "reason": "ImagePullBackOff", "message": "Check the image."}
    pools = [{"model": "espeak", "role": "Entry", "precision": "fp32", "min": 1, "max": 2, "desired": 1, "ready": 0}]
    set_status(plane, namespace, "well", good)
    set_status(plane, namespace, "acme", bad, pools=pools, activeWindow="day")
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "acme-1", "namespace": namespace, "labels": {TENANT_LABEL: "acme"}},
        "spec": {"containers": [{"name": "tts-server", "image": "example.invalid/tts-server:1"}]},
    }
    plane.kubectl("apply", "-f", "-", input=yaml.safe_dump(pod))
    assert main(["status", "-n", namespace]) == 0
    table = capsys.readouterr().out.splitlines()
    assert [line.split()[1:3] for line in table[1:4]] == [["acme", "False"], ["new", "Unknown"], ["well", "True"]]
    assert table[-1] == "3 tenants; 1 ready; 0 of 1 replicas serve."
    assert main(["why", "acme", "-n", namespace]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{namespace}/acme: not ready for ")
    assert "\nCheck the image.\n" in said
    assert "\nacme-1   Pending   0/1     0" in said
    assert main(["why", "nobody", "-n", namespace]) == 1
    assert capsys.readouterr().err == f"error: there is no TTSTenant nobody in namespace {namespace}\n"


def test_why_shows_the_rest_to_those_who_may_not_list_pods(
    plane: ControlPlane, namespace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    onboard(plane, namespace)
    user = f"reader-{namespace}"
    where = ("-n", namespace)
    plane.kubectl("create", "role", user, "--verb=get,list", "--resource=ttstenants.ttsfleet.io", *where)
    plane.kubectl("create", "rolebinding", user, f"--role={user}", f"--user={user}", *where)
    kubeconfig = plane.kubeconfig_for(user, user)
    assert main(["why", "acme", "-n", namespace, f"--kubeconfig={kubeconfig}"]) == 0
    said = capsys.readouterr().out
    assert f"{namespace}/acme: not looked at yet for" in said
    assert "You may not list the pods of this namespace." in said
