"""The images of the torch engines: their Dockerfiles name what exists, and their locks are what upstream pins."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tts_server.app.engine_python import VARIABLE

ROOT = Path(__file__).parents[3]
ENGINES = ("cosyvoice", "index-tts")
INSTRUCTIONS = {"ARG", "COPY", "ENV", "FROM", "RUN", "USER", "WORKDIR"}
GROUPS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["dependency-groups"]


def instructions(engine: str) -> list[str]:
    """Instructions of a Dockerfile, continued lines joined, as a builder reads them."""
    text = (ROOT / "inference_server" / f"{engine}.Dockerfile").read_text("utf-8")
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    return [line for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines() if line.strip()]


def lock(name: str) -> dict[str, str]:
    """Version by package of a lock file, all of whose packages have digests."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text("utf-8")
    entries = re.findall(
        r"^([a-z0-9._-]+)==(\S+) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", text, re.MULTILINE
    )
    assert len(entries) == len(re.findall(r"^[a-z0-9]", text, re.MULTILINE)), "each has a version and digests"
    return {package: version for package, version, _ in entries}


@pytest.mark.parametrize("name", [*ENGINES, "engine-build"])
def test_the_lock_has_what_is_pinned(name: str) -> None:
    locked = lock(name)
    for line in GROUPS[name]:
        requirement = Requirement(line)
        assert locked[canonicalize_name(requirement.name)] in requirement.specifier, line


def test_the_two_cannot_share_an_interpreter() -> None:
    versions = [lock(engine)["torch"] for engine in ENGINES]
    assert [version.rpartition(".")[0] for version in versions] == ["2.3", "2.8"]


@pytest.mark.parametrize("engine", ENGINES)
def test_the_dockerfile_names_what_exists(engine: str) -> None:
    lines = instructions(engine)
    assert {line.partition(" ")[0] for line in lines} <= INSTRUCTIONS
    copied = [line.split()[1:-1] for line in lines if line.startswith("COPY") and "--from" not in line]
    for path in (path for paths in copied for path in paths):
        assert (ROOT / path).is_file(), path
    assert [f"requirements/{engine}.txt"] == [path for paths in copied for path in paths if engine in path]
    stages = {line.split(" AS ")[1] for line in lines if " AS " in line}
    assert {line.partition("--from=")[2].split()[0] for line in lines if "--from=" in line} == stages
    assert f"ENV {VARIABLE}=/opt/engine/bin/python" in lines
    assert lines[-2].startswith("USER 65532"), "root only writes the link"


@pytest.mark.parametrize("engine", ENGINES)
def test_every_installation_checks_digests(engine: str) -> None:
    commands = [part for line in instructions(engine) if line.startswith("RUN") for part in line.split("&&")]
    fetching = [part for part in commands if re.search(r"\bpip (install|wheel)\b|install --quiet", part)]
    assert len(fetching) == 3
    assert all("--require-hashes" in part or "--no-index" in part for part in fetching)
