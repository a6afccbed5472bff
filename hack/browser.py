"""Drives a real Chromium over the DevTools protocol, as far as tests and screenshots of pages need it.

`python -m hack.browser` installs Chromium if it is missing.
"""

import asyncio
import base64
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import websockets

from hack.cluster import packages
from hack.cluster.errors import CannotRunError

NAMES = (
    "chromium", "chromium-browser", "google-chrome", "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)  # fmt: skip
PACKAGES: Mapping[str, str] = {"chromium": "chromium"}
START_SECONDS = 30.0
ANSWER_SECONDS = 10.0
FLAGS = (
    "--headless=new",
    "--hide-scrollbars",
    "--no-sandbox",  # the sandbox needs privileges that containers lack; only this project's page is opened
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
    "Enter": ("Enter", 13, "\r"), "Escape": ("Escape", 27, ""), "Tab": ("Tab", 9, ""), "Delete": ("Delete", 46, ""),
}  # fmt: skip
CONTROL = 2


def installed() -> str:
    """Path of Chromium, which is installed if it is missing. Raises `CannotRunError` if it cannot be installed."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        if os.geteuid() != 0:
            raise CannotRunError("Chromium is missing: install it, or run this as root, which installs it.")
        packages.ensure(PACKAGES)
        found = shutil.which(NAMES[0])
    if found is None:
        raise CannotRunError("Chromium is missing, and the package chromium does not contain it.")
    return found


@dataclass
class Page:
    """A tab, with its console messages and requests so far."""

    connection: websockets.ClientConnection
    console: list[str] = field(default_factory=list)
    """Warnings, errors and exceptions, including violations of the Content-Security-Policy."""
    requested: list[str] = field(default_factory=list)
    """URLs of all requests."""
    _answers: dict[int, asyncio.Future[dict[str, Any]]] = field(default_factory=dict)

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one command of the protocol. Raises `RuntimeError` if the browser refuses it."""
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
        """Open a page; returns once the document and its modules have run."""
        await self.call("Page.navigate", url=url)
        await self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    async def value(self, expression: str) -> Any:
        """Evaluate JavaScript in the page. Raises `RuntimeError` with its exception."""
        answer = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails'].get('exception', {}).get('description')}")
        return answer["result"].get("value")

    async def until(self, expression: str, within_seconds: float = 10) -> Any:
        """Wait until a JavaScript expression is true. Returns its value; raises `TimeoutError`."""
        try:
            async with asyncio.timeout(within_seconds):
                while not (value := await self.value(expression)):  # noqa: ASYNC110 - there is no event for it
                    await asyncio.sleep(0.02)
        except TimeoutError:
            shown = await self.value("document.body.innerText")
            raise TimeoutError(f"not true in {within_seconds} s: {expression}\n{shown}") from None
        return value

    async def press(self, key: str, *, control: bool = False) -> None:
        """Press and release a key."""
        code, number, text = KEYS[key]
        shared = {"key": key, "code": code, "windowsVirtualKeyCode": number, "modifiers": CONTROL if control else 0}
        typed = {} if control or not text else {"text": text}
        await self.call("Input.dispatchKeyEvent", type="keyDown", **shared, **typed)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **shared)

    async def write(self, text: str) -> None:
        """Type text into the focused element."""
        await self.call("Input.insertText", text=text)

    async def emulate(self, *, scheme: str = "light", reduced_motion: bool = False) -> None:
        """Emulate the person's preferences for colors and motion."""
        motion = "reduce" if reduced_motion else "no-preference"
        preferences = {"prefers-color-scheme": scheme, "prefers-reduced-motion": motion}
        features = [{"name": name, "value": value} for name, value in preferences.items()]
        await self.call("Emulation.setEmulatedMedia", features=features)

    async def resize(self, width: int, height: int, scale: float = 1) -> None:
        """Set the size of the window, in CSS pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": False}
        await self.call("Emulation.setDeviceMetricsOverride", **size)

    async def slow_down(self, bytes_per_second: int) -> None:
        """Limit downloads from now on."""
        await self.call(
            "Network.emulateNetworkConditions",
            offline=False,
            latency=0,
            downloadThroughput=bytes_per_second,
            uploadThroughput=-1,
        )

    async def picture(self) -> bytes:
        """Screenshot of the whole page, as PNG."""
        answer = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        return base64.b64decode(answer["data"])

    async def listen(self) -> None:
        """Handle the browser's messages until it closes the connection."""
        with suppress(websockets.ConnectionClosed):
            async for message in self.connection:
                self._handle(json.loads(message))

    def _handle(self, message: dict[str, Any]) -> None:
        params = message.get("params", {})
        match message.get("method"):
            case None:
                self._answers[message["id"]].set_result(message)
            case "Log.entryAdded" if params["entry"]["level"] in {"warning", "error"}:
                self.console.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
            case "Runtime.exceptionThrown":
                self.console.append(str(params["exceptionDetails"].get("exception", {}).get("description")))
            case "Runtime.consoleAPICalled" if params["type"] in {"warning", "error", "assert"}:
                self.console.append(" ".join(str(argument.get("value")) for argument in params["args"]))
            case "Network.requestWillBeSent":
                self.requested.append(params["request"]["url"])


@dataclass(frozen=True, slots=True)
class Browser:
    """Running Chromium."""

    address: str
    """Host and port of its DevTools."""

    @asynccontextmanager
    async def page(self) -> AsyncIterator[Page]:
        """Open a new tab, which is closed afterwards."""
        async with httpx.AsyncClient(base_url=f"http://{self.address}/json", trust_env=False) as tabs:
            tab = (await tabs.put("/new?about:blank")).json()
            async with websockets.connect(tab["webSocketDebuggerUrl"], max_size=None, proxy=None) as connection:
                page = Page(connection)
                listening = asyncio.create_task(page.listen())
                for domain in ("Page", "Runtime", "Log", "Network"):
                    await page.call(f"{domain}.enable")
                yield page
                await tabs.get(f"/close/{tab['id']}")
            await listening


@contextmanager
def browser() -> Iterator[Browser]:
    """Start Chromium with a new profile; both are removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="ttsfleet-browser-", ignore_cleanup_errors=True) as folder:
        output_file = Path(folder) / "output"
        command = [installed(), *FLAGS, f"--user-data-dir={folder}", "about:blank"]
        # Without the desktop's session bus, which containers lack and which nothing here needs.
        environment = {**os.environ, "HOME": folder, "DBUS_SESSION_BUS_ADDRESS": "disabled:"}
        with output_file.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
        try:
            yield Browser(_address(process, output_file))
        finally:
            process.terminate()
            process.wait()


def _address(process: "subprocess.Popen[bytes]", output_file: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        found = re.search(r"DevTools listening on ws://([^/]+)/", output_file.read_text(errors="replace"))
        if found:
            return found[1]
        time.sleep(0.02)
    raise CannotRunError(f"Chromium does not start: {output_file.read_text(errors='replace')}")


def main() -> int:
    """Print the path of Chromium."""
    try:
        print(f"browser: {installed()}")
    except CannotRunError as error:
        print(f"browser: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
