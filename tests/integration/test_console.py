"""`kubectl tts console` as people meet it: in a real browser, over a real API server with a thousand tenants."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from hack.browser import Browser, Page, browser
from hack.cluster.control_plane import ControlPlane, Options
from hack.cluster.errors import CommandError
from hack.console_fleet import fleet, own_address
from tests.support.control_planes import install_crds
from tests.support.resources import tenant_body
from tests.support.server_process import espeak_alone, running
from tests.support.timeouts import HANG_SECONDS
from tts_operator.objects.keys import Key
from tts_operator.objects.labels import TENANT_LABEL

TENANTS = 1000
STEPS = 40
SLOWER = 2.0
"""Times as much work as a hundred tenants that a thousand may be."""
HOSTILE = "<img src=x onerror=window.hacked=1>"
API_KEY = "a-key-that-nobody-should-see"


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """An API server of this file's own: operators of other files would take its tenants for theirs."""
    started = ControlPlane.start(tmp_path_factory.mktemp("console-plane"), Options(die_with_parent=True))
    install_crds(started)
    asyncio.run(fleet(started.kubeconfig, TENANTS))
    yield started
    started.stop()


@contextmanager
def console(plane: ControlPlane, kubeconfig: Path | None = None, *flags: str) -> Iterator[str]:
    """Address of a console's page."""
    path = f"{plane.programs['kubectl'].parent}:{os.environ['PATH']}"
    command = [sys.executable, "-m", "tts_operator.cli.kubectl_tts", "console", "--no-browser", *flags]
    environment = {**os.environ, "PATH": path, "KUBECONFIG": str(kubeconfig or plane.kubeconfig)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        assert process.wait(HANG_SECONDS) == 0


@pytest.fixture(scope="module")
def url(plane: ControlPlane) -> Iterator[str]:
    with console(plane) as address:
        yield address


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as started:
        yield started


@pytest.fixture
async def page(chromium: Browser) -> AsyncIterator[Page]:
    async with chromium.page() as opened:
        await opened.resize(1360, 820)
        yield opened


async def opened(page: Page, url: str, part: str = "") -> None:
    await page.open(url + part)
    await page.until("document.getElementById('link').textContent === 'Live'", 60)


async def text_of(page: Page, name: str) -> str:
    return str(await page.value(f"document.getElementById('{name}').innerText"))


async def key_of_focus(page: Page) -> str:
    return str(await page.value("document.activeElement.dataset.key ?? document.activeElement.id"))


async def presses(page: Page, key: str) -> None:
    codes = {"ArrowDown": 40, "ArrowUp": 38, "End": 35, "Home": 36, "PageDown": 34, "/": 191}
    shared = {"key": key, "code": key, "windowsVirtualKeyCode": codes[key]}
    await page.call("Input.dispatchKeyEvent", type="keyDown", **shared)
    await page.call("Input.dispatchKeyEvent", type="keyUp", **shared)


VISIBLE = "[...document.querySelectorAll('.row')].filter((row) => !row.hidden)"


async def test_the_whole_fleet_is_a_table_that_holds_what_can_be_seen(page: Page, url: str) -> None:
    await opened(page, url)
    assert (await text_of(page, "totals")).startswith("1000 tenants · ")
    assert await page.value("document.getElementById('table').getAttribute('aria-rowcount')") == "1001"
    assert await page.value("document.querySelectorAll('.row').length") < 40
    first = await page.value(f"{VISIBLE}.map((row) => row.innerText)")
    assert all("Not ready" in text for text in first[:5]), "those that need somebody come first"
    strip = "document.querySelector('.row:not([hidden]) canvas')"
    assert "Calendar in " in await page.value(f"{strip}.getAttribute('aria-label')")
    assert await page.value(f"{strip}.getContext('2d').getImageData(0, 0, 90, 30).data.some((each) => each > 0)")
    assert page.console == []
    origin = url.split("/", 3)[2]
    assert {each.split("/", 3)[2] for each in page.requested} == {origin}, "no other host is asked"


async def test_everything_goes_by_keyboard(page: Page, url: str) -> None:
    await opened(page, url)
    await presses(page, "/")
    await page.until("document.activeElement.id === 'filter'")
    await page.write("team-games office imagepull")
    await page.until("/^\\d+ of 1000 tenants/.test(document.getElementById('totals').innerText)")
    await page.press("Escape")
    await page.until("document.getElementById('totals').innerText.startsWith('1000 tenants')")
    await page.press("Escape")
    await page.until("document.activeElement.classList.contains('row')")
    first = await key_of_focus(page)
    assert await page.value("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    await presses(page, "ArrowDown")
    second = await key_of_focus(page)
    assert second != first
    await presses(page, "End")
    last = await key_of_focus(page)
    assert await page.value("document.activeElement.getAttribute('aria-rowindex')") == "1001"
    assert await page.value("document.getElementById('scroll').scrollTop") > 50_000
    await page.press("Enter")
    await page.until(f"document.getElementById('tenant-title')?.textContent === {json.dumps(last)}")
    await page.until("document.activeElement.id === 'tenant-title'")
    await page.press("Escape")
    await page.until(f"document.activeElement.dataset.key === {json.dumps(last)}")
    await presses(page, "Home")
    assert await key_of_focus(page) == first
    assert page.console == []


async def work_of(page: Page, step: str) -> float:
    """Time that the page's main thread worked during so many steps, each in a frame of its own."""
    before = await task_seconds(page)
    await page.value(
        f"(async () => {{ const scroll = document.getElementById('scroll');"
        f" for (let at = 1; at <= {STEPS}; at += 1) {{ {step}; await new Promise(requestAnimationFrame); }} }})()"
    )
    return await task_seconds(page) - before


async def task_seconds(page: Page) -> float:
    metrics = (await page.call("Performance.getMetrics"))["metrics"]
    return float(next(each["value"] for each in metrics if each["name"] == "TaskDuration"))


async def test_a_thousand_tenants_scroll_as_a_hundred_do(page: Page, url: str) -> None:
    """The baseline is a filter in the same browser: each step leads from one end to the other, and fills the screen."""
    await page.call("Performance.enable")
    await opened(page, url)
    jump = "scroll.scrollTop = at % 2 ? scroll.scrollHeight : 0"
    await filters(page, "team-radio", "100 of 1000 tenants")
    baseline = await work_of(page, jump)
    await filters(page, "", "1000 tenants")
    scrolled = await work_of(page, jump)
    assert await page.value("document.querySelectorAll('.row').length") < 40
    assert scrolled < SLOWER * baseline, (scrolled, baseline)
    await page.value("document.getElementById('scroll').scrollTop = 1e9")
    await page.until(f"{VISIBLE}.some((row) => row.getAttribute('aria-rowindex') === '1001')")


async def filters(page: Page, text: str, total: str) -> None:
    await page.value(f"document.getElementById('filter').value = {json.dumps(text)}")
    await page.value("document.getElementById('filter').dispatchEvent(new Event('input'))")
    await page.until(f"document.getElementById('totals').innerText.startsWith({json.dumps(total)})")


async def test_it_is_light_dark_and_as_narrow_as_a_phone(page: Page, url: str) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    await page.emulate(scheme="light")
    await opened(page, url)
    light = await page.value(ground)
    await page.emulate(scheme="dark", reduced_motion=True)
    await page.until(f"{ground} !== {json.dumps(light)}")
    for width in (320, 390, 768, 1600):
        await page.resize(width, 800)
        for part in ("", "tenant/team-games/games-0004", "rollout", "voices"):
            await page.value(f"location.hash = '#/{part}'")
            shown = part.partition("/")[0] or "fleet"
            await page.until(f"!document.getElementById('{shown}').hidden")
            await page.until(f"innerWidth === {width} && document.documentElement.scrollWidth <= {width}")
    assert page.console == []


async def test_a_change_in_the_cluster_is_seen_without_a_reload(page: Page, url: str, plane: ControlPlane) -> None:
    await opened(page, url, "#/tenant/team-lab/fresh")
    await page.until("document.getElementById('tenant').innerText.includes('There is no such tenant')")
    body = tenant_body(key=Key("team-lab", "fresh"), schedule={"preset": "DayNightWeekend"})
    plane.kubectl("apply", "--server-side", "-f", "-", input=yaml.safe_dump(body))
    await page.until("document.getElementById('tenant').innerText.includes('Pending')")
    ready = {"type": "Ready", "status": "False", "reason": "VoiceNotFound", "message": f"no voice {HOSTILE}"}
    since = {"lastTransitionTime": "2026-11-30T12:00:00Z", "observedGeneration": 1}
    change = json.dumps({"status": {"conditions": [{**ready, **since}], "activeWindow": HOSTILE}})
    plane.kubectl("patch", "ttst", "fresh", "-n", "team-lab", "--subresource=status", "--type=merge", "-p", change)
    await page.until(f"document.getElementById('tenant').innerText.includes({json.dumps(HOSTILE)})")
    plane.kubectl("delete", "ttst", "fresh", "-n", "team-lab")
    await page.until("document.getElementById('tenant').innerText.includes('There is no such tenant')")
    assert page.console == []


async def test_what_others_write_is_text_and_never_html(page: Page, url: str, plane: ControlPlane) -> None:
    body = tenant_body(key=Key("team-lab", "hostile"), voiceAliases={HOSTILE[:60]: "en-us"})
    plane.kubectl("apply", "--server-side", "-f", "-", input=yaml.safe_dump(body))
    since = {"lastTransitionTime": "2026-11-30T12:00:00Z", "observedGeneration": 1}
    conditions = [
        {**since, "type": kind, "status": "False", "reason": "WaitingForRollout", "message": HOSTILE}
        for kind in ("Ready", "Programmed", HOSTILE)
    ]
    pool = {"model": HOSTILE, "role": "Entry", "precision": HOSTILE, "min": 1, "max": 1, "desired": 1, "ready": 0}
    status = {"conditions": conditions, "pools": [{**pool, "reason": HOSTILE}], "activeWindow": HOSTILE,
              "cost": {"hourly": HOSTILE, "monthly": HOSTILE, "unscheduledMonthly": "1"}, "url": HOSTILE}  # fmt: skip
    change = json.dumps({"status": status})
    plane.kubectl("patch", "ttst", "hostile", "-n", "team-lab", "--subresource=status", "--type=merge", "-p", change)
    event = {
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "hostile.1", "namespace": "team-lab"},
        "involvedObject": {"apiVersion": "ttsfleet.io/v1alpha1", "kind": "TTSTenant", "name": "hostile",
                           "namespace": "team-lab"},
        "reason": HOSTILE, "message": HOSTILE, "type": "Warning", "lastTimestamp": "2026-12-01T00:00:00Z",
    }  # fmt: skip
    plane.kubectl("create", "-f", "-", input=yaml.safe_dump(event))
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hostile-keys", "namespace": "team-lab"},
              "stringData": {"laptop": hashlib.sha256(API_KEY.encode()).hexdigest()}}  # fmt: skip
    plane.kubectl("create", "-f", "-", input=yaml.safe_dump(secret))
    await opened(page, url, "#/tenant/team-lab/hostile")
    await page.until("document.getElementById('tenant').innerText.includes('API keys')")
    shown = await text_of(page, "tenant")
    assert shown.count(HOSTILE) >= 8
    assert "laptop" in shown
    assert "No event" not in shown
    for part in ("#/", "#/rollout", "#/voices"):
        await page.value(f"location.hash = '{part}'")
        await page.until("document.querySelector('main > section:not([hidden])').innerText.length > 20")
    assert await page.value("window.hacked ?? 0") == 0
    assert await page.value("document.querySelectorAll('main img').length") == 0
    html = await page.value("document.documentElement.outerHTML")
    assert hashlib.sha256(API_KEY.encode()).hexdigest() not in html
    plane.kubectl("delete", "ttst", "hostile", "-n", "team-lab")
    assert page.console == []


