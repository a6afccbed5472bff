"""`/openapi.json` against the server: requests made from it, and answers held against it."""

import asyncio
import copy
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode, Response
from schemathesis.checks import CheckContext, CheckFunction, not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from starlette.routing import Route

from tests.support.listening_app import listening
from tests.support.server_app import config, running_app
from tests.support.timeouts import HANG_SECONDS
from tts_server.app.asgi import ROUTERS, routes
from tts_server.config.schema import AuthConfig, AuthMode, CacheConfig, QuotaConfig
from tts_server.errors import DayQuotaExceeded, QuotaExceeded, Refused, TTSError
from tts_server.http.errors import HTTPError, error_response
from tts_server.http.openapi import HEADERS_OF_ERRORS

AnyCase: TypeAlias = "schemathesis.Case[Any]"
KEY = "key-of-a-caller"
EXAMPLES = 20
"""For each operation."""
CHECKS: list[CheckFunction] = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance,
    response_headers_conformance, unsupported_method, allow_header_conformance,
]  # fmt: skip


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with everything on, in a thread: schemathesis calls it from this one."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "keys").mkdir()
    (folder / "keys" / "someone").write_text(hashlib.sha256(KEY.encode()).hexdigest())
    auth = AuthConfig(modes=(AuthMode.API_KEY, AuthMode.JWT), keys_directory=folder / "keys")
    configured = config(folder, auth=auth, cache=CacheConfig(enabled=True), playground=True, docs=True)
    started, stopping = threading.Event(), asyncio.Event()
    found: dict[str, Any] = {}

    async def serve() -> None:
        found["loop"] = asyncio.get_running_loop()
        async with (
            running_app(configured, QuotaConfig(requests_per_day=1_000_000)) as acme,
            listening(acme.application) as port,
        ):
            found["port"] = port
            started.set()
            await stopping.wait()

    thread = threading.Thread(target=asyncio.run, args=[serve()])
    thread.start()
    assert started.wait(60)
    yield f"http://127.0.0.1:{found['port']}"
    found["loop"].call_soon_threadsafe(stopping.set)
    thread.join()


