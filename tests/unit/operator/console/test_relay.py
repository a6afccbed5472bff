"""The console passes on to a tenant's Service a request and its key, and back an answer without rules for the page."""

from __future__ import annotations

import pytest

from tts_operator.console.files import CONSOLE, PLAYGROUND, playground_page
from tts_operator.console.relay import (
    answered_headers,
    onward_headers,
    passive,
    refusal_of_api_server,
    service_path,
)
from tts_operator.objects.keys import Key

KEY = Key("team-acme", "acme")


def test_the_key_of_the_tenant_goes_where_the_api_server_leaves_it() -> None:
    headers = {"Authorization": "Bearer a-key", "Content-Type": "application/json", "Cookie": "c", "Host": "h"}
    assert onward_headers(headers) == {"Content-Type": "application/json", "X-API-Key": "a-key"}
    assert onward_headers({"Authorization": "Basic x"}) == {}


def test_no_answer_governs_the_page() -> None:
    headers = {
        "Content-Security-Policy": "default-src *",
        "Set-Cookie": "a=b",
        "Access-Control-Allow-Origin": "*",
        "Location": "/",
        "X-Request-Id": "r1",
        "X-Content-Type-Options": "sniff",
        "Retry-After": "3",
    }
    assert answered_headers(headers) == {"X-Request-Id": "r1", "Retry-After": "3"}


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("audio/pcm; rate=24000", "audio/pcm; rate=24000"),
        ("application/json", "application/json"),
        ("text/html", "application/octet-stream"),
        ("image/svg+xml", "application/octet-stream"),
        ("", "application/octet-stream"),
    ],
)
def test_a_tenants_server_writes_no_page_of_the_console(sent: str, shown: str) -> None:
    assert passive(sent) == shown


def test_names_stay_within_their_place_in_the_path() -> None:
    assert service_path(KEY, "v1/models") == "/api/v1/namespaces/team-acme/services/acme:http/proxy/v1/models"
    assert "/../" not in service_path(Key("../secrets", "a/b"), "v1/models")


def test_refusals_of_the_api_server_say_what_to_ask_for() -> None:
    def told(code: int) -> str:
        return refusal_of_api_server(code, {"kind": "Status", "message": "no."}, KEY)

    assert "services/proxy in team-acme" in told(403)
    assert "is one ready?" in told(503)
    assert "no Service" in told(404)
    assert refusal_of_api_server(403, {"error": {"message": "the server's own"}}, KEY) == ""


def test_the_playground_names_the_tenants_own_address_and_nothing_can_leave_the_attribute() -> None:
    page = playground_page('http://x/"><script>').content.decode()
    assert '<meta name="endpoint" content="http://x/&quot;&gt;&lt;script&gt;">' in page


def test_the_console_has_the_look_of_the_other_pages_and_no_copy_of_it() -> None:
    assert {"palette.css", "base.css", "icon.svg", "api.js", "sound.js", "index.html"} <= CONSOLE.keys()
    assert CONSOLE["base.css"] is not None
    assert CONSOLE["base.css"].content == PLAYGROUND["base.css"].content
    own = CONSOLE["style.css"].content.decode()
    assert "--accent:" not in own