async def test_rollout_shows_who_holds_places_and_who_waits(page: Page, url: str) -> None:
    await opened(page, url, "#/rollout")
    await page.until("document.getElementById('rollout').innerText.includes('holds a place')")
    shown = await text_of(page, "rollout")
    assert "3 tenants hold a place" in shown
    assert "TTSModel kokoro" in shown
    assert "WaitingForRollout" in shown
    assert "team-support/support-0000" in shown


def limited_user(plane: ControlPlane, name: str, *rules: dict[str, Any]) -> Path:
    """Kubeconfig of a person who may do this in team-lab, and nothing elsewhere."""
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
            "metadata": {"name": name, "namespace": "team-lab"}, "rules": list(rules)}  # fmt: skip
    plane.kubectl("apply", "-f", "-", input=yaml.safe_dump(role))
    plane.kubectl("create", "rolebinding", name, f"--role={name}", f"--user={name}", "-n", "team-lab")
    kubeconfig = plane.kubeconfig_for(name, name)
    plane.kubectl("config", "set-context", "ttsfleet", "--namespace=team-lab", f"--kubeconfig={kubeconfig}")
    return kubeconfig


READS_TENANTS = {"apiGroups": ["ttsfleet.io"], "resources": ["ttstenants"], "verbs": ["get", "list", "watch"]}


