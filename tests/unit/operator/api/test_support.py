"""Every field that is not supported yet is named, and no other."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.full_objects import DESIGN_MODEL, DESIGN_TENANT, FULL_MODEL, FULL_TENANT, FULL_VOICES
from tests.support.resources import Object, stored
from tests.support.unsupported_fields import MODELS, TENANTS
from tts_operator.api import TTSModel, TTSTenant
from tts_operator.api.crd import definitions
from tts_operator.api.support import MODEL, TENANT, unsupported_in_model, unsupported_in_tenant

EXAMPLES = Path(__file__).parents[4] / "examples"


@pytest.mark.parametrize(("body", "expected"), TENANTS.values(), ids=TENANTS)
def test_of_a_tenant(body: Object, expected: list[str]) -> None:
    assert list(unsupported_in_tenant(TTSTenant.model_validate(stored(body)).spec)) == expected


@pytest.mark.parametrize(("body", "expected"), MODELS.values(), ids=MODELS)
def test_of_a_model(body: Object, expected: list[str]) -> None:
    assert list(unsupported_in_model(TTSModel.model_validate(stored(body)).spec)) == expected


def test_every_row_of_the_tables_has_a_story_above() -> None:
    assert {phrase for _, found in TENANTS.values() for phrase in found} == {str(later) for later in TENANT}
    assert {phrase for _, found in MODELS.values() for phrase in found} == {str(later) for later in MODEL}


def test_the_full_objects_set_only_what_is_supported() -> None:
    assert list(unsupported_in_tenant(TTSTenant.model_validate(FULL_TENANT).spec)) == []
    for body in (FULL_MODEL, *FULL_VOICES):
        assert list(unsupported_in_model(TTSModel.model_validate(body).spec)) == []


def test_the_examples_set_only_what_is_supported() -> None:
    for file in EXAMPLES.glob("*.yaml"):
        for body in yaml.safe_load_all(file.read_text()):
            if body["kind"] == "TTSTenant":
                assert list(unsupported_in_tenant(TTSTenant.model_validate(body).spec)) == []
            if body["kind"] == "TTSModel":
                assert list(unsupported_in_model(TTSModel.model_validate(body).spec)) == []


def test_the_designs_own_objects_are_named_field_by_field() -> None:
    tenant_says = list(unsupported_in_tenant(TTSTenant.model_validate(DESIGN_TENANT).spec))
    model_says = list(unsupported_in_model(TTSModel.model_validate(DESIGN_MODEL).spec))
    assert tenant_says == [
        "spec.exposure",
        "spec.preventDeletion true",
    ]
    assert model_says == ["spec.accelerator", "spec.pool"]


def leaves(schema: dict[str, Any], path: str) -> Iterator[str]:
    """Paths of the fields that hold values."""
    inner = schema.get("items", schema)
    if "properties" not in inner:
        yield path
    for name, child in inner.get("properties", {}).items():
        yield from leaves(child, f"{path}{'[]' if inner is not schema else ''}.{name}")


def set_paths(value: object, path: str) -> Iterator[str]:
    """Paths of the values that are no objects and no lists of objects."""
    if not isinstance(value, dict | list):
        yield path
    elif isinstance(value, dict):
        for name, child in value.items():
            yield from set_paths(child, f"{path}.{name}")
    elif all(isinstance(child, dict) for child in value):
        for child in value:
            yield from set_paths(child, f"{path}[]")
    else:
        yield path


# Set by nobody who uses what is supported: options of other engines, and what stands instead of something else.
ELSEWHERE = {
    "TTSModel": ("spec.source.builtIn", "spec.remote", "spec.sidecar", "spec.voices[].adapter", "spec.fallback"),
    "TTSTenant": ("spec.schedule.preset", "spec.autoscaling.metrics[].averageValue", "spec.cache.ttlSeconds"),
}


@pytest.mark.parametrize(
    ("full", "table"),
    [([FULL_MODEL, *FULL_VOICES], MODEL), ([FULL_TENANT, DESIGN_TENANT], TENANT)],
    ids=["model", "tenant"],
)
def test_every_field_is_in_a_full_object_or_not_supported_yet(full: list[Object], table: tuple[Any, ...]) -> None:
    kind = full[0]["kind"]
    (crd,) = (crd for crd in definitions() if crd["spec"]["names"]["kind"] == kind)
    spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    used = (path for body in full for path in set_paths(body["spec"], "spec"))
    accounted = [*used, *ELSEWHERE[kind], *(later.path for later in table)]
    missing = [
        path
        for path in leaves(spec, "spec")
        if not any(path == one or path.startswith((f"{one}.", f"{one}[]")) for one in accounted)
        and not any(one.startswith(f"{path}.") for one in accounted)  # a map
    ]
    assert missing == []
