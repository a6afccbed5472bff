"""The plugin as krew installs it: its manifest by krew's rules, and the archive's launcher."""

from __future__ import annotations

import hashlib
import io
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

from hack import krew

URL = "https://example.com/releases/v1/kubectl-tts.tar.gz"


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder with both files, made from a wheel that is none."""
    wheel = tmp_path / "ttsfleet-0.1.0-py3-none-any.whl"
    wheel.write_bytes(b"wheel")
    arguments = ["krew", f"--wheel={wheel}", f"--url={URL}", f"--out={tmp_path / 'dist'}"]
    monkeypatch.setattr(sys, "argv", arguments)
    assert krew.main() == 0
    return tmp_path / "dist"


def test_the_manifest_keeps_krews_rules(made: Path) -> None:
    found = yaml.safe_load((made / krew.MANIFEST).read_text(encoding="utf-8"))
    assert found["apiVersion"] == "krew.googlecontainertools.github.com/v1alpha2"
    assert found["metadata"]["name"] == "tts"
    spec = found["spec"]
    assert re.fullmatch(r"v\d+\.\d+\.\d+", spec["version"])
    assert len(spec["shortDescription"]) <= krew.MOST_SHORT
    assert not spec["shortDescription"].endswith(".")
    digest = hashlib.sha256((made / krew.ARCHIVE).read_bytes()).hexdigest()
    assert {(each["uri"], each["sha256"], each["bin"]) for each in spec["platforms"]} == {(URL, digest, "kubectl-tts")}
    assert len({tuple(each["selector"]["matchLabels"].items()) for each in spec["platforms"]}) == 4


def test_the_archive_has_the_launcher_and_the_wheel(made: Path) -> None:
    with tarfile.open(made / krew.ARCHIVE) as archive:
        members = {member.name: member.mode for member in archive}
    assert members == {"kubectl-tts": 0o755, "ttsfleet-0.1.0-py3-none-any.whl": 0o644, "LICENSE": 0o644}


def test_the_same_wheel_gives_the_same_archive(tmp_path: Path) -> None:
    wheel = tmp_path / "a.whl"
    wheel.write_bytes(b"wheel")
    assert krew.archive(wheel) == krew.archive(wheel)


def test_the_launcher_installs_once_and_passes_its_arguments_on(tmp_path: Path) -> None:
    """A program stands for python3: what it would install is not here."""
    wheel = tmp_path / "a.whl"
    wheel.write_bytes(b"wheel")
    with tarfile.open(fileobj=io.BytesIO(krew.archive(wheel))) as archive:
        archive.extractall(tmp_path / "plugin", filter="data")
    python = tmp_path / "bin" / "python3"
    python.parent.mkdir()
    python.write_text(
        '#!/bin/sh\necho "$@" >> "$LOG"\nif [ "$2" = venv ]; then mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; fi\n'
    )
    python.chmod(0o755)
    log = tmp_path / "log"
    environment = {**os.environ, "PATH": f"{python.parent}:/usr/bin:/bin", "LOG": str(log)}
    environment["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    for _ in range(2):
        command = [str(tmp_path / "plugin" / "kubectl-tts"), "status", "-A"]
        subprocess.run(command, env=environment, check=True, capture_output=True)
    words = log.read_text().splitlines()
    assert [line for line in words if "pip install" in line] == [f"-m pip install -q {tmp_path}/plugin/a.whl[operator]"]
    assert len([line for line in words if line.endswith("status -A")]) == 2
