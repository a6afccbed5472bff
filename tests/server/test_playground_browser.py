"""The playground as a person meets it: in a real browser, by keyboard, before a real server."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import soundfile

from hack.browser import Browser, Page, browser
from tests.support.server_process import Running, running
from tests.support.timeouts import HANG_SECONDS
from tts_server.config.defaults import embedded_config

KEY = "a-key-that-nobody-should-see"
LONG = "One sentence comes after the other. " * 100


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The models of `tts-server` where only eSpeak NG is installed, and one that always fails and falls back to it."""
    folder = tmp_path_factory.mktemp("laptop")
    config = json.loads(
        embedded_config({"espeakng_loader"}.__contains__).model_dump_json(by_alias=True, exclude_none=True)
    )
    dead = {"type": "Pool", "url": "http://127.0.0.1:9"}
    grand = {"name": "grand", "engine": dead, "voices": [{"name": "grace"}], "fallback": {"model": "espeak"}}
    config["models"].append(grand)
    (folder / "server.json").write_text(json.dumps(config))
    with running(folder, f"--config={folder / 'server.json'}") as server:
        yield server


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as started:
        yield started


@pytest.fixture
async def page(chromium: Browser) -> AsyncIterator[Page]:
    async with chromium.page() as opened:
        yield opened


def configured(folder: Path, quota: dict[str, Any], mode: str = "APIKey") -> tuple[str, str]:
    """The arguments of a server with keys and a playground."""
    keys = folder / "keys"
    keys.mkdir()
    (keys / "someone").write_text(hashlib.sha256(KEY.encode()).hexdigest())
    config: dict[str, Any] = {
        "tenant": "team-acme.acme",
        "models": [
            {
                "name": "espeak",
                "voices": [{"name": "en-us", "languages": ["en"]}, {"name": "de"}],
                "firstAudioTimeoutSeconds": HANG_SECONDS,
            }
        ],
        "auth": {"modes": [mode], "keysDirectory": str(keys)},
        "storage": {"directory": str(folder / "audio")},
        "playground": True,
    }
    (folder / "server.json").write_text(json.dumps(config))
    (folder / "quota.json").write_text(json.dumps(quota))
    return f"--config={folder / 'server.json'}", f"--quota={folder / 'quota.json'}"


PIXELS = """
  const canvas = document.getElementById('wave');
  const { width, height } = canvas;
  const pen = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
  pen.drawImage(canvas, 0, 0);
  const { data } = pen.getImageData(0, 0, width, height);
"""
COLOURS = f"""(() => {{
  {PIXELS}
  const seen = new Set();
  for (let at = 0; at < data.length; at += 4) if (data[at + 3] === 255) seen.add(data.slice(at, at + 3).join());
  return [...seen];
}})()"""
TALLEST = f"""(() => {{
  {PIXELS}
  const tall = Array(width).fill(0);
  for (let at = 0; at < data.length; at += 4) tall[(at / 4) % width] += data[at + 3] > 0;
  return Math.max(...tall) / height;
}})()"""
"""Heights of the waveform's bars, relative to its own."""


async def test_a_person_speaks_by_keyboard_alone(laptop: Running, page: Page, tmp_path: Path) -> None:
    """Given a laptop's server, whoever opens the page and types hears it, and sees how fast it was and who spoke."""
    await loaded(page, laptop)
    assert await page.value(TALLEST) < 0.1, "no sound yet"
    assert await tabs(page, 8) == ["text", "model", "language", "voice", "precision", "speed", "speak", "curl"]
    await writes(page, "It is 'quoted'.")
    await page.press("Enter", control=True)
    await comes(page, "status", "Done: ")
    assert (await text_of(page, "first")).endswith("s")
    assert await text_of(page, "engine") == "espeak"
    assert await text_of(page, "quality") == "ok"
    assert (await text_of(page, "total")).endswith("s")
    assert await page.value(TALLEST) > 0.6
    assert "'\\''quoted'\\''" in await text_of(page, "curl")
    assert "TTS_API_KEY" not in await text_of(page, "curl")
    await page.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    await page.value("document.getElementById('download').focus()")
    await page.press("Enter")
    file = await appears(tmp_path / "speech.wav")
    assert await text_of(page, "length") == f"{len(soundfile.read(file)[0]) / 24_000:.2f} s"
    assert page.console == []
    asked = {urlsplit(url) for url in page.requested}
    assert {url.netloc for url in asked if url.scheme != "blob"} == {urlsplit(laptop.url).netloc}


async def test_it_is_light_dark_calm_and_narrow_as_a_person_likes_it(laptop: Running, page: Page) -> None:
    await page.emulate(scheme="light")
    await loaded(page, laptop)
    ground = "getComputedStyle(document.body).backgroundColor"
    light, light_wave = await page.value(ground), await page.until(f"[{COLOURS}].find((seen) => seen.length)")
    await page.emulate(scheme="dark", reduced_motion=True)
    await page.until(f"{ground} !== {json.dumps(light)}")
    await page.until(f"{COLOURS}.join() !== {json.dumps(','.join(light_wave))}")  # what is painted changes too
    assert await page.value("getComputedStyle(document.getElementById('speak')).transitionDuration") == "0s"
    await writes(page, "Hello.")
    await page.value("window.moves = 0; window.requestAnimationFrame = () => { window.moves += 1; }")
    await page.press("Enter", control=True)
    await comes(page, "status", "Done: ")
    assert await page.value("window.moves") == 0, "nothing moves by itself"
    assert await page.value(TALLEST) > 0.6
    for width in (320, 768, 1600):
        await page.resize(width, 700)
        await page.until(f"innerWidth === {width} && document.documentElement.scrollWidth <= {width}")
    assert page.console == []


