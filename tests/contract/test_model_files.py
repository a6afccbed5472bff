"""Downloads of a model's files: by URLs that the operator signs, from a real object store and from one that fails."""

import hashlib
import http.server
import io
import json
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.s3_server import ACCESS_KEY, SECRET_KEY, ObjectStore
from tts_operator.api.source import S3Source
from tts_operator.credentials.presigned_url import S3Keys, presigned_url
from tts_server.cli import main
from tts_server.config.schema import Download, Downloads
from tts_server.model_files.fetch import FetchFailed, FetchLimits, fetch

GRAPH = bytes(range(256)) * 20_000
SHA = hashlib.sha256(GRAPH).hexdigest()
KEYS = S3Keys(ACCESS_KEY, SECRET_KEY)
NOTHING_WAITS = FetchLimits(deadline_seconds=20)


class Bucket:
    """A bucket of the object store with one file, and the source that names it."""

    def __init__(self, store: ObjectStore) -> None:
        self.config = store.bucket()
        self.store = store
        self.put("voices/model.onnx", GRAPH)

    def put(self, key: str, content: bytes) -> None:
        self.store.client.put_object(self.config.bucket, key, io.BytesIO(content), len(content))

    def source(self, **changes: Any) -> S3Source:
        given = {
            "endpoint": self.config.endpoint,
            "bucket": self.config.bucket,
            "prefix": "voices",
            "pathStyle": True,
            "files": [{"path": "model.onnx", "sha256": SHA}],
            "secretRef": {"name": "s"},
        }
        return S3Source.model_validate(given | changes)

    def downloads(self, keys: S3Keys = KEYS, at: datetime | None = None, **changes: Any) -> Downloads:
        source = self.source(**changes)
        signed = at or datetime.now(UTC)
        files = [
            Download(path=file.path, url=presigned_url(source, file.path, keys, signed), sha256=file.sha256)
            for file in source.files
        ]
        return Downloads(files=tuple(files))


@pytest.fixture
def bucket(object_store: ObjectStore) -> Bucket:
    return Bucket(object_store)


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_files_arrive_whole_and_are_only_verified_the_next_time(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("voices/en/größe.json", b"{}")
    more = {"path": "en/größe.json", "sha256": hashlib.sha256(b"{}").hexdigest()}
    downloads = bucket.downloads(files=[{"path": "model.onnx", "sha256": SHA}, more])
    assert fetch(downloads, tmp_path) == ["model.onnx", "en/größe.json"]
    assert (tmp_path / "model.onnx").read_bytes() == GRAPH
    assert names(tmp_path) == ["en/größe.json", "model.onnx"]
    with bucket.store.hung():
        assert fetch(downloads, tmp_path, NOTHING_WAITS) == []


def test_a_file_that_was_changed_in_its_place_is_fetched_again(bucket: Bucket, tmp_path: Path) -> None:
    fetch(bucket.downloads(), tmp_path)
    (tmp_path / "model.onnx").write_bytes(GRAPH[:-1])
    assert fetch(bucket.downloads(), tmp_path) == ["model.onnx"]
    assert (tmp_path / "model.onnx").read_bytes() == GRAPH


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "another checksum": (
        {"files": [{"path": "model.onnx", "sha256": "0" * 64}]},
        f"model.onnx has the SHA-256 {SHA}, and source.s3.files says {'0' * 64}",
    ),
    "a missing key": (
        {"files": [{"path": "none.onnx", "sha256": SHA}]},
        "none.onnx does not exist: the object store at {host} answers 404 NoSuchKey",
    ),
    "a missing bucket": ({"bucket": "no-such-bucket"}, "answers 404 NoSuchBucket; correct spec.source.s3"),
    "an unknown account": ({"keys": S3Keys("nobody", SECRET_KEY)}, "answers 403 InvalidAccessKeyId"),
    "a wrong secret key": ({"keys": S3Keys(ACCESS_KEY, "wrong")}, "answers 403 SignatureDoesNotMatch"),
    "an expired URL": (
        {"at": datetime.now(UTC) - timedelta(days=8)},
        "model.onnx: its URL expired at ",
    ),
}


