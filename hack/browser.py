"""A real Chromium, driven over the DevTools protocol: what tests and screenshots of pages need of it, and no more."""

import asyncio
import base64
import json
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import websockets

from hack.cluster import packages
from hack.cluster.errors import CannotRunError

NAMES = ("chromium", "chromium-browser", "google-chrome")
PACKAGES: Mapping[str, str] = {"chromium": "chromium"}
START_SECONDS = 30.0
ANSWER_SECONDS = 10.0
NO_FRILLS = (
    "--headless=new",
    "--no-sandbox",  # it needs privileges that containers lack, and only our own page is opened
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    "--no-default-browser-check",
    "--no-first-run",
    "--no-proxy-server",
    "--mute-audio",
    "--remote-debugging-port=0",
)
KEYS = {
    "Enter": ("Enter", 13, "\r"), "Escape": ("Escape", 27, ""), "Tab": ("Tab", 9, ""), " ": ("Space", 32, " "),
}  # fmt: skip
CONTROL = 2


def installed() -> str:
    """Chromium's path; it is installed first where it is missing. Raises `CannotRunError` where that cannot be."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        if os.geteuid() != 0:
            raise CannotRunError("Chromium is missing: install it, or run this as root, which does.")
        packages.ensure(PACKAGES)
        found = shutil.which(NAMES[0])
    if found is None:
        raise CannotRunError("Chromium is missing, and the package of that name did not bring it.")
    return found


@dataclass
class Page:
    """One tab, and everything it said so far."""

    connection: websockets.ClientConnection
    console: list[str] = field(default_factory=list)
    """Warnings, errors and exceptions, violations of the Content-Security-Policy among them."""
    requested: list[str] = field(default_factory=list)
    """Every URL that was asked for."""
    _answers: dict[int, asyncio.Future[dict[str, Any]]] = field(default_factory=dict)

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol. Raises `RuntimeError` where the browser refuses it."""
        number = len(self._answers)
        self._answers[number] = asyncio.get_running_loop().create_future()
        await self.connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        async with asyncio.timeout(ANSWER_SECONDS):
            answer = await self._answers[number]
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        result: dict[str, Any] = answer["result"]
        return result

    async def open(self, url: str) -> None:
        """Return when the document and its modules ran."""
        await self.call("Page.navigate", url=url)
        await self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    async def value(self, expression: str) -> Any:
        """Of JavaScript in the page."""
        answer = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails'].get('exception', {}).get('description')}")
        return answer["result"].get("value")

    async def until(self, expression: str, within_seconds: float = 10) -> Any:
        """Its value, once that is true. Raises `TimeoutError`."""
        try:
            async with asyncio.timeout(within_seconds):
                while not (value := await self.value(expression)):
                    await asyncio.sleep(0.02)
        except TimeoutError:
            shown = await self.value("document.body.innerText")
            raise TimeoutError(f"not true in {within_seconds} s: {expression}\n{shown}") from None
        return value

    async def press(self, key: str, *, control: bool = False) -> None:
        """A key, as a person does."""
        code, number, text = KEYS[key]
        shared = {"key": key, "code": code, "windowsVirtualKeyCode": number, "modifiers": CONTROL if control else 0}
        typed = {} if control or not text else {"text": text}
        await self.call("Input.dispatchKeyEvent", type="keyDown", **shared, **typed)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **shared)

    async def write(self, text: str) -> None:
        """Into what has the focus."""
        await self.call("Input.insertText", text=text)

    async def emulate(self, *, scheme: str = "light", reduced_motion: bool = False) -> None:
        """What a person prefers."""
        motion = "reduce" if reduced_motion else "no-preference"
        wishes = {"prefers-color-scheme": scheme, "prefers-reduced-motion": motion}
        features = [{"name": name, "value": value} for name, value in wishes.items()]
        await self.call("Emulation.setEmulatedMedia", features=features)

    async def resize(self, width: int, height: int, scale: float = 1) -> None:
        """The window, in CSS pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": False}
        await self.call("Emulation.setDeviceMetricsOverride", **size)

    async def picture(self) -> bytes:
        """The whole page as PNG."""
        answer = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        return base64.b64decode(answer["data"])

    async def listen(self) -> None:
        """Take what the browser says, until it is gone."""
        with suppress(websockets.ConnectionClosed):
            async for message in self.connection:
                self._take(json.loads(message))

    def _take(self, message: dict[str, Any]) -> None:
        told = message.get("params", {})
        match message.get("method"):
            case None:
                self._answers[message["id"]].set_result(message)
            case "Log.entryAdded" if told["entry"]["level"] in {"warning", "error"}:
                self.console.append(f"{told['entry']['text']} {told['entry'].get('url', '')}")
            case "Runtime.exceptionThrown":
                self.console.append(str(told["exceptionDetails"].get("exception", {}).get("description")))
            case "Runtime.consoleAPICalled" if told["type"] in {"warning", "error", "assert"}:
                self.console.append(" ".join(str(argument.get("value")) for argument in told["args"]))
            case "Network.requestWillBeSent":
                self.requested.append(told["request"]["url"])


@asynccontextmanager
async def browser(*options: str) -> AsyncIterator[Page]:
    """A fresh Chromium with one empty page; all of it is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="ttsfleet-browser-", ignore_cleanup_errors=True) as folder:
        command = [installed(), *NO_FRILLS, *options, f"--user-data-dir={folder}", "about:blank"]
        process = await _started(command, Path(folder))
        try:
            async with websockets.connect(await _address(process, Path(folder)), max_size=None, proxy=None) as connection:
                page = Page(connection)
                listening = asyncio.create_task(page.listen())
                for domain in ("Page", "Runtime", "Log", "Network"):
                    await page.call(f"{domain}.enable")
                yield page
                listening.cancel()
        finally:
            with suppress(ProcessLookupError):
                process.terminate()
            await process.wait()


async def _started(command: Sequence[str], folder: Path) -> asyncio.subprocess.Process:
    # Without the desktop's session bus, which containers lack and which is not asked for anything.
    environment = {**os.environ, "HOME": str(folder), "DBUS_SESSION_BUS_ADDRESS": "disabled:"}
    with (folder / "said").open("wb") as said:
        return await asyncio.create_subprocess_exec(*command, stdout=said, stderr=said, env=environment)


async def _address(process: asyncio.subprocess.Process, folder: Path) -> str:
    """Of the first page."""
    async with asyncio.timeout(START_SECONDS):
        while process.returncode is None:
            found = re.search(r"DevTools listening on ws://([^/]+)/", (folder / "said").read_text(errors="replace"))
            if found:
                return await _page_at(found[1])
            await asyncio.sleep(0.02)
    raise CannotRunError(f"Chromium does not start: {(folder / 'said').read_text(errors='replace')}")


async def _page_at(host: str) -> str:
    import httpx

    async with httpx.AsyncClient(trust_env=False) as client:
        while True:
            targets = (await client.get(f"http://{host}/json/list")).json()
            pages = [target["webSocketDebuggerUrl"] for target in targets if target["type"] == "page"]
            if pages:
                return str(pages[0])
            await asyncio.sleep(0.02)