async def test_stop_stops_the_work_too(laptop: Running, page: Page) -> None:
    """A slow line, so that the work is not over before anybody can press a key."""
    await loaded(page, laptop)
    await page.slow_down(bytes_per_second=100_000)
    await writes(page, LONG)
    await page.press("Enter", control=True)
    await comes(page, "status", "Speaking…")
    await page.press("Escape")
    await comes(page, "status", "Stopped.")
    async with asyncio.timeout(HANG_SECONDS):
        while not (hung_up := [line for line in laptop.lines() if line.get("error") == "hung_up"]):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert hung_up[0]["audio_seconds"] < 150, "of some three minutes: much is on its way to a browser on a busy machine"
    assert await page.value("document.getElementById('stop').disabled")
    assert page.console == []


@pytest.mark.parametrize(("bytes_of_it", "status"), [(0, "Request failed."), (20_000, "Audio incomplete.")])
async def test_a_sound_that_breaks_off_is_told(laptop: Running, page: Page, bytes_of_it: int, status: str) -> None:
    async with cutting_relay(laptop.port, bytes_of_it) as (url, cut):
        await page.open(url)
        await page.until("document.getElementById('model').options.length > 1")
        await writes(page, LONG)
        await page.press("Enter", control=True)
        await comes(page, *(("status", "Speaking…") if bytes_of_it else ("engine", "espeak")))
        cut.set()
        await comes(page, "error-message", "The connection was lost: the audio is incomplete.")
        assert await text_of(page, "status") == status
        assert "Request " in await text_of(page, "error-details")
        assert await page.value("document.getElementById('quality').hidden"), "it did not go well"
        assert await page.value("!document.getElementById('download').href") == (not bytes_of_it)
        assert all(line.startswith("Failed to load resource") for line in page.console), page.console


async def test_it_is_not_ready_before_it_has_heard_of_the_server(laptop: Running, page: Page) -> None:
    await page.call("Network.setBlockedURLs", urls=["*/v1/models"])
    await page.call("Emulation.setScriptExecutionDisabled", value=True)
    await page.call("Page.navigate", url=f"{laptop.url}/")
    await comes(page, "status", "Loading…")
    await page.call("Emulation.setScriptExecutionDisabled", value=False)
    await page.open(f"{laptop.url}/?again")
    await comes(page, "status", "Not ready.")


async def test_what_is_chosen_is_what_is_asked_for(laptop: Running, page: Page) -> None:
    await loaded(page, laptop)
    await writes(page, "Ja.")
    await chooses(page, "language", "de")
    assert await page.value("document.getElementById('voice').value") == "", "alloy speaks no German"
    assert await page.value("[...document.getElementById('voice').options].map((o) => o.value)") == ["", "de"]
    await chooses(page, "precision", "fp32")
    await page.press("Enter", control=True)
    await comes(page, "status", "Done: ")
    command = await text_of(page, "curl")
    assert "/v1/tts/synthesize" in command
    assert '"language":"de"' in command
    assert '"options":{"precision":"fp32"}' in command
    assert page.requested.count(f"{laptop.url}/v1/tts/synthesize") == 1
    assert page.console == []