@pytest.mark.parametrize("story", REFUSED)
def test_what_the_store_refuses_is_told_in_one_sentence_and_nothing_is_kept(
    story: str, bucket: Bucket, tmp_path: Path
) -> None:
    changes, words = REFUSED[story]
    with pytest.raises(FetchFailed) as failed:
        fetch(bucket.downloads(**changes), tmp_path, NOTHING_WAITS)
    assert words.replace("{host}", bucket.store.address) in str(failed.value)
    assert "X-Amz" not in str(failed.value)
    assert "\n" not in str(failed.value)
    assert names(tmp_path) == []


def test_files_that_the_volume_cannot_hold_are_refused_before_their_first_byte(bucket: Bucket, tmp_path: Path) -> None:
    with pytest.raises(FetchFailed, match=r"need more than 1 MiB.* raise spec\.source\.s3\.sizeLimit"):
        fetch(bucket.downloads(), tmp_path, FetchLimits(max_bytes=2**20))
    assert names(tmp_path) == []


class Store(http.server.BaseHTTPRequestHandler):
    """A store whose answers a test chooses."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.answer(self)  # type: ignore[attr-defined]

    def log_message(self, *args: object) -> None:
        pass

    def send(self, content: bytes, *, status: int = 200, length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)
        self.close_connection = True


@contextmanager
def store(answer: Callable[[Store], None]) -> Iterator[Downloads]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Store)
    server.answer = answer  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}/model.onnx?X-Amz-Signature=secret"
        yield Downloads(files=(Download(path="model.onnx", url=url, sha256=SHA),))
    finally:
        server.shutdown()
        server.server_close()


def ranged(request: Store) -> int:
    return int(request.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))


def test_a_body_that_ends_early_is_continued_where_it_ended(tmp_path: Path) -> None:
    starts: list[int] = []
    half = len(GRAPH) // 2

    def answer(request: Store) -> None:
        start = ranged(request)
        starts.append(start)
        whole = f"bytes {start}-{len(GRAPH) - 1}/{len(GRAPH)}"
        if start == 0:
            request.send(GRAPH[:half], length=len(GRAPH))
        else:
            request.send(GRAPH[start:], status=206, Content_Range=whole)

    pauses: list[float] = []
    with store(answer) as downloads:
        assert fetch(downloads, tmp_path, NOTHING_WAITS, pause=pauses.append) == ["model.onnx"]
    assert (starts, pauses) == ([0, half], [1.0])
    assert names(tmp_path) == ["model.onnx"]


def test_what_an_earlier_attempt_left_of_another_object_is_thrown_away(tmp_path: Path) -> None:
    (tmp_path / ".model.onnx.part").write_bytes(b"of the object before")

    def answer(request: Store) -> None:
        start = ranged(request)
        if start:
            request.send(GRAPH[start:], status=206, Content_Range=f"bytes {start}-{len(GRAPH) - 1}/{len(GRAPH)}")
        else:
            request.send(GRAPH)

    with store(answer) as downloads:
        fetch(downloads, tmp_path, NOTHING_WAITS, pause=lambda _: None)
    assert (tmp_path / "model.onnx").read_bytes() == GRAPH


def test_a_store_without_ranges_sends_the_file_from_its_beginning(tmp_path: Path) -> None:
    (tmp_path / ".model.onnx.part").write_bytes(GRAPH[:1000])
    with store(lambda request: request.send(GRAPH)) as downloads:
        fetch(downloads, tmp_path, NOTHING_WAITS)
    assert (tmp_path / "model.onnx").read_bytes() == GRAPH


def test_a_store_that_always_fails_is_given_up_at_the_deadline(tmp_path: Path) -> None:
    now = [0.0]
    with (
        store(lambda request: request.send(b"<Code>SlowDown</Code>", status=503)) as downloads,
        pytest.raises(FetchFailed) as failed,
    ):
        fetch(
            downloads, tmp_path, FetchLimits(deadline_seconds=60), clock=lambda: now[0], pause=lambda s: advance(now, s)
        )
    assert "model.onnx is not complete after 60 seconds (0 KiB): the object store at 127.0.0.1" in str(failed.value)
    assert "answers 503 SlowDown" in str(failed.value)
    assert "secret" not in str(failed.value)
    assert 15 <= now[0] < 60


def advance(now: list[float], seconds: float) -> None:
    now[0] += seconds


def test_a_slow_store_is_given_up_at_the_deadline_and_what_came_is_continued_later(tmp_path: Path) -> None:
    now = [0.0]

    def clock() -> float:
        now[0] += 10.0  # by the clock every look at it is ten seconds later
        return now[0]

    with store(lambda request: request.send(GRAPH)) as downloads:
        with pytest.raises(FetchFailed, match="the object store is too slow; the next attempt continues there"):
            fetch(downloads, tmp_path, FetchLimits(deadline_seconds=15), clock=clock)
        assert names(tmp_path) == [".model.onnx.part"]


def test_a_store_that_falls_silent_does_not_hold_the_pod_for_ever(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}/model.onnx"
        downloads = Downloads(files=(Download(path="model.onnx", url=url, sha256=SHA),))
        with pytest.raises(FetchFailed, match="does not answer in time"):
            fetch(downloads, tmp_path, FetchLimits(deadline_seconds=0.5, read_seconds=0.1))


@pytest.mark.parametrize(
    ("status", "words"),
    [(301, "answers 301"), (400, "answers 400 AuthorizationHeaderMalformed"), (418, "answers 418")],
)
def test_other_answers_are_not_tried_again(status: int, words: str, tmp_path: Path) -> None:
    body = b"<Error><Code>AuthorizationHeaderMalformed</Code></Error>" if status == 400 else b"no"
    with (
        store(lambda request: request.send(body, status=status, Location="http://other.example/")) as downloads,
        pytest.raises(FetchFailed, match=f"{words}.*endpoint, region, bucket or pathStyle"),
    ):
        fetch(downloads, tmp_path, pause=lambda _: pytest.fail("it was tried again"))


def arguments(folder: Path, downloads: Downloads) -> list[str]:
    """Arguments of `tts-server` for these files."""
    listed, target = folder / "downloads.json", folder / "model"
    listed.write_text(json.dumps(downloads.model_dump(mode="json", by_alias=True)))
    target.mkdir()
    return ["fetch-model", "--downloads", str(listed), "--directory", str(target)]


def test_the_command_says_what_it_did(bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(tmp_path, bucket.downloads())) == 0
    assert capsys.readouterr() == ("1 files are complete; 1 of them were downloaded now\n", "")
    assert names(tmp_path / "model") == ["model.onnx"]


def test_a_full_disk_ends_the_command_with_one_sentence(bucket: Bucket, tmp_path: Path) -> None:
    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))

    program = [sys.executable, "-c", "import sys; from tts_server.cli import main; sys.exit(main())"]
    given = [*program, *arguments(tmp_path, bucket.downloads())]
    ran = subprocess.run(given, check=False, capture_output=True, text=True, timeout=60, preexec_fn=small_files)
    assert (ran.returncode, ran.stderr) == (
        1,
        "tts-server fetch-model: the volume is full while model.onnx is written: raise spec.source.s3.sizeLimit of the"
        " TTSModel, and see that the node has room\n",
    )
    assert names(tmp_path / "model") == [".model.onnx.part"]


def test_a_list_that_cannot_be_read_ends_the_command_with_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch-model", "--downloads", "/none"]) == 1
    assert capsys.readouterr().err == "tts-server fetch-model: /none: No such file or directory\n"


@pytest.mark.parametrize("flag", ["--max-bytes", "--deadline-seconds"])
def test_a_limit_is_a_number_above_0(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["fetch-model", flag, "0"])
    assert left.value.code == 2
    assert f"argument {flag}: must be a whole number above 0, not '0'" in capsys.readouterr().err


@pytest.mark.parametrize("path", ["/etc/passwd", "../up", "a//b", "a/./b"])
def test_no_file_is_written_outside_the_directory(path: str) -> None:
    with pytest.raises(ValueError, match="must be relative"):
        Download(path=path, url="http://x/a", sha256=SHA)
