"""`/docs`: who gets it, what it may load, and what it shows in a real browser."""

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hack.browser import Browser, browser
from tests.support.server_app import config, running_app
from tests.support.server_process import Running, running
from tts_server.app.asgi import routes
from tts_server.config.defaults import embedded_config
from tts_server.config.schema import AuthConfig, AuthMode
from tts_server.http.static_files import STYLE_FOLDER
from tts_server.routes.docs import FILES, FOLDER

KEYED = AuthConfig(modes=(AuthMode.API_KEY,))
PATHS = ("/docs", *(f"/docs/{name}" for name in sorted(FILES)))


async def test_a_laptop_has_it_and_a_configured_server_only_if_it_says_so(tmp_path: Path) -> None:
    assert embedded_config().docs
    async with running_app(config(tmp_path, playground=True)) as off:
        for path in PATHS:
            reply = await off.client.get(path)
            assert (reply.status_code, reply.json()["error"]["code"]) == (404, "not_found")
    async with running_app(config(tmp_path, docs=True, auth=KEYED)) as on:
        for path in PATHS:
            assert (await on.client.get(path)).status_code == 200, "it needs no key"
        assert (await on.client.get("/")).status_code == 404, "it is not the playground"
        assert (await on.client.head("/docs")).status_code == 200
        assert (await on.client.get("/docs/nothing.js")).status_code == 404
    async with running_app(config(tmp_path, docs=True, role="Member")) as member:
        assert (await member.client.get("/docs")).status_code == 404


@pytest.mark.parametrize("name", sorted(FILES))
async def test_every_file_is_its_own_and_is_asked_for_again(tmp_path: Path, name: str) -> None:
    async with running_app(config(tmp_path, docs=True)) as here:
        reply = await here.client.get(f"/docs/{name}")
        folder = FOLDER if (FOLDER / name).exists() else STYLE_FOLDER
        assert reply.content == (folder / name).read_bytes()
        assert "default-src 'none'" in reply.headers["content-security-policy"]
        again = await here.client.get(f"/docs/{name}", headers={"If-None-Match": reply.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


def test_it_refers_to_no_other_host() -> None:
    read = Addresses()
    read.feed((FOLDER / "index.html").read_text(encoding="utf-8"))
    assert {address.removeprefix("docs/") for address in read.found} <= {*FILES, "openapi.json"}
    assert all("://" not in file.content.decode().replace("http://www.w3.org/", "") for file in FILES.values())


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("laptop")) as server:
        yield server


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as started:
        yield started


async def test_a_person_reads_every_route_field_and_code(laptop: Running, chromium: Browser) -> None:
    document = routes().openapi()
    async with chromium.page() as page:
        await page.open(f"{laptop.url}/docs")
        await page.until("document.querySelectorAll('section').length > 0")
        titles = await page.value("[...document.querySelectorAll('h2')].map((title) => title.textContent)")
        assert sorted(titles) == sorted(
            f"{method.upper()} {path}"
            for path, methods in document["paths"].items()
            for method in methods
            if method != "head"
        )
        shown = await page.value("document.getElementById('speech').closest('section').textContent")
        for word in ("response_format", "insufficient_quota", "X-TTS-Engine", "audio/mpeg"):
            assert word in shown
        assert page.console == []
        assert all(url.startswith(laptop.url) for url in page.requested)


class Addresses(HTMLParser):
    """Addresses that a page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {value for name, value in attrs if name in {"src", "href"} and value}
