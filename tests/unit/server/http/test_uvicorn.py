"""Private parts of uvicorn that the server depends on: docs/decisions/0016-uvicorn-private-parts.md.

An upgrade fails here first. What each part does is tested in tests/server/test_connections.py and test_process.py.
"""

import importlib.metadata
import inspect
import re
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http import httptools_impl
from uvicorn.server import ServerState

from tts_server.app import serve
from tts_server.http import protocol, unframed_response

ROOT = Path(__file__).parents[4]
DECISION = ROOT / "docs" / "decisions" / "0016-uvicorn-private-parts.md"
CONFIG = uvicorn.Config(FastAPI(), log_config=None)
REVIEWED = "0.54.0"
"""Version whose private parts were read. To change it: read the diff of the files named in the decision."""


def test_an_upgrade_of_uvicorn_is_reviewed_first() -> None:
    assert importlib.metadata.version("uvicorn") == REVIEWED
    assert f'"uvicorn[standard]=={REVIEWED}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f"uvicorn {REVIEWED}" in DECISION.read_text(encoding="utf-8")


def test_the_decision_names_every_method_that_a_connection_overrides() -> None:
    theirs = vars(httptools_impl.HttpToolsProtocol)
    overridden = {name for name in vars(protocol.Connection) if name in theirs and not name.startswith("__")}
    assert overridden == names_in_the_decision("HttpToolsProtocol", "overridden")


async def test_the_decision_names_every_attribute_that_a_connection_reads() -> None:
    made = protocol.Connection(CONFIG, ServerState(), {})
    ours = set(vars(protocol.Connection)) | {name for name in vars(made) if name not in vars(plain_connection())}
    read = set(re.findall(r"self\.([a-z_]+)", inspect.getsource(protocol))) - ours
    assert read == names_in_the_decision("HttpToolsProtocol", "read")
    assert [name for name in read if not hasattr(plain_connection(), name)] == []


def test_the_decision_names_every_part_of_a_response() -> None:
    theirs = vars(httptools_impl.RequestResponseCycle)
    overridden = {name for name in vars(unframed_response.UnframedResponse) if name in theirs}
    overridden -= {name for name in overridden if name.startswith("__")}
    assert overridden == names_in_the_decision("RequestResponseCycle", "overridden")
    source = inspect.getsource(httptools_impl.RequestResponseCycle)
    for name in names_in_the_decision("RequestResponseCycle", "read"):
        assert f"self.{name} = " in source


def test_a_server_has_what_draining_uses() -> None:
    server = uvicorn.Server(CONFIG)
    for name in names_in_the_decision("Server", "read") - {"servers"}:
        assert hasattr(server, name)


def test_the_rest_is_where_it_was() -> None:
    assert "self.servers" in inspect.getsource(uvicorn.Server.startup)
    assert "with self.capture_signals()" in inspect.getsource(uvicorn.Server.serve)
    assert "self.config.timeout_graceful_shutdown" in inspect.getsource(uvicorn.Server.shutdown)
    assert "without completing response" in inspect.getsource(httptools_impl)
    assert "capture_signals" in vars(serve._Server)
    assert httptools_impl.STATUS_LINE[431].startswith(b"HTTP/1.1 431 ")


def plain_connection() -> httptools_impl.HttpToolsProtocol:
    return httptools_impl.HttpToolsProtocol(CONFIG, ServerState(), {})


def names_in_the_decision(part: str, use: str) -> set[str]:
    """Names in the row of the decision's table for this part and use."""
    row = next(line for line in DECISION.read_text(encoding="utf-8").splitlines() if f"| `{part}`, {use} |" in line)
    return set(re.findall(r"`([a-z_]+)`", row.split("|")[2]))
