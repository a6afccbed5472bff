"""Links as players use them: parts of the audio, audio they have already, and questions before it; at any replica."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.support.replicas import Replicas, replicas
from tts_server.storage.peers import HOP

LENGTH = 44 + 3200


@pytest.fixture(params=["owner", "another replica"])
async def client(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[httpx.AsyncClient, str]]:
    """A client of a replica, and a link to audio that it or another one keeps."""
    async with replicas(tmp_path) as fleet:
        app = fleet.owner if request.param == "owner" else fleet.other
        yield app.client, await fleet.link()


PARTS: dict[str, tuple[str, int, int]] = {
    # what is asked for         which it is        from, and to before
    "the beginning":            ("bytes=0-99", 0, 100),
    "one byte":                 ("bytes=7-7", 7, 8),
    "from there to the end":    ("bytes=3000-", 3000, LENGTH),
    "the last ones":            ("bytes=-44", LENGTH - 44, LENGTH),
    "more than there is":       ("bytes=3000-999999", 3000, LENGTH),
    "the last million":         ("bytes=-1000000", 0, LENGTH),
    "all of it":                ("bytes=0-", 0, LENGTH),
}  # fmt: skip


@pytest.mark.parametrize(("asked", "start", "end"), PARTS.values(), ids=PARTS)
async def test_a_part_is_given(client: tuple[httpx.AsyncClient, str], asked: str, start: int, end: int) -> None:
    http, link = client
    whole = (await http.get(link)).content
    reply = await http.get(link, headers={"Range": asked})
    assert (reply.status_code, reply.content) == (206, whole[start:end])
    assert reply.headers["content-range"] == f"bytes {start}-{end - 1}/{LENGTH}"
    assert reply.headers["content-length"] == str(end - start)
    assert reply.headers["content-type"] == "audio/wav"


@pytest.mark.parametrize(
    "asked", ["bytes=5-2", "bytes=-", "bytes=0-1,3-4", "items=0-1", "bytes=a-b", "bytes=0x1-2", ""]
)
async def test_what_is_no_range_is_passed_over(client: tuple[httpx.AsyncClient, str], asked: str) -> None:
    http, link = client
    reply = await http.get(link, headers={"Range": asked})
    assert (reply.status_code, len(reply.content)) == (200, LENGTH)
    assert reply.headers["accept-ranges"] == "bytes"


@pytest.mark.parametrize("asked", [f"bytes={LENGTH}-", "bytes=999999-1000000", "bytes=-0"])
async def test_what_is_not_there_is_refused_with_the_length(client: tuple[httpx.AsyncClient, str], asked: str) -> None:
    http, link = client
    reply = await http.get(link, headers={"Range": asked})
    assert (reply.status_code, reply.json()["error"]["code"]) == (416, "range_not_satisfiable")
    assert reply.headers["content-range"] == f"bytes */{LENGTH}"


async def test_a_part_of_other_audio_is_not_wanted(client: tuple[httpx.AsyncClient, str]) -> None:
    http, link = client
    etag = (await http.get(link)).headers["etag"]
    for validator, status in ((etag, 206), ('"another"', 200), ("Sat, 21 Nov 2026 23:18:28 GMT", 200)):
        reply = await http.get(link, headers={"Range": "bytes=0-9", "If-Range": validator})
        assert reply.status_code == status


async def test_audio_that_the_caller_has_is_not_sent_again(client: tuple[httpx.AsyncClient, str]) -> None:
    http, link = client
    etag = (await http.get(link)).headers["etag"]
    for known, status in ((etag, 304), (f'"x", W/{etag}', 304), ("*", 304), ('"x"', 200)):
        reply = await http.get(link, headers={"If-None-Match": known})
        assert (reply.status_code, bool(reply.content)) == (status, status == 200)
        assert reply.headers["etag"] == etag


async def test_a_condition_opens_no_link(client: tuple[httpx.AsyncClient, str]) -> None:
    http, link = client
    for name, value in (("Range", "bytes=0-9"), ("If-None-Match", "*")):
        reply = await http.get(link[:-1] + ("0" if link[-1] != "0" else "1"), headers={name: value})
        assert reply.status_code == 403


async def test_a_question_before_is_answered_as_the_audio_would_be(client: tuple[httpx.AsyncClient, str]) -> None:
    http, link = client
    reply, asked = await http.get(link), await http.head(link)
    assert asked.status_code == 200
    for name in ("content-type", "content-length", "etag", "accept-ranges"):
        assert asked.headers[name] == reply.headers[name]


async def test_only_conditions_are_passed_on(tmp_path: Path) -> None:
    async with replicas(tmp_path) as fleet:
        link = await fleet.link()
        await fleet.other.client.get(link, headers={"Range": "bytes=0-9", "Authorization": "Bearer x", "Cookie": "a=b"})
        assert _names(fleet) == {"range", HOP.lower()}


def _names(fleet: Replicas) -> set[str]:
    usual = {"host", "accept", "accept-encoding", "connection", "user-agent"}
    return {name.decode() for name, _ in fleet.headers[-1]} - usual
