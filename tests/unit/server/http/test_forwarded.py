"""Addresses that trusted proxies forward, and the parts of them that may stand in a link."""

import pytest

from tts_server.http.forwarded import Forwarded, plain_host
from tts_server.http.slashes import repaired

FORWARDED: dict[str, tuple[dict[str, str], Forwarded]] = {
    "nothing": ({}, Forwarded()),
    "all three": (
        {"proto": "https", "host": "speech.example", "prefix": "/tts"},
        Forwarded("https", "speech.example", "/tts"),
    ),
    "of two proxies the first": (
        {"proto": "HTTPS, http", "host": "speech.example:8443, inner", "prefix": "/tts/,/x"},
        Forwarded("https", "speech.example:8443", "/tts"),
    ),
    "a prefix of slashes": ({"prefix": "/"}, Forwarded()),
    "what is no prefix": ({"prefix": "//evil.example"}, Forwarded()),
    "a prefix that goes up": ({"prefix": "/a/../b"}, Forwarded()),
    "a prefix without a slash": ({"prefix": "tts"}, Forwarded()),
    "what is no host": ({"host": "a/b", "proto": "javascript"}, Forwarded()),
    "a host with a user": ({"host": "me@evil.example"}, Forwarded()),
}


@pytest.mark.parametrize(("sent", "expected"), FORWARDED.values(), ids=FORWARDED)
def test_forwarded(sent: dict[str, str], expected: Forwarded) -> None:
    assert Forwarded.of({f"x-forwarded-{name}": value for name, value in sent.items()}) == expected


@pytest.mark.parametrize("host", ["x", "x:80", "10.0.0.1:8080", "[::1]", "[fd00::1]:443", "a_b.example"])
def test_a_host_that_may_stand_in_a_link(host: str) -> None:
    assert plain_host(host) == host
    assert plain_host(f"{host}/") == ""


@pytest.mark.parametrize(
    ("path", "expected"),
    [("//v1//audio/speech/", "/v1/audio/speech"), ("//", "/"), ("/v1/models", "/v1/models"), ("/v1/../x/", "/v1/../x")],
)
def test_slashes(path: str, expected: str) -> None:
    assert repaired(path) == expected
