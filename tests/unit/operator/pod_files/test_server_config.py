"""server.json has what the spec says, and only the pools that need it."""

from typing import Any

import pytest

from tests.support.api_rules import ACCEPTED
from tests.support.operator_builders import desired, observe, server_files
from tests.support.resources import model
from tts_operator.api.model import Pauses
from tts_server.config.schema import CorsConfig, PausesConfig, ServerConfig

PAGES: dict[str, Any] = {"allowedOrigins": ["https://app.example", "http://localhost:3000"], "maxAgeSeconds": 60}
URL = "https://speech.example/acme"


def configs(*models: str, known: Any = None, **spec: Any) -> dict[str, ServerConfig]:
    """The configuration of each pool, by role: what its server reads."""
    files = server_files(desired(observe(*models, known=known, **spec)))
    read = [ServerConfig.model_validate_json(file) for file in files.values()]
    return {config.role: config for config in read}


def test_pages_and_the_public_url_are_the_entry_pools() -> None:
    found = configs("espeak", "large", cors=PAGES, publicURL=URL)
    assert found["Entry"].cors == CorsConfig(allowed_origins=tuple(PAGES["allowedOrigins"]), max_age_seconds=60)
    assert found["Entry"].public_url == URL
    assert (found["Member"].cors, found["Member"].public_url) == (None, None)


def test_without_them_no_page_is_let_in_and_links_begin_as_requests_do() -> None:
    entry = configs("espeak")["Entry"]
    assert (entry.cors, entry.public_url) == (None, None)


def test_a_change_of_them_starts_no_new_pods() -> None:
    def templates(**spec: Any) -> list[Any]:
        manifests = desired(observe("espeak", "large", **spec)).manifests
        return [each.body["spec"]["template"] for each in manifests if each.ref.kind == "Deployment"]

    assert templates() == templates(cors=PAGES, publicURL=URL)


FIELDS = {
    story: {name: body["spec"][name] for name in ("cors", "publicURL") if name in body["spec"]}
    for story, body in ACCEPTED.items()
    if body["kind"] == "TTSTenant" and body["spec"].keys() & {"cors", "publicURL"}
}


@pytest.mark.parametrize("spec", FIELDS.values(), ids=FIELDS)
def test_what_the_api_accepts_the_server_accepts(spec: dict[str, Any]) -> None:
    entry = configs("espeak", **spec)["Entry"]
    assert entry.public_url == spec.get("publicURL")
    assert (entry.cors is None) == ("cors" not in spec)


def test_a_models_pauses_are_in_the_file_of_every_pool_that_names_it() -> None:
    pauses = {"sentenceMilliseconds": 450, "clauseMilliseconds": 0, "lineMilliseconds": 1, "paragraphMilliseconds": 900}
    found = configs("espeak", "large", known=[model(), model("large", pauses=pauses)])
    expected = PausesConfig(sentence_seconds=0.45, clause_seconds=0, line_seconds=0.001, paragraph_seconds=0.9)
    assert [(each.name, each.pauses) for each in found["Entry"].models] == [
        ("espeak", PausesConfig()),
        ("large", expected),
    ]
    assert [each.pauses for each in found["Member"].models] == [expected]


def test_a_pause_that_is_not_set_is_the_servers_default() -> None:
    (large,) = configs("espeak", known=[model(pauses={"lineMilliseconds": 100})])["Entry"].models
    assert large.pauses == PausesConfig(line_seconds=0.1)
    milliseconds = [field.default for field in Pauses.model_fields.values()]
    assert milliseconds == [field.default * 1000 for field in PausesConfig.model_fields.values()]


def test_a_change_of_pauses_starts_no_new_pods() -> None:
    def templates(**spec: Any) -> list[Any]:
        manifests = desired(observe("espeak", known=[model(**spec)])).manifests
        return [each.body["spec"]["template"] for each in manifests if each.ref.kind == "Deployment"]

    assert templates() == templates(pauses={"sentenceMilliseconds": 800})
