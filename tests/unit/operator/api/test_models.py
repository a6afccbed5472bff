"""The typed objects read what the API server stores, and files that it has not seen."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from tests.support.api_rules import ACCEPTED, DAY, REFUSED, S3
from tests.support.full_objects import DESIGN_MODEL, DESIGN_TENANT, FULL_MODEL, FULL_TENANT
from tests.support.resources import Object, model, stored, tenant, tenant_body
from tts_operator.api import Schedule, TTSCalendar, TTSModel, TTSTenant
from tts_operator.api.crd import definitions
from tts_operator.api.schedule import (
    BOUNDS_RULE,
    CONTENT_RULE,
    DATES_RULE,
    EXTENT_RULE,
    LENGTH_RULE,
    ORDER_RULE,
    PAIR_RULE,
    PRESET_RULE,
    UNIQUE_EXCEPTIONS,
    UNIQUE_WINDOWS,
)
from tts_operator.observe.models import parse

KINDS: dict[str, type[TTSModel | TTSTenant | TTSCalendar]] = {
    kind.__name__: kind for kind in (TTSModel, TTSTenant, TTSCalendar)
}
STORABLE = {
    **ACCEPTED,
    "the full model": FULL_MODEL,
    "the full tenant": FULL_TENANT,
    "the design's model": DESIGN_MODEL,
    "the design's tenant": DESIGN_TENANT,
}


@pytest.mark.parametrize("body", STORABLE.values(), ids=STORABLE)
def test_what_the_api_server_accepts_is_read(body: Object) -> None:
    assert KINDS[body["kind"]].model_validate(body).metadata.name == body["metadata"]["name"]


@pytest.mark.parametrize("body", STORABLE.values(), ids=STORABLE)
def test_what_is_read_can_be_written_again(body: Object) -> None:
    read = KINDS[body["kind"]].model_validate(body)
    assert type(read).model_validate(read.model_dump(by_alias=True, mode="json")) == read


# The operator's time zones have the last word on a name; the other two are no question of the calendar.
ONLY_IN_THE_CLUSTER = {
    "a time zone of another planet",
    "the machine's own time zone",
    "a name without a slash that is no zone",
    "an offset like those of POSIX",
    "a shared tenant with a schedule",
    "a day of the week twice",
}
RULES = [
    rule[1]
    for rule in (
        BOUNDS_RULE,
        PAIR_RULE,
        LENGTH_RULE,
        EXTENT_RULE,
        DATES_RULE,
        ORDER_RULE,
        PRESET_RULE,
        CONTENT_RULE,
        UNIQUE_WINDOWS,
        UNIQUE_EXCEPTIONS,
    )
]
BAD_SCHEDULES: dict[str, tuple[Object, str]] = {
    story: (body["spec"]["schedule"], message)
    for story, (body, message) in REFUSED.items()
    if "schedule" in body.get("spec", {}) and story not in ONLY_IN_THE_CLUSTER
}


@pytest.mark.parametrize(("schedule", "message"), BAD_SCHEDULES.values(), ids=BAD_SCHEDULES)
def test_a_file_with_a_bad_schedule_is_refused_as_in_the_cluster(schedule: Object, message: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        Schedule.model_validate(schedule)
    if any(message in rule for rule in RULES):
        assert message in str(refusal.value)


def messages(schema: object) -> Iterator[str]:
    """Yield the message of every CEL rule, however deep."""
    if isinstance(schema, dict):
        yield from (rule["message"] for rule in schema.get("x-kubernetes-validations", ()))
    for child in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from messages(child)


CEL = set(messages(definitions()))
BAD_SHAPES = {
    story: body
    for story, (body, message) in REFUSED.items()
    if message != "Duplicate value" and not any(message in rule for rule in CEL)
}


@pytest.mark.parametrize("body", BAD_SHAPES.values(), ids=BAD_SHAPES)
def test_a_bad_shape_is_refused_as_in_the_cluster(body: Object) -> None:
    with pytest.raises(ValidationError):
        KINDS[body["kind"]].model_validate(body)


# The API server cannot tell, or its rules are of an older version: the operator must, and say why in a condition.
ONLY_IN_PYTHON: dict[str, tuple[Object, str]] = {
    "a port above the last one": (
        tenant_body(storage={"s3": {**S3, "publicEndpoint": "https://s3.example:65536"}}),
        "spec.storage.s3.publicEndpoint: Port out of range 0-65535",
    ),
    "an address that is none": (
        tenant_body(storage={"s3": {**S3, "endpoint": "https://[1:2]"}}),
        "spec.storage.s3.endpoint: '1:2' does not appear to be an IPv4 or IPv6 address",
    ),
    "the year 0": (
        tenant_body(
            schedule={"default": DAY, "exceptions": [{"name": "x", "from": "0000-01-01", "to": "0000-01-01", **DAY}]}
        ),
        "spec.schedule.exceptions[0].from: year 0 is out of range",
    ),
    "a prefix out of the bucket": (REFUSED["a prefix out of the bucket"][0], "spec.storage.s3.prefix: prefix must not"),
    "an engine that may have no memory": (
        REFUSED["an engine that may have no memory"][0],
        "spec.memoryLimit: memoryLimit must be greater than 0",
    ),
}


@pytest.mark.parametrize(("body", "message"), ONLY_IN_PYTHON.values(), ids=ONLY_IN_PYTHON)
def test_what_was_stored_all_the_same_is_told_in_the_words_of_a_condition(body: Object, message: str) -> None:
    found = parse(KINDS[body["kind"]], body)
    assert found.value is None
    assert found.error is not None
    assert found.error.startswith(message)


def test_every_rule_is_broken_by_some_object() -> None:
    assert {rule for rule in CEL if not any(message in rule for _, message in REFUSED.values())} == set()


def test_an_object_from_the_api_server_keeps_what_others_wrote_in_its_metadata() -> None:
    body = stored(tenant_body(), "7f1c")
    body["metadata"] |= {"managedFields": [{"manager": "kubectl"}], "resourceVersion": "42", "selfLink": ""}
    read = TTSTenant.model_validate(body)
    assert (read.metadata.uid, read.metadata.resource_version) == ("7f1c", "42")


def test_a_status_of_a_newer_version_is_read() -> None:
    body = tenant_body() | {"status": {"observedGeneration": 3, "mood": "sunny"}}
    status = TTSTenant.model_validate(body).status
    assert status is not None
    assert status.observed_generation == 3


@pytest.mark.parametrize("typo", [{"teir": "VIP"}, {"quota": {"requestPerMinute": 1}}], ids=str)
def test_an_unknown_field_of_a_spec_is_never_ignored(typo: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        _ = tenant(**typo)


def test_a_quantity_is_text_however_it_was_written() -> None:
    resources = {"limits": {"cpu": 1, "memory": "1Gi", "nvidia.com/gpu": 2}}
    (precision,) = model(precisions=[{"name": "fp16", "resources": resources}]).spec.precisions
    assert precision.resources.limits == {"cpu": "1", "memory": "1Gi", "nvidia.com/gpu": "2"}


@pytest.mark.parametrize("replicas", ["3", True, 2.0], ids=repr)
def test_replicas_are_whole_numbers_as_in_the_cluster(replicas: object) -> None:
    with pytest.raises(ValidationError, match="valid integer"):
        Schedule.model_validate({"default": {"minReplicas": replicas}})


def test_a_typed_object_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        tenant().spec.suspend = True  # type: ignore[misc]  # this is the point


NO_ADDRESSES = ("a:port", "a:99999", "a:0", ":443", "[::1", "[::g]", "a\u2100.example")
"""Server addresses that the API server's patterns accept although they are invalid: none may stop a reconcile."""


@pytest.mark.parametrize("address", NO_ADDRESSES)
def test_an_address_that_cannot_be_is_an_object_that_cannot_be_read(address: str) -> None:
    external = {"jwksURL": f"https://{address}/jwks.json", "issuer": "id", "audience": "tts"}
    s3 = {"endpoint": f"https://{address}", "bucket": "speech", "secretRef": {"name": "s3"}}
    for spec in ({"auth": {"modes": ["JWT"], "external": external}}, {"storage": {"s3": s3}}):
        with pytest.raises(ValidationError, match=r"endpoint|jwksURL"):
            TTSTenant.model_validate(tenant_body(**spec))


@pytest.mark.parametrize("address", ["a", "a.example:8443", "192.0.2.1", "[2001:db8::1]:443"])
def test_addresses_that_can_be(address: str) -> None:
    external = {"jwksURL": f"https://{address}/jwks.json", "issuer": "id", "audience": "tts"}
    assert tenant(auth={"modes": ["JWT"], "external": external}).spec.auth is not None