async def test_a_person_of_one_namespace_sees_it_and_is_told_what_is_missing(page: Page, plane: ControlPlane) -> None:
    kubeconfig = limited_user(plane, "ada", READS_TENANTS)
    with console(plane, kubeconfig) as url:
        await opened(page, url, "#/")
        await page.until("document.getElementById('notices').children.length >= 3")
        count = int((await text_of(page, "totals")).split()[0])
        assert 100 <= count < 110, "those of team-lab, with what other tests may have added"
        told = await text_of(page, "notices")
        assert "You may not list ttstenants in all namespaces" in told
        assert "Shown: those of team-lab" in told
        assert "You may not list ttsmodels, so that the voice catalogue is empty" in told
        await page.value("location.hash = '#/tenant/team-lab/lab-0002'")
        await page.until("document.getElementById('tenant').innerText.includes('You may not read events of team-lab')")
        shown = await text_of(page, "tenant")
        assert "You may not read pods of team-lab" in shown
        assert "You may not read the Secret team-lab/lab-0002-keys" in shown
        assert "Accepted" in shown
        assert page.console == []


async def test_a_person_of_nothing_is_told_so(page: Page, plane: ControlPlane) -> None:
    kubeconfig = plane.kubeconfig_for("nobody", "nobody")
    with console(plane, kubeconfig) as url:
        await opened(page, url)
        assert "There are no tenants here that you may list" in await text_of(page, "empty")
        assert "You may not list ttstenants in namespace default" in await text_of(page, "notices")