async def test_keys_limits_and_mistakes_are_told_so_that_a_person_can_act(tmp_path: Path, page: Page) -> None:
    with running(tmp_path, *configured(tmp_path, {"requestsPerMinute": 2})) as server:
        await page.open(f"{server.url}/")
        await comes(page, "error-title", "An API key or access token is needed")
        assert await text_of(page, "error-message") == "Enter it above."
        assert await page.value("getComputedStyle(document.getElementById('key')).borderWidth") == "2px"
        for key in ("a guess", "guess"):
            await types_a_key(page, key)
            await page.value("document.getElementById('error-title').textContent = ''")
            await page.press("Enter", control=True)
            await comes(page, "error-title", "This key or token was not accepted")
        assert "Request " in await text_of(page, "error-details")
        await types_a_key(page, KEY)
        await page.press("Tab")
        await comes(page, "tenant", "Tenant team-acme.acme")
        await page.until("document.getElementById('error').hidden")
        await comes(page, "quota", "Requests per minute2 of 2")

        await page.value("document.getElementById('text').focus()")
        await writes(page, "")
        await page.press("Enter", control=True)
        await comes(page, "error-title", "Request refused (400)")
        assert await focused(page) == "text"

        await writes(page, "Hello.")
        for left in ("1 of 2", "0 of 2, more in "):
            await page.press("Enter", control=True)
            await comes(page, "status", "Done: ")
            await comes(page, "quota", f"Requests per minute{left}")
        await page.press("Enter", control=True)
        await comes(page, "error-title", "The limit requestsPerMinute is used up")
        assert "Try again in " in await text_of(page, "error-details")

        assert "Bearer $TTS_API_KEY" in await text_of(page, "curl")
        assert KEY not in str(await page.value("document.documentElement.outerHTML"))
        assert await page.value("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
        refused = [line for line in page.console if not line.startswith("Failed to load resource")]
        assert refused == []
        await page.open(f"{server.url}/")
        await comes(page, "error-title", "An API key or access token is needed")
        assert await page.value("document.getElementById('key').value") == ""


async def test_where_only_tokens_are_taken_it_takes_one(tmp_path: Path, page: Page) -> None:
    with running(tmp_path, *configured(tmp_path, {}, "JWT")) as server:
        await page.open(f"{server.url}/")
        await types_a_key(page, KEY)
        await page.press("Tab")
        await comes(page, "error-title", "This key or token was not accepted")
        assert "POST /v1/auth/token" in await text_of(page, "error-message")
        async with httpx.AsyncClient(base_url=server.url, timeout=HANG_SECONDS) as client:
            key = {"client_id": "someone", "client_secret": KEY}
            bought = await client.post("/v1/auth/token", data={"grant_type": "client_credentials", **key})
        await types_a_key(page, bought.json()["access_token"])
        await page.press("Tab")
        await page.until("document.getElementById('error').hidden")
        await comes(page, "status", "Ready.")


async def test_it_says_when_another_model_spoke(laptop: Running, page: Page) -> None:
    await loaded(page, laptop)
    await chooses(page, "model", "grand")
    await chooses(page, "voice", "grace")
    await writes(page, "Hello.")
    await page.press("Enter", control=True)
    await comes(page, "status", "Done: ")
    assert await text_of(page, "engine") == "espeak"
    assert (await text_of(page, "quality")).startswith("degraded")
    assert page.console == []


@asynccontextmanager
async def cutting_relay(port: int, bytes_of_it: int) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """The address of a way to that port, and what cuts it: of speech so much of the body comes, and no end."""
    cut = asyncio.Event()
    ends: list[asyncio.StreamWriter] = []

    async def forth(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: asyncio.Event) -> None:
        while data := await reader.read(65_536):
            if b"POST /v1/audio/speech" in data:
                asked.set()
            writer.write(data)

    async def back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: asyncio.Event) -> None:
        while data := await reader.read(65_536):
            if asked.is_set():
                head, _, body = data.partition(b"\r\n\r\n")
                while len(body) < bytes_of_it:
                    body += await reader.read(65_536)
                writer.write(head + b"\r\n\r\n" + body[:bytes_of_it])
                await cut.wait()
                break
            writer.write(data)
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onwards, from_here = await asyncio.open_connection("127.0.0.1", port)
        ends.extend((writer, from_here))
        asked = asyncio.Event()
        await asyncio.gather(forth(reader, from_here, asked), back(onwards, writer, asked))

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as relay:
        yield f"http://127.0.0.1:{relay.sockets[0].getsockname()[1]}/", cut
        for end in ends:
            end.close()
            await end.wait_closed()


async def text_of(page: Page, name: str) -> str:
    return str(await page.value(f"document.getElementById('{name}').textContent.trim()"))


async def focused(page: Page) -> str:
    return str(await page.value("document.activeElement.id"))


async def comes(page: Page, name: str, beginning: str) -> None:
    """An element's words begin so, sooner or later."""
    shown = f"(document.getElementById('{name}')?.textContent ?? '').trim()"
    await page.until(f"{shown}.startsWith({json.dumps(beginning)})", 20)


async def loaded(page: Page, server: Running) -> None:
    await page.open(f"{server.url}/")
    await page.until("document.getElementById('model').options.length > 1")


async def tabs(page: Page, times: int) -> list[str]:
    """Follow the focus with the Tab key; each focused element has a visible outline."""
    order = []
    for _ in range(times):
        await page.press("Tab")
        order.append(await focused(page))
        assert await page.value("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    return order


async def writes(page: Page, text: str) -> None:
    """Into the text's field, in place of what is there."""
    await page.value("document.getElementById('text').select()")
    await (page.write(text) if text else page.press("Delete"))


async def chooses(page: Page, name: str, value: str) -> None:
    """As a person does who types into a list: the page hears both events."""
    await page.value(f"document.getElementById('{name}').value = {json.dumps(value)}")
    for event in ("input", "change"):
        await page.value(f"document.getElementById('{name}').dispatchEvent(new Event('{event}', {{ bubbles: true }}))")


async def types_a_key(page: Page, key: str) -> None:
    """Into the field that has the focus already, in place of what is there."""
    await page.until("document.activeElement.id === 'key'")
    await page.value("document.activeElement.select()")
    await page.write(key)


async def appears(file: Path) -> Path:
    async with asyncio.timeout(HANG_SECONDS):
        while not file.exists():  # noqa: ASYNC110, ASYNC240 - another process writes it
            await asyncio.sleep(0.02)
    return file