DOCUMENT = routes().openapi()
API = schemathesis.openapi.from_dict(DOCUMENT)
OPERATIONS = [(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods]
WITH_A_BODY = [(path, method) for path, method in OPERATIONS if "requestBody" in DOCUMENT["paths"][path][method]]
SPEECH = "/v1/audio/speech"
SYNTHESIZE = "/v1/tts/synthesize"
HELLO: dict[str, dict[str, Any]] = {
    SPEECH: {"model": "tts-1", "voice": {"id": "alloy"}, "input": "Hello."},
    SYNTHESIZE: {"text": "Hello."},
}
UNREMARKABLE = {"date", "content-type", "content-length", "transfer-encoding", "connection"}
"""Headers of HTTP itself, which every answer may have."""
GENERATED = settings(
    max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


def headers_are_described(context: CheckContext, response: Response, case: AnyCase) -> None:
    """The other direction of `response_headers_conformance`: what is sent is in the document."""
    operation = DOCUMENT["paths"][case.operation.path][case.operation.method]
    described = operation["responses"].get(str(response.status_code), {}).get("headers", {})
    sent = {name.lower() for name in response.headers}
    assert sent - UNREMARKABLE <= {name.lower() for name in described}


def body_is_refused(context: CheckContext, response: Response, case: AnyCase) -> bool | None:
    """Accepts also 413, which schemathesis does not count as a refusal: a body against its schema may be too large."""
    return None if response.status_code == 413 else negative_data_rejection(context, response, case)


def validate(case: AnyCase, url: str, **options: Any) -> None:
    """Send the request, and hold its answer against the document."""
    headers = {"Authorization": f"Bearer {KEY}"}
    case.call_and_validate(
        base_url=url, checks=[*CHECKS, headers_are_described], headers=headers, timeout=30, **options
    )


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_no_answer_to_a_documented_request_is_undocumented(url: str, path: str, method: str) -> None:
    @given(case=API[path][method].as_strategy())
    @GENERATED
    def holds(case: AnyCase) -> None:
        validate(case, url)

    holds()


@pytest.mark.parametrize(("path", "method"), WITH_A_BODY)
def test_a_body_against_its_schema_is_refused(url: str, path: str, method: str) -> None:
    """Only bodies: unknown parameters are ignored, and header values are text, so nothing else can be against it."""

    @given(case=API[path][method].as_strategy(generation_mode=GenerationMode.NEGATIVE))
    @GENERATED
    def holds(case: AnyCase) -> None:
        validate(case, url, additional_checks=[body_is_refused])

    holds()


@pytest.mark.parametrize("path", HELLO)
def test_a_body_by_its_schema_is_accepted_where_its_names_exist(url: str, path: str) -> None:
    named = {"voice", "model", "language", "sample_rate", "options"}  # whose values the tenant and the format decide

    @given(case=API[path]["post"].as_strategy())
    @GENERATED
    def holds(case: AnyCase) -> None:
        assert isinstance(case.body, dict)
        case.body = {name: value for name, value in case.body.items() if name not in named} | HELLO[path]
        reply = case.call(base_url=url, headers={"Authorization": f"Bearer {KEY}"}, timeout=30)
        assert reply.status_code == 200, reply.text

    holds()


def test_an_answer_that_the_document_lacks_is_noticed(url: str) -> None:
    """The checks above can fail: without 404, and with another shape, the same answers are against the document."""
    for change in ("status", "shape"):
        wrong = copy.deepcopy(DOCUMENT)
        if change == "status":
            del wrong["paths"]["/v1/models/{name}"]["get"]["responses"]["404"]
        else:
            wrong["components"]["schemas"]["ErrorObject"]["required"].append("hint")
        operation = schemathesis.openapi.from_dict(wrong)["/v1/models/{name}"]["get"]
        with pytest.raises(FailureGroup, match=r"Undocumented status code|violates schema"):
            validate(operation.Case(path_parameters={"name": "gpt-9"}), url)


def test_it_describes_every_route() -> None:
    ours = {
        (re.sub(":path}", "}", route.path), method.lower())
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, Route)
        for method in route.methods or ()
    }
    assert set(OPERATIONS) == ours


def test_every_operation_has_a_name_of_its_own() -> None:
    names = [DOCUMENT["paths"][path][method]["operationId"] for path, method in OPERATIONS]
    assert len(set(names)) == len(names)


def test_every_error_of_the_server_is_described_somewhere() -> None:
    described = set(re.findall(r'"enum": (\[[^]]*\])', json.dumps(DOCUMENT["paths"])))
    codes = {code for codes in described for code in json.loads(codes)}
    assert {kind.code for kind in kinds(TTSError) if kind is not Refused} <= codes
    assert {kind.code for kind in HTTPError.__subclasses__()} <= codes


@pytest.mark.parametrize("kind", [*HEADERS_OF_ERRORS])
def test_an_error_has_the_headers_that_are_described(kind: type[Exception]) -> None:
    always, sometimes = HEADERS_OF_ERRORS[kind]
    sent = {name.lower() for name in error_response(made(kind), "id-1").headers}
    assert {name.lower() for name in always} <= sent
    assert sent - {"content-length", "content-type", "connection"} <= {name.lower() for name in (*always, *sometimes)}


def test_whoever_needs_a_credential_is_refused_without_one(url: str) -> None:
    for path, method in OPERATIONS:
        needs = {"bearer": []} in DOCUMENT["paths"][path][method]["security"]
        reply = httpx.request(
            method, url + path.format(name="x", key="x"), json={} if method == "post" else None, timeout=HANG_SECONDS
        )
        assert (reply.status_code == 401) == needs, (path, method)


async def test_it_needs_no_key_and_no_engine(tmp_path: Path) -> None:
    keyed = AuthConfig(modes=(AuthMode.API_KEY,))
    async with running_app(config(tmp_path, auth=keyed, role="Member")) as here:
        assert (await here.client.get("/openapi.json")).json() == DOCUMENT
        here.application.server.snapshot = None
        assert (await here.client.get("/openapi.json")).status_code == 200


def made(kind: type[Exception]) -> Exception:
    if issubclass(kind, QuotaExceeded):
        limit = "requestsPerDay" if kind is DayQuotaExceeded else "requestsPerMinute"
        return kind("Used up.", limit=limit, retry_after_seconds=3, allowed=7)
    headers = {"Content-Range": "bytes */7"}
    return kind("No.", headers=headers) if issubclass(kind, HTTPError) else kind("No.")


def kinds(kind: type[TTSError]) -> Iterator[type[TTSError]]:
    yield kind
    for narrower in kind.__subclasses__():
        yield from kinds(narrower)
