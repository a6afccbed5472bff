"""A process under callers without a key: connections that send nothing, and bodies that never end."""

import json
import resource
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.server_process import Running, espeak_alone, running
from tests.support.timeouts import HANG_SECONDS
from tts_server.http.incoming_bodies import MOST_BODIES

KIB = 1024
LARGE, SMALL = 2000, 1000
"""Connections with a large and with a small body."""
MOST_KIB = 100 * KIB
"""Memory of so many connections, with what malloc keeps of the bodies that were on their way at once."""


@pytest.fixture(autouse=True)
def many_files() -> Iterator[None]:
    """Let the test itself have as many files as it may."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@contextmanager
def connections(server: Running, count: int) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        yield [stack.enter_context(socket.create_connection(("127.0.0.1", server.port))) for _ in range(count)]


def first_answers(sockets: list[socket.socket], count: int) -> set[bytes]:
    """Beginnings of the first `count` answers: connections need not arrive in the order in which they were opened."""
    waiting = {sock.fileno(): sock for sock in sockets}
    found: list[bytes] = []
    poll = select.poll()
    for descriptor in waiting:
        poll.register(descriptor, select.POLLIN)
    while len(found) < count:
        ready = poll.poll(HANG_SECONDS * 1000)
        assert ready, f"{len(found)} of {count} are answered"
        for descriptor, _ in ready:
            poll.unregister(descriptor)
            found.append(waiting[descriptor].recv(12))
    return set(found)


def files_of(server: Running) -> tuple[int, int]:
    return resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)


def resident_kib(server: Running) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def test_the_soft_limit_of_open_files_is_raised_to_the_hard_one(tmp_path: Path) -> None:
    with running(tmp_path, espeak_alone(tmp_path), limits=(512, 2048)) as server:
        assert files_of(server) == (2048, 2048)
        assert next(line for line in server.lines() if line["event"] == "listening")["most_connections"] == 1792


def test_probes_answer_under_a_thousand_idle_connections_and_1024_files(tmp_path: Path) -> None:
    anew = httpx.Limits(max_keepalive_connections=0)  # a connection for each probe
    with (
        running(tmp_path, espeak_alone(tmp_path), limits=(1024, 1024)) as server,
        httpx.Client(base_url=server.url, timeout=HANG_SECONDS, limits=anew) as prober,
        connections(server, 1000) as idle,
    ):
        for _ in range(20):
            assert prober.get("/healthz").status_code == 200
            assert prober.get("/readyz").status_code == 200
        closed = [not sock.recv(1) for sock in idle[:200]]
        assert all(closed), "the oldest made room"
        idle[-1].sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle[-1].recv(15) == b"HTTP/1.1 200 OK"


def test_slow_bodies_of_unknown_callers_are_bounded_in_sum(tmp_path: Path) -> None:
    """4,500 of them killed a pod of 460 MiB within 3 s."""
    (tmp_path / "keys").mkdir()
    config = tmp_path / "server.json"
    auth = {"modes": ["APIKey", "JWT"], "keysDirectory": str(tmp_path / "keys")}
    config.write_text(json.dumps({"models": [{"name": "espeak"}], "auth": auth}))
    announced = (
        b"POST /v1/auth/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    )
    with running(tmp_path, f"--config={config}") as server:
        before = resident_kib(server)
        with connections(server, LARGE) as large, connections(server, SMALL) as small:
            for sock in large:
                sock.sendall(announced % 65_000 + b" " * 64_000)
            for sock in small:
                sock.sendall(announced % 4_000 + b" " * 3_900)
            assert {sock.recv(12) for sock in large} <= {b"HTTP/1.1 413", b"HTTP/1.1 503"}
            assert first_answers(small, SMALL - MOST_BODIES) == {b"HTTP/1.1 503"}
            reply = httpx.post(f"{server.url}/v1/auth/token", json={}, timeout=HANG_SECONDS)
            assert reply.status_code == 401, "who sends all of a body is not kept out"
            assert resident_kib(server) - before < MOST_KIB, "the large bodies alone have 128 MB"
        with connections(server, LARGE) as large:
            for sock in large:
                sock.sendall(announced % 65_000 + b" " * 64_000)
            assert {sock.recv(12) for sock in large} <= {b"HTTP/1.1 413", b"HTTP/1.1 503"}
            assert resident_kib(server) - before < MOST_KIB, "it is used again, and nothing is kept"
