"""Screenshots for docs: `python -m hack.screenshots` writes docs/playground-*.png and docs/console-*.png."""

import asyncio
import base64
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import yaml

from hack import console_fleet
from hack.browser import Browser, Page, browser
from hack.cluster.control_plane import ControlPlane, Options
from hack.cluster.errors import CannotRunError
from tts_operator.api.crd import definitions

DOCS = Path(__file__).parents[1] / "docs"
SCHEMES = ("light", "dark")
WIDTH, HEIGHT = 960, 600
CONSOLE_SIZE = 1280, 760
CONSOLE_TENANTS = 60
SHOWN_TENANT = "team-lessons/lessons-0001"
LARGEST_BYTES = 200_000
START_SECONDS = 60.0
QUOTA = {"requestsPerMinute": 100, "charactersPerDay": 200_000}
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def main() -> int:
    """Write the screenshots in each color scheme. An argument names the page: `playground` or `console`."""
    pages = {"playground": playground, "console": console_screenshots}
    for name in sys.argv[1:] or pages:
        pages[name]()
    return 0


def playground() -> None:
    """Write the screenshots of the playground."""
    with tempfile.TemporaryDirectory(prefix="ttsfleet-") as folder, server(Path(folder)) as url, browser() as chromium:

        async def look(scheme: str) -> bytes:
            async with chromium.page() as page:
                return await picture(page, url, scheme)

        for scheme in SCHEMES:
            save(f"playground-{scheme}", asyncio.run(look(scheme)))


def console_screenshots() -> None:
    """Write the screenshots of the console, over a control plane with a fleet."""
    with tempfile.TemporaryDirectory(prefix="ttsfleet-") as folder, browser() as chromium:
        plane = ControlPlane.start(Path(folder), Options(die_with_parent=True))
        try:
            with console(plane) as url:
                for scheme in SCHEMES:
                    for name, png in asyncio.run(console_pictures(chromium, url, scheme)).items():
                        save(f"console-{name}-{scheme}", png)
        finally:
            plane.stop()


async def console_pictures(chromium: Browser, url: str, scheme: str) -> dict[str, bytes]:
    """Screenshots of the pages of the console."""
    async with chromium.page() as page:
        await page.emulate(scheme=scheme, reduced_motion=True)
        await page.resize(*CONSOLE_SIZE)
        await page.open(url)
        await page.until("document.getElementById('totals').textContent.startsWith('60 tenants')", START_SECONDS)
        await page.until("document.querySelectorAll('.p95[title=\"\"]').length > 3", START_SECONDS)
        pictures = {"fleet": await page.picture()}
        await page.value(f"location.hash = '#/tenant/{SHOWN_TENANT}'")
        await page.until("document.getElementById('tenant').innerText.includes('API keys')", START_SECONDS)
        clip = {"x": 0, "y": 0, "width": CONSOLE_SIZE[0], "height": CONSOLE_SIZE[1] + 60, "scale": 1}
        answer = await page.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        pictures["tenant"] = base64.b64decode(answer["data"])
        return pictures


@contextmanager
def console(plane: ControlPlane) -> Iterator[str]:
    """Start the console over a fleet whose pods serve metrics. Yields its address."""
    definitions_file = plane.folder / "crds.yaml"
    definitions_file.write_text(yaml.safe_dump_all(definitions()))
    plane.kubectl("apply", "--server-side", "-f", str(definitions_file))
    plane.wait_established("ttsmodels.ttsfleet.io", "ttstenants.ttsfleet.io")
    asyncio.run(console_fleet.fleet(plane.kubeconfig, CONSOLE_TENANTS))
    now, address = datetime.now(UTC), console_fleet.own_address()
    with ExitStack() as stack:
        pods = []
        for number in range(CONSOLE_TENANTS):
            if (body := console_fleet.tenant(number, now))["status"]["pools"][0]["ready"]:
                port = stack.enter_context(console_fleet.serving(console_fleet.metrics(number), address))
                pods.append(console_fleet.pod(body, address, port))
        asyncio.run(console_fleet.put(plane.kubeconfig, pods))
        command = [sys.executable, "-m", "tts_operator.cli.kubectl_tts", "console", "--no-browser"]
        path = f"{plane.programs['kubectl'].parent}:{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "KUBECONFIG": str(plane.kubeconfig)}
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()
            process.wait()


def save(name: str, png: bytes) -> None:
    """Write a picture into docs. Raises CannotRunError for one that is too large."""
    file = DOCS / f"{name}.png"
    file.write_bytes(smaller(png))
    size = file.stat().st_size
    print(f"{file.relative_to(DOCS.parent)}: {size // 1000} kB")
    if size > LARGEST_BYTES:
        raise CannotRunError(f"{file.name} is larger than {LARGEST_BYTES} bytes.")


async def picture(page: Page, url: str, scheme: str) -> bytes:
    """Screenshot of the page after its first request for speech."""
    await page.emulate(scheme=scheme, reduced_motion=True)
    await page.resize(WIDTH, HEIGHT)
    await page.open(url)
    await page.until("document.getElementById('model').options.length > 1")
    await page.press("Enter", control=True)
    await page.until("document.getElementById('status').textContent.startsWith('Done')", 30)
    await page.until("document.getElementById('quota').children.length > 0")
    return await page.picture()


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """Start a server with limits, so that the page shows them. Yields its address."""
    (folder / "quota.json").write_text(json.dumps(QUOTA))
    program = Path(sys.executable).with_name("tts-server")
    command = [str(program), "--port=0", "--metrics-port=0", f"--quota={folder / 'quota.json'}"]
    output_file = folder / "output"
    with output_file.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        yield f"http://127.0.0.1:{_port(process, output_file)}/"
    finally:
        process.terminate()
        process.wait()


def _port(process: "subprocess.Popen[bytes]", output_file: Path) -> int:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        lines = [
            json.loads(line)
            for line in output_file.read_text().splitlines()
            if line.startswith("{") and line[-1] == "}"
        ]
        events = {line["event"]: line for line in lines}
        if "ready" in events:
            return int(events["listening"]["port"])
        time.sleep(0.05)
    raise CannotRunError(f"tts-server does not start: {output_file.read_text()}")


def smaller(png: bytes) -> bytes:
    """Recompress a PNG at the highest level, which browsers do not use."""
    packed, header, at = b"", b"", len(SIGNATURE)
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        kind, content = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        packed += content if kind == b"IDAT" else b""
        header = content if kind == b"IHDR" else header
        at += 12 + length
    data = zlib.compress(zlib.decompress(packed), 9)
    return SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


if __name__ == "__main__":
    sys.exit(main())
