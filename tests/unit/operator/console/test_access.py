"""The console answers its own page only: by Host, Origin, Sec-Fetch-Site and the token in the path."""

from __future__ import annotations

import pytest

from tts_operator.console.access import Access

ACCESS = Access(8123, token="the-token")
HOST = "127.0.0.1:8123"
OWN = {"Host": HOST}
ORIGIN = {"Origin": f"http://{HOST}"}

REQUESTS: dict[str, tuple[str, str, dict[str, str], str]] = {
    # the story                     method  path              headers                    part of the refusal
    "the page":                    ("GET",  "/the-token/",     OWN,                       ""),
    "the page by name":            ("GET",  "/the-token/",     {"Host": "localhost:8123"}, ""),
    "without a token":             ("GET",  "/",               OWN,                       "token"),
    "another token":               ("GET",  "/the-tokem/",     OWN,                       "token"),
    "a token that is longer":      ("GET",  "/the-token2/",    OWN,                       "token"),
    "a name that leads here":      ("GET",  "/the-token/",     {"Host": "evil.example:8123"}, "Host"),
    "another port":                ("GET",  "/the-token/",     {"Host": "127.0.0.1:80"},  "Host"),
    "no Host":                     ("GET",  "/the-token/",     {},                        "Host"),
    "its own origin":              ("POST", "/the-token/x",    {**OWN, **ORIGIN},         ""),
    "another origin":              ("GET",  "/the-token/x",    {**OWN, "Origin": "http://evil.example"}, "origins"),
    "an opaque origin":            ("GET",  "/the-token/x",    {**OWN, "Origin": "null"}, "origins"),
    "its origin under the other name": ("POST", "/the-token/x", {**OWN, "Origin": "http://localhost:8123"}, "origins"),
    "its origin by https":         ("POST", "/the-token/x",    {**OWN, "Origin": f"https://{HOST}"}, "origins"),
    "a write without an origin":   ("POST", "/the-token/x",    OWN,                       "Origin"),
    "an image on another site":    ("GET",  "/the-token/about", {**OWN, "Sec-Fetch-Site": "cross-site"}, "sites"),
    "a link on another site":      ("GET",  "/the-token/", {**OWN, "Sec-Fetch-Site": "cross-site",
                                                            "Sec-Fetch-Mode": "navigate"}, ""),
    "a link to a part of it":      ("GET",  "/the-token/about", {**OWN, "Sec-Fetch-Site": "cross-site",
                                                                 "Sec-Fetch-Mode": "navigate"}, "sites"),
}  # fmt: skip


@pytest.mark.parametrize(("method", "path", "headers", "told"), REQUESTS.values(), ids=REQUESTS)
def test_only_the_page_itself_may_ask(method: str, path: str, headers: dict[str, str], told: str) -> None:
    refusal = ACCESS.refusal(method, path, headers)
    assert (told in refusal) if told else refusal == ""
    assert "the-token" not in refusal


def test_every_console_has_a_token_of_its_own_that_no_text_shows() -> None:
    one, other = Access(1), Access(1)
    assert one.token != other.token
    assert len(one.token) >= 40
    assert one.token not in repr(one)
    assert one.url == f"http://127.0.0.1:1/{one.token}/"
