"""The playground's files over HTTP: who gets them, and how they are kept."""

from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.support.server_app import config, running_app
from tts_server.config.defaults import embedded_config
from tts_server.config.schema import AuthConfig, AuthMode
from tts_server.http.static_files import STYLE_FOLDER
from tts_server.routes.playground import FILES, FOLDER

KEYED = AuthConfig(modes=(AuthMode.API_KEY,))


async def test_a_laptop_has_it_and_a_configured_server_only_if_it_says_so(tmp_path: Path) -> None:
    assert embedded_config().playground
    async with running_app(config(tmp_path)) as off:
        for path in ("/", "/playground/app.js"):
            reply = await off.client.get(path)
            assert (reply.status_code, reply.json()["error"]["code"]) == (404, "not_found")
    async with running_app(config(tmp_path, playground=True)) as on:
        assert (await on.client.get("/")).status_code == 200
        assert (await on.client.head("/")).status_code == 200
        assert (await on.client.post("/")).status_code == 405
    async with running_app(config(tmp_path, playground=True, role="Member")) as member:
        assert (await member.client.get("/")).status_code == 404


async def test_the_page_needs_no_key_and_its_data_does(tmp_path: Path) -> None:
    async with running_app(config(tmp_path, playground=True, auth=KEYED)) as here:
        assert (await here.client.get("/")).status_code == 200
        for path in ("/v1/models", "/v1/audio/voices", "/v1/usage"):
            assert (await here.client.get(path)).status_code == 401


@pytest.mark.parametrize("name", sorted(FILES))
async def test_every_file_is_kept_and_asked_for_again(tmp_path: Path, name: str) -> None:
    async with running_app(config(tmp_path, playground=True)) as here:
        reply = await here.client.get(f"/playground/{name}")
        folder = FOLDER if (FOLDER / name).exists() else STYLE_FOLDER
        assert reply.content == (folder / name).read_bytes()
        assert reply.headers["cache-control"] == "no-cache"
        assert reply.headers["x-content-type-options"] == "nosniff"
        etag = reply.headers["etag"]
        for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
            again = await here.client.get(f"/playground/{name}", headers={"If-None-Match": known})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
        other = await here.client.get(f"/playground/{name}", headers={"If-None-Match": '"other"'})
        assert other.status_code == 200


async def test_nothing_else_of_the_machine_is_served(tmp_path: Path) -> None:
    async with running_app(config(tmp_path, playground=True)) as here:
        for path in (
            "/playground/",
            "/playground/nothing.js",
            "/playground/..%2fconfig.py",
            "/playground/%2e%2e/app.py",
        ):
            assert (await here.client.get(path)).status_code == 404


async def test_the_policy_lets_nothing_in_but_the_pages_own_files(tmp_path: Path) -> None:
    async with running_app(config(tmp_path, playground=True)) as here:
        page = await here.client.get("/")
        policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert set(policy.values()) == {"'none'", "'self'"}
        read = Reader()
        read.feed(page.text)
        assert read.inline == [], "inline scripts, styles and handlers need no exception where there are none"
        assert {address.removeprefix("playground/") for address in read.addresses} <= FILES.keys()


class Reader(HTMLParser):
    """Collect what a page refers to, and what in it would need `unsafe-inline`."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: set[str] = set()
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.inline += [name for name in given if name.startswith("on") or name == "style"]
        self.inline += [tag] if tag == "style" or (tag == "script" and "src" not in given) else []
        self.addresses |= {value for name, value in attrs if name in {"src", "href"} and value}
