"""Every block that people paste is run by a test or says why not, and waits for what it starts."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from tests.support.doc_blocks import PAGES, ROOT, Block, blocks, script
from tts_server.config.schema import ServerConfig
from tts_server.config.shared_tenants import SharedTenant

BLOCKS = [block for page in PAGES for block in blocks(page)]
COMMANDS = [block for block in BLOCKS if block.language == "sh"]
RUN = {"server", "api", "cluster"}
SHOWN_BY = {
    "console": "tests/repository/docs/test_kubectl_tts.py",
    "nginx": "tests/server/test_behind_nginx.py",
    "toml": "",
    "text": "",
}
"""Languages of blocks that nobody pastes, with the test that compares what they show."""
MAY_NOT_RUN = 16
"""Blocks without a test. To add one, find out first whether a test can run it."""
WITH_A_BOUND = re.compile(r"kubectl (?:-n \S+ )?(?:wait|rollout status)\b")


def named(block: Block) -> str:
    return str(block)


def pieces(block: Block) -> list[str]:
    """Commands of a block, each on one line; a comment ends a command."""
    joined = block.text.replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def test_every_page_that_people_paste_from_is_read() -> None:
    assert set(PAGES) == {ROOT / "README.md", ROOT / "examples" / "README.md", *(ROOT / "docs" / "how-to").glob("*.md")}
    assert len(COMMANDS) > 30


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_fence_is_read(page: Path) -> None:
    assert 2 * len(blocks(page)) == len(re.findall(r"^\s*(?:```|~~~)", page.read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("block", BLOCKS, ids=named)
def test_every_block_is_run_or_says_why_not(block: Block) -> None:
    match block.language:
        case "sh" | "python":
            assert block.places, "the words after the language name the tests that run it"
            assert set(block.places) <= RUN or block.places == ("norun",)
        case "yaml":
            assert block.places in {(), ("tenant",), ("model",), ("values",), ("norun",)}
            if block.places == ():
                assert {"apiVersion", "kind", "metadata"} <= yaml.safe_load(block.text).keys(), "a whole manifest"
        case "json":
            document = json.loads(block.text)
            if document.keys() == {"tenants"}:
                for entry in document["tenants"].values():
                    SharedTenant.model_validate_json(json.dumps(entry))
            else:
                ServerConfig.model_validate_json(block.text)
        case _:
            assert block.language in SHOWN_BY
    assert bool(block.reason) == ("norun" in block.places)


def test_few_blocks_are_not_run() -> None:
    assert len([block for block in BLOCKS if "norun" in block.places]) <= MAY_NOT_RUN


@pytest.mark.parametrize("block", COMMANDS, ids=named)
def test_requests_fail_where_the_server_refuses_them(block: Block) -> None:
    for command in pieces(block):
        for request in re.findall(r"\bcurl (.*)", command):
            assert request.startswith("-sS --fail-with-body "), "-s alone hides why it fails; an error is no audio"
            assert "> " not in request, "with -o, a retry starts the file anew"


@pytest.mark.parametrize("block", COMMANDS, ids=named)
def test_waits_end(block: Block) -> None:
    for command in pieces(block):
        if WITH_A_BOUND.search(command):
            assert "--timeout=" in command


@pytest.mark.parametrize("block", COMMANDS, ids=named)
def test_what_runs_in_the_background_is_waited_for(block: Block) -> None:
    commands = pieces(block)
    for number, command in enumerate(commands):
        in_background = re.search(r" &(\s*#.*)?$", command)
        assert bool(in_background) == bool(re.search(r"\bport-forward\b|(^|=\S* )tts-server\b", command)), command
        requests = [later for later in commands[number + 1 :] if "curl " in later]
        if in_background and "OTEL_" not in command:
            assert requests, "nothing tells when it is ready"
            assert re.search(r"--retry \d+ --retry-delay 1 --retry-connrefused", requests[0])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_values_of_a_release_keep_the_defaults_of_a_newer_chart(page: Path) -> None:
    """Helm's --reuse-values lacks the values that a newer chart has, and its templates fail without them."""
    assert " --reuse-values" not in page.read_text(encoding="utf-8")


def test_a_script_has_the_files_and_commands_of_its_place_in_order() -> None:
    page = ROOT / "page.md"
    found = [
        Block(page, 1, "yaml", (), "# a.yaml\nkind: A\n", ""),
        Block(page, 2, "sh", ("api",), "first\n", ""),
        Block(page, 3, "sh", ("server",), "other\n", ""),
        Block(page, 4, "python", ("api", "cluster"), "print('second')\n", ""),
    ]
    lines = script(found, "api").splitlines()
    assert [line for line in lines if line in {"first", "other", "print('second')", "kind: A"}] == [
        "kind: A",
        "first",
        "print('second')",
    ]
    assert script(found, "norun") == ""
    assert shlex.split(lines[0]) == ["mkdir", "-p", "."]