async def test_a_tenant_speaks_through_the_api_server(
    page: Page, plane: ControlPlane, url: str, tmp_path: Path
) -> None:
    """With a real tts-server behind a Service: a wrong key is told, the right one heard, and its figures shown."""
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "laptop").write_text(hashlib.sha256(API_KEY.encode()).hexdigest())
    flag = espeak_alone(tmp_path, tenant="team-lab.speaks", auth={"modes": ["APIKey"], "keysDirectory": str(keys)})
    address = own_address()
    with running(tmp_path, flag, f"--host={address}") as server:
        serve(plane, address, server.port, server.metrics_port)
        await reached(plane)
        await opened(page, url, "#/tenant/team-lab/speaks")
        await page.until("!!document.getElementById('speak')")
        for key, said in (("a-wrong-key", "The API key is unknown."), (API_KEY, "Played.")):
            await page.value("document.getElementById('key').focus()")
            await page.value("document.getElementById('key').select()")
            await page.write(key)
            await page.press("Enter")
            await page.until(f"document.getElementById('said').innerText.startsWith({json.dumps(said)})", 30)
        await page.value("location.hash = '#/'")
        await page.value("location.hash = '#/tenant/team-lab/speaks'")
        await page.until(
            "/429s\\s+0\\s+of 2 requests [^]*P95\\s+[0-9.]+ m?s/.test(document.getElementById('tenant').innerText)", 40
        )
        html = await page.value("document.documentElement.outerHTML")
        assert API_KEY not in html
        assert await page.value("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
        await page.open(f"{url}speak/team-lab/speaks/")
        await page.until("document.activeElement.id === 'key'")
        await page.write(API_KEY)
        await page.press("Tab")
        await page.until("document.getElementById('status').textContent.startsWith('Ready')", 20)
        await page.press("Enter", control=True)
        await page.until("document.getElementById('status').textContent.startsWith('Done')", 30)
        command = await text_of(page, "curl")
        assert "http://speaks.team-lab.svc/" in command
        assert url.split("/")[3] not in command, "the token of the console is nobody's address"
        refused = [line for line in page.console if not line.startswith("Failed to load resource")]
        assert refused == []


def serve(plane: ControlPlane, address: str, port: int, metrics_port: int) -> None:
    """A tenant whose Service leads to a server of this machine, and a ready pod for its metrics."""
    where = {"name": "speaks", "namespace": "team-lab"}
    labels = {TENANT_LABEL: "speaks"}
    bodies = [
        {"apiVersion": "v1", "kind": "Service", "metadata": where, "spec": {"ports": [{"name": "http", "port": 80}]}},
        # The API server proxies to addresses of pods only.
        {"apiVersion": "v1", "kind": "Endpoints", "metadata": where,
         "subsets": [{"addresses": [{"ip": address, "targetRef": {"kind": "Pod", **where}}],
                      "ports": [{"name": "http", "port": port}]}]},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {**where, "labels": labels},
         "spec": {"nodeName": "nowhere", "containers": [
             {"name": "tts-server", "image": "example.invalid/tts-server",
              "ports": [{"name": "metrics", "containerPort": metrics_port}]}]}},
    ]  # fmt: skip
    plane.kubectl("apply", "--server-side", "-f", "-", input=yaml.safe_dump_all(bodies))
    status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}],
              "conditions": [{"type": "Ready", "status": "True"}]}  # fmt: skip
    change = json.dumps({"status": status})
    plane.kubectl("patch", "pod", "speaks", "-n", "team-lab", "--subresource=status", "--type=merge", "-p", change)
    body = tenant_body(key=Key("team-lab", "speaks"))
    plane.kubectl("apply", "--server-side", "-f", "-", input=yaml.safe_dump(body))
    ready = {"type": "Ready", "status": "True", "reason": "Ready", "message": "",
             "lastTransitionTime": "2026-11-30T12:00:00Z", "observedGeneration": 1}  # fmt: skip
    pool = {"model": "espeak", "role": "Entry", "precision": "fp32", "min": 1, "max": 1, "desired": 1, "ready": 1}
    change = json.dumps({"status": {"conditions": [ready], "pools": [pool]}})
    plane.kubectl("patch", "ttst", "speaks", "-n", "team-lab", "--subresource=status", "--type=merge", "-p", change)


