"""Every rule of the two resources, told to a real API server: what it takes, and what it answers to the rest."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from hack.cluster.control_plane import ControlPlane
from hack.cluster.errors import CommandError
from tests.support.api_http import DeniedError, http_client, try_to_create
from tests.support.api_rules import ACCEPTED, MODEL, REFUSED, TENANT
from tests.support.full_objects import (
    DESIGN_MODEL,
    DESIGN_TENANT,
    FULL_MODEL,
    FULL_TENANT,
    FULL_VOICES,
    LARGEST_MODEL,
    LARGEST_TENANT,
)
from tests.support.resources import Object

ROOT = Path(__file__).parents[2]
CRDS, EXAMPLES = ROOT / "crds", ROOT / "examples"
DOCUMENTED_SECONDS = 30


@pytest.fixture(scope="module")
def api_server(control_plane: ControlPlane) -> ControlPlane:
    control_plane.kubectl("apply", "-f", str(CRDS))
    control_plane.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", str(CRDS))
    for kind in ("ttsmodel", "ttstenant"):
        wait_until_documented(control_plane, kind)
    return control_plane


def wait_until_documented(plane: ControlPlane, kind: str) -> None:
    """Return once `kubectl explain` has the kind: the API server publishes its schema after the CRD is Established."""
    deadline = time.monotonic() + DOCUMENTED_SECONDS
    while True:
        try:
            plane.kubectl("explain", kind)
        except CommandError:
            assert time.monotonic() < deadline, f"no schema of {kind} after {DOCUMENTED_SECONDS} s"
            time.sleep(0.1)
        else:
            return


@pytest.fixture(scope="module")
def client(api_server: ControlPlane) -> Iterator[httpx.Client]:
    with http_client(api_server, "author") as client:
        yield client


@pytest.mark.parametrize("body", ACCEPTED.values(), ids=ACCEPTED)
def test_the_api_server_accepts(client: httpx.Client, body: Object) -> None:
    try_to_create(client, body)


@pytest.mark.parametrize(("body", "message"), REFUSED.values(), ids=REFUSED)
def test_the_api_server_refuses(client: httpx.Client, body: Object, message: str) -> None:
    with pytest.raises(DeniedError) as refused:
        try_to_create(client, body)
    said = str(refused.value)
    assert message in said
    assert not re.search("index out of bounds|no such key", said), "a rule broke: people read that, too"


WHOLE = {
    "the full model": FULL_MODEL,
    "the full tenant": FULL_TENANT,
    **{f"a voice from {body['metadata']['name']}": body for body in FULL_VOICES},
    "the design's model": DESIGN_MODEL,
    "the design's tenant": DESIGN_TENANT,
    # Rules have a budget at run time, too.
    "the largest model": LARGEST_MODEL,
    "the largest tenant": LARGEST_TENANT,
}


@pytest.mark.parametrize("body", WHOLE.values(), ids=WHOLE)
def test_the_api_server_stores_a_whole_object_as_it_was_sent(client: httpx.Client, body: Object) -> None:
    assert unchanged(body["spec"], try_to_create(client, body)["spec"])


def unchanged(sent: object, stored: object) -> bool:
    """Whether everything that was sent is there; defaults may have joined it."""
    if isinstance(sent, dict) and isinstance(stored, dict):
        return all(name in stored and unchanged(value, stored[name]) for name, value in sent.items())
    if isinstance(sent, list) and isinstance(stored, list):
        return len(sent) == len(stored) and all(map(unchanged, sent, stored))
    return sent == stored


def test_the_examples_are_accepted(client: httpx.Client) -> None:
    files = sorted(EXAMPLES.glob("*.yaml"))
    objects = [document for file in files for document in yaml.safe_load_all(file.read_text())]
    ours = [body for body in objects if body["apiVersion"].startswith("ttsfleet.io/")]
    assert {body["kind"] for body in ours} == {"TTSModel", "TTSTenant"}
    for body in ours:
        body["metadata"].pop("namespace", None)
        try_to_create(client, body)


def test_two_managers_share_a_list_of_voices_an_entry_each(api_server: ControlPlane) -> None:
    base = {key: MODEL[key] for key in ("apiVersion", "kind")} | {"metadata": {"name": "shared"}}
    mine = base | {"spec": MODEL["spec"]}
    theirs = base | {"spec": {"voices": [{"name": "de"}]}}
    try:
        for manager, body in (("me", mine), ("them", theirs)):
            api_server.kubectl(
                "apply", "--server-side", f"--field-manager={manager}", "-f", "-", input=json.dumps(body)
            )
        stored = json.loads(api_server.kubectl("get", "ttsm/shared", "-o", "json"))
        assert [voice["name"] for voice in stored["spec"]["voices"]] == ["en-us", "de"]
    finally:
        api_server.kubectl("delete", "ttsm/shared", "--ignore-not-found")


def test_a_scale_subresource_would_let_others_fight_the_calendar(api_server: ControlPlane) -> None:
    api_server.kubectl("apply", "-f", "-", input=json.dumps(TENANT))
    try:
        with pytest.raises(CommandError):
            api_server.kubectl("scale", "ttst/acme", "--replicas=2")
    finally:
        api_server.kubectl("delete", "ttst/acme", "--ignore-not-found")


def test_explain_says_what_is_not_supported_yet(api_server: ControlPlane) -> None:
    assert "Not supported yet: Shared." in api_server.kubectl("explain", "ttstenant.spec.isolation")


def test_explain_shows_what_a_field_is_for(api_server: ControlPlane) -> None:
    said = api_server.kubectl("explain", "ttstenant.spec.schedule.windows.end")
    assert "Local time at which the window ends" in said


def test_short_names_and_columns_serve_people(api_server: ControlPlane) -> None:
    api_server.kubectl("apply", "-f", "-", input=json.dumps(MODEL))
    api_server.kubectl("apply", "-f", "-", input=json.dumps(TENANT))
    try:
        models, tenants = (api_server.kubectl("get", kind) for kind in ("ttsm", "ttst"))
        assert models.split("\n")[0].split() == [
            *("NAME", "READY", "ENGINE", "PRECISION", "TENANTS", "UPDATED", "AGE", "REASON")
        ]
        assert tenants.split("\n")[0].split() == [
            *("NAME", "READY", "MODEL", "PRECISION", "WINDOW", "REPLICAS", "COST", "URL", "AGE", "REASON")
        ]
        assert "tenant" in api_server.kubectl("get", "ttsfleet")
    finally:
        api_server.kubectl("delete", "ttst/acme", "ttsm/espeak", "--ignore-not-found")


def test_defaults_are_written_into_the_object(client: httpx.Client) -> None:
    assert try_to_create(client, TENANT)["spec"] == {
        "models": [{"name": "espeak"}],
        "tier": "Basic",
        "isolation": "Dedicated",
        "allowExternal": False,
        "preventDeletion": False,
        "suspend": False,
    }
