"""Screenshots of the playground for the documentation: `python -m hack.screenshots` writes docs/playground-*.png."""

import asyncio
import json
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hack.browser import Page, browser
from hack.cluster.errors import CannotRunError

DOCS = Path(__file__).parents[1] / "docs"
SCHEMES = ("light", "dark")
WIDTH, HEIGHT = 960, 600
LARGEST_BYTES = 150_000
START_SECONDS = 60.0
QUOTA = {"requestsPerMinute": 100, "charactersPerDay": 200_000}
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def main() -> int:
    """Write a screenshot in each color scheme."""
    with tempfile.TemporaryDirectory(prefix="ttsfleet-") as folder, server(Path(folder)) as url, browser() as chromium:

        async def look(scheme: str) -> bytes:
            async with chromium.page() as page:
                return await picture(page, url, scheme)

        for scheme in SCHEMES:
            file = DOCS / f"playground-{scheme}.png"
            file.write_bytes(smaller(asyncio.run(look(scheme))))
            size = file.stat().st_size
            print(f"{file.relative_to(DOCS.parent)}: {size // 1000} kB")
            if size > LARGEST_BYTES:
                raise CannotRunError(f"{file.name} is larger than {LARGEST_BYTES} bytes.")
    return 0


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