async def reached(plane: ControlPlane) -> None:
    """Wait until the API server's own copies have the Service and where it leads."""
    async with asyncio.timeout(HANG_SECONDS):
        while True:
            try:
                plane.kubectl("get", "--raw", "/api/v1/namespaces/team-lab/services/speaks:http/proxy/readyz")
            except CommandError:
                await asyncio.sleep(0.2)
            else:
                return


async def test_strangers_of_this_machine_and_of_the_web_get_nothing(url: str) -> None:
    token = url.split("/")[3]
    base = url.removesuffix(f"{token}/")
    async with httpx.AsyncClient(trust_env=False) as client:
        whole = await client.get(url)
        assert whole.status_code == 200
        assert "default-src 'none'" in whole.headers["Content-Security-Policy"]
        assert whole.headers["Cache-Control"] == "no-store"
        for address, headers in (
            (base, {}),
            (f"{base}{'x' * len(token)}/about", {}),
            (f"{url}about", {"Host": "evil.example"}),
            (f"{url}about", {"Origin": "http://evil.example"}),
            (f"{url}about", {"Sec-Fetch-Site": "cross-site"}),
        ):
            refused = await client.get(address, headers=headers)
            assert refused.status_code == 403, (address, headers)
            assert token not in refused.text
        written = await client.post(f"{url}speak/team-lab/lab-0002/v1/audio/speech", json={})
        assert written.status_code == 403
        for path in ("api/v1/secrets", "speak/team-lab/lab-0002/v1/../../secrets", "speak/kube-system/x/v1/models",
                     "page/../server.py"):  # fmt: skip
            assert (await client.get(f"{url}{path}")).status_code in {403, 404}, path


def test_it_listens_on_this_machine_alone(url: str) -> None:
    port = int(url.split("/")[2].partition(":")[2])
    with socket.socket() as probe:
        probe.settimeout(HANG_SECONDS)
        assert probe.connect_ex((own_address(), port)) != 0


def test_a_port_that_is_taken_is_told(plane: ControlPlane, url: str) -> None:
    port = url.split("/")[2].partition(":")[2]
    command = [sys.executable, "-m", "tts_operator.cli.kubectl_tts", "console", "--no-browser", f"--port={port}"]
    path = f"{plane.programs['kubectl'].parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "KUBECONFIG": str(plane.kubeconfig)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: --port {port} cannot be used: Address already in use; choose another\n"
