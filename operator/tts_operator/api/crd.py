"""Generates CustomResourceDefinitions. A structural schema is JSON Schema without references, unions or nulls.

Source of the rules: Kubernetes documentation, "Extend the Kubernetes API with CustomResourceDefinitions",
section "Specifying a structural schema".
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel

from tts_operator.api.base import INT_OR_STRING
from tts_operator.api.calendar import TTSCalendar
from tts_operator.api.model import TTSModel
from tts_operator.api.support import MODEL, TENANT, UnsupportedField
from tts_operator.api.tenant import TTSTenant
from tts_operator.objects.names import GROUP, VERSION

Schema = dict[str, Any]
"""A JSON Schema as plain data."""

# Keywords that pydantic writes and a structural schema does not allow.
DROPPED = ("title", "additionalProperties", "const", "$defs", "$ref", "anyOf", "allOf")
CONDITIONS = ".status.conditions[?(@.type=='Ready')]"


UNSEEN = tuple(
    {
        "type": type_,
        "status": "Unknown",
        "reason": "Pending",
        "message": "waiting for the operator",
        "lastTransitionTime": "1970-01-01T00:00:00Z",
    }
    for type_ in ("Accepted", "Ready")
)
"""Conditions of a new object, until an operator reports: without them an unwatched object would look as if it were
done. Both are types that the operator always writes, so that none stays behind."""


class CustomResource(NamedTuple):
    """The parts of a CRD besides its schema."""

    model: type[BaseModel]
    kind: str
    plural: str
    short_name: str
    scope: str
    columns: tuple[tuple[str, str, str], ...]
    """Name, type and JSONPath of each column of ``kubectl get``."""
    unsupported: tuple[UnsupportedField, ...]
    """Fields whose descriptions say that they are not supported yet."""


RESOURCES = (
    CustomResource(
        TTSModel,
        "TTSModel",
        "ttsmodels",
        "ttsm",
        "Cluster",
        (
            ("Ready", "string", f"{CONDITIONS}.status"),
            ("Engine", "string", ".spec.engine"),
            ("Precision", "string", ".spec.precisions[0].name"),
            ("Tenants", "integer", ".status.tenants"),
            ("Updated", "integer", ".status.updatedTenants"),
            ("Age", "date", ".metadata.creationTimestamp"),
            ("Reason", "string", f"{CONDITIONS}.reason"),
        ),
        MODEL,
    ),
    CustomResource(
        TTSTenant,
        "TTSTenant",
        "ttstenants",
        "ttst",
        "Namespaced",
        (
            ("Ready", "string", f"{CONDITIONS}.status"),
            ("Model", "string", ".status.model"),
            ("Precision", "string", ".status.precision"),
            ("Window", "string", ".status.activeWindow"),
            ("Replicas", "string", ".status.replicas"),
            ("Cost", "string", ".status.cost.hourly"),
            ("URL", "string", ".status.publicURL"),
            ("Age", "date", ".metadata.creationTimestamp"),
            ("Reason", "string", f"{CONDITIONS}.reason"),
        ),
        TENANT,
    ),
    CustomResource(
        TTSCalendar,
        "TTSCalendar",
        "ttscalendars",
        "ttsc",
        "Cluster",
        (
            ("Dates", "string", ".spec.dates[*].from"),
            ("Age", "date", ".metadata.creationTimestamp"),
        ),
        (),
    ),
)


def definitions() -> list[Schema]:
    """Every CustomResourceDefinition, as manifests for ``kubectl apply``."""
    return [definition(resource) for resource in RESOURCES]


def definition(resource: CustomResource) -> Schema:
    """One CustomResourceDefinition."""
    schema = schema_of(resource.model)
    for unsupported in resource.unsupported:
        field = field_at(schema, unsupported.path)
        values = f": {', '.join(unsupported.values)}" if unsupported.values else ""
        field["description"] = f"{field['description']}\n\nNot supported yet{values}."
    has_status = "status" in schema["properties"]
    if has_status:
        schema["properties"]["status"]["default"] = {"conditions": [dict(each) for each in UNSEEN]}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{resource.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": resource.scope,
            "names": {
                "kind": resource.kind,
                "listKind": f"{resource.kind}List",
                "plural": resource.plural,
                "singular": resource.kind.lower(),
                "shortNames": [resource.short_name],
                "categories": ["ttsfleet"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    **({"subresources": {"status": {}}} if has_status else {}),
                    "additionalPrinterColumns": [
                        {"name": name, "type": type_, "jsonPath": path} for name, type_, path in resource.columns
                    ],
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }


def schema_of(model: type[BaseModel]) -> Schema:
    """The whole object's schema. ``metadata`` stays a plain object: the API server has its own schema for it."""
    source = model.model_json_schema(by_alias=True)
    schema = structural(source, source.get("$defs", {}))
    schema["properties"].update(apiVersion={"type": "string"}, kind={"type": "string"}, metadata={"type": "object"})
    schema["required"] = ["spec"]
    return schema


def field_at(schema: Schema, path: str) -> Schema:
    """The part of a structural schema for a field path such as ``spec.models[].name``."""
    for name in path.split("."):
        schema = schema["properties"][name.removesuffix("[]")]
        if name.endswith("[]"):
            schema = schema["items"]
    return schema


def structural(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    """A node with references inlined, nulls removed, and only the keywords that a CRD allows."""
    merged = _dereferenced(node, definitions)
    result = {key: value for key, value in merged.items() if key not in DROPPED}
    if "const" in merged:
        result["enum"] = [merged["const"]]
    if result.get("default", ...) in ([], {}, ""):
        del result["default"]  # the API server would write an empty default into every object
    if merged.get("default", ...) is None:
        result.pop("default", None)
    if result.get(INT_OR_STRING):
        del result["type"]
        result["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if "properties" in merged:
        result["properties"] = {name: structural(child, definitions) for name, child in merged["properties"].items()}
    elif isinstance(merged.get("additionalProperties"), Mapping):
        result["additionalProperties"] = structural(merged["additionalProperties"], definitions)
    if "items" in merged:
        result["items"] = structural(merged["items"], definitions)
    return result


def _dereferenced(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    """The node with its reference and optional type resolved; keywords of the field override those of the type."""
    if "$ref" in node:
        target = _dereferenced(definitions[node["$ref"].rpartition("/")[2]], definitions)
        return {**target, **{key: value for key, value in node.items() if key != "$ref"}}
    if "anyOf" in node:
        (only,) = (option for option in node["anyOf"] if option.get("type") != "null")
        return {**_dereferenced(only, definitions), **{key: value for key, value in node.items() if key != "anyOf"}}
    return dict(node)
