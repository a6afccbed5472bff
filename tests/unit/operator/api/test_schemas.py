"""Schemas meet the demands of the API server, and the project's own."""

from collections.abc import Iterator
from typing import Any

import pytest

from tts_operator.api.crd import definitions, field_at, structural
from tts_operator.api.support import MODEL, TENANT

Schema = dict[str, Any]
SCHEMAS: dict[str, Schema] = {
    crd["spec"]["names"]["kind"]: crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"] for crd in definitions()
}


def parts(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Every part of the schema below apiVersion, kind and metadata, with its path."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        if path or name in {"spec", "status"}:
            yield from parts(child, f"{path}.{name}" if path else name)
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from parts(schema[key], path + "[]")


def bounded(schema: Schema) -> bool:
    if schema.get("x-kubernetes-int-or-string"):
        return "maxLength" in schema
    match schema["type"]:
        case "string":
            return "maxLength" in schema or "enum" in schema
        case "array":
            return "maxItems" in schema
        case "object":
            return "properties" in schema or "maxProperties" in schema
        case _:
            return True


@pytest.mark.parametrize("kind", SCHEMAS)
def test_every_text_list_and_map_has_a_bound(kind: str) -> None:
    assert [path for path, schema in parts(SCHEMAS[kind]) if not bounded(schema)] == []


@pytest.mark.parametrize("kind", SCHEMAS)
def test_every_number_of_a_spec_has_bounds(kind: str) -> None:
    loose = [
        path
        for path, schema in parts(SCHEMAS[kind])
        if path.startswith("spec") and schema.get("type") == "integer" and not {"minimum", "maximum"} <= schema.keys()
    ]
    assert loose == []


@pytest.mark.parametrize("kind", SCHEMAS)
def test_every_field_says_what_it_is_for(kind: str) -> None:
    silent = [
        f"{path}.{name}"
        for path, schema in parts(SCHEMAS[kind])
        for name, child in schema.get("properties", {}).items()
        if path and not child.get("description")
    ]
    assert silent == []


@pytest.mark.parametrize("kind", SCHEMAS)
def test_every_list_says_how_managers_share_it(kind: str) -> None:
    unsaid = [
        path
        for path, schema in parts(SCHEMAS[kind])
        if schema.get("type") == "array" and "x-kubernetes-list-type" not in schema
    ]
    assert unsaid == []


@pytest.mark.parametrize("kind", SCHEMAS)
def test_the_keys_of_a_list_map_are_required(kind: str) -> None:
    optional = [
        path
        for path, schema in parts(SCHEMAS[kind])
        for key in schema.get("x-kubernetes-list-map-keys", ())
        if key not in schema["items"]["required"]
    ]
    assert optional == []


@pytest.mark.parametrize("kind", SCHEMAS)
def test_lists_whose_order_means_something_are_atomic(kind: str) -> None:
    ordered = {"windows", "exceptions", "models", "precisions", "tolerations", "args"}
    shared = [
        path
        for path, schema in parts(SCHEMAS[kind])
        if path.rpartition(".")[2] in ordered
        and path.startswith("spec")
        and schema.get("x-kubernetes-list-type") != "atomic"
    ]
    assert shared == []


@pytest.mark.parametrize("kind", SCHEMAS)
def test_nothing_is_left_that_a_structural_schema_forbids(kind: str) -> None:
    forbidden = {"$ref", "$defs", "allOf", "title", "const", "definitions", "nullable"}
    assert [path for path, schema in parts(SCHEMAS[kind]) if forbidden & schema.keys()] == []


@pytest.mark.parametrize("kind", SCHEMAS)
def test_every_rule_has_a_message_for_people(kind: str) -> None:
    rules = [rule for _, schema in parts(SCHEMAS[kind]) for rule in schema.get("x-kubernetes-validations", ())]
    assert rules
    assert all(set(rule) == {"rule", "message"} and rule["message"] for rule in rules)


def test_replicas_belong_to_the_calendar_so_there_is_no_scale_subresource() -> None:
    assert all(crd["spec"]["versions"][0].get("subresources", {}).keys() <= {"status"} for crd in definitions())


REPORTED = [crd for crd in definitions() if "status" in SCHEMAS[crd["spec"]["names"]["kind"]]["properties"]]


@pytest.mark.parametrize("crd", REPORTED, ids=lambda crd: crd["spec"]["names"]["kind"])
def test_a_new_object_does_not_look_as_if_it_were_done(crd: Schema) -> None:
    """Whoever waits for a condition waits until an operator has seen the object."""
    unseen = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["default"]["conditions"]
    assert {(each["type"], each["status"], each["reason"]) for each in unseen} == {
        ("Accepted", "Unknown", "Pending"),
        ("Ready", "Unknown", "Pending"),
    }


def test_the_catalogue_is_the_clusters_and_an_endpoint_a_namespaces() -> None:
    assert {crd["spec"]["names"]["shortNames"][0]: crd["spec"]["scope"] for crd in definitions()} == {
        "ttsm": "Cluster",
        "ttst": "Namespaced",
        "ttsc": "Cluster",
    }


def test_a_description_says_what_is_not_supported_yet() -> None:
    tenant = SCHEMAS["TTSTenant"]
    assert field_at(tenant, "spec.isolation")["description"].endswith("Not supported yet: Shared.")
    assert field_at(SCHEMAS["TTSModel"], "spec.pool")["description"].endswith("Not supported yet.")
    assert "Not supported yet" not in field_at(tenant, "spec.suspend")["description"]


def test_every_path_of_the_support_tables_is_a_field() -> None:
    for kind, table in (("TTSModel", MODEL), ("TTSTenant", TENANT)):
        for later in table:
            assert field_at(SCHEMAS[kind], later.path)["description"]


def test_an_optional_type_loses_its_null() -> None:
    node = {"anyOf": [{"$ref": "#/$defs/Name"}, {"type": "null"}], "default": None, "description": "Of the thing."}
    assert structural(node, {"Name": {"type": "string", "title": "Name", "maxLength": 3}}) == {
        "type": "string",
        "maxLength": 3,
        "description": "Of the thing.",
    }


def test_generating_twice_gives_the_same() -> None:
    assert definitions() == definitions()
