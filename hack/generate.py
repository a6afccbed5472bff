"""Write what is generated from the API models, the table of kinds, the metrics, and both programs' flags and files.

``python -m hack.generate`` writes them; with ``--check`` it writes nothing and fails if a file is stale.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.metrics import MetricWrapperBase

from hack import chart_rules, plugin_reference, policy_rules, programs_reference
from tts_operator.api.base import VALIDATIONS
from tts_operator.api.crd import RESOURCES, CustomResource, definition
from tts_operator.telemetry.metrics import Metrics as OperatorMetrics
from tts_operator.telemetry.waker_metrics import WakerMetrics
from tts_server.telemetry.metrics import Metrics as ServerMetrics

ROOT = Path(__file__).resolve().parent.parent
CHART_VALUES = ROOT / "charts" / "ttsfleet" / "values.yaml"
PROGRAMS = {"tts-server": ServerMetrics, "tts-operator": OperatorMetrics, "tts-operator waker": WakerMetrics}
SCOPES = {"Cluster": "cluster-scoped", "Namespaced": "namespaced"}
DEFAULTS_HEADER = "# Copy of values.yaml by `make generate`; do not edit.\n"
HEADER = "# Generated from operator/tts_operator/api by `make generate`; do not edit.\n"


class Plain(yaml.SafeDumper):
    """Writes every value in full, without anchors and aliases."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the dumper's own signature
        return True


def outputs() -> Iterator[tuple[Path, str]]:
    """Paths and contents of all generated files."""
    for resource in RESOURCES:
        crd = definition(resource)
        text = HEADER + yaml.dump(crd, Dumper=Plain, sort_keys=False, allow_unicode=True, width=120)
        file = f"{crd['spec']['names']['plural']}.yaml"
        yield ROOT / "crds" / file, text
        yield ROOT / "charts" / "ttsfleet" / "files" / "crds" / file, text
        names = crd["spec"]["names"]
        yield ROOT / "docs" / "reference" / f"{names['singular']}.md", reference(resource, crd)
    yield ROOT / "docs" / "reference" / "metrics.md", metrics_page()
    chart = ROOT / "charts" / "ttsfleet"
    yield chart / "templates" / "_rules.tpl", chart_rules.template()
    yield chart / "templates" / "_facts.tpl", policy_rules.template()
    # A template cannot read values.yaml itself.
    defaults = CHART_VALUES.read_text(encoding="utf-8")
    yield chart / "files" / "defaults.yaml", f"{DEFAULTS_HEADER}{defaults}"
    yield ROOT / "docs" / "reference" / "tts-server.md", programs_reference.server_page()
    yield ROOT / "docs" / "reference" / "tts-operator.md", programs_reference.operator_page()
    yield ROOT / "docs" / "reference" / "kubectl-tts.md", plugin_reference.page()


def reference(resource: CustomResource, crd: dict[str, Any]) -> str:
    """Page of one resource, with a row for each field."""
    names, (version,) = crd["spec"]["names"], crd["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    lines = [
        f"# {names['kind']}",
        "",
        "<!-- Generated from operator/tts_operator/api by `make generate`; do not edit. -->",
        "",
        f"{schema['description']} `kubectl get {names['shortNames'][0]}`; {SCOPES[crd['spec']['scope']]}.",
    ]
    rules = [*schema.get(VALIDATIONS, ()), *schema["properties"]["spec"].get(VALIDATIONS, ())]
    if rules:
        lines += ["", "Rules of the whole object:", "", *(f"- {rule['message']}" for rule in rules)]
    for part in (part for part in ("spec", "status") if part in schema["properties"]):
        lines += ["", f"## {part}", "", "| field | type | default | description |", "| --- | --- | --- | --- |"]
        lines += [
            f"| `{path}` | {type_} | {default} | {what} |"
            for path, type_, default, what in rows(schema["properties"][part], part)
        ]
    return "\n".join([*lines, *not_supported_yet(resource)]) + "\n"


def not_supported_yet(resource: CustomResource) -> list[str]:
    """Section of the fields that this version does not support."""
    if not resource.unsupported:
        return []
    return [
        "",
        "## Not supported yet",
        "",
        f"A {resource.kind} that sets one of these is refused by the API server, if the chart's admission policies are"
        " enabled, and else not accepted (`Accepted` False, reason `NotSupportedYet`). One that set it before stays"
        " editable.",
        "",
        "| field | values |",
        "| --- | --- |",
        *(f"| `{field.path}` | {', '.join(field.values) or 'any'} |" for field in resource.unsupported),
    ]


def rows(schema: dict[str, Any], path: str) -> Iterator[tuple[str, str, str, str]]:
    """Path, type, default and description of each field below ``schema``, in order."""
    for name, child in schema.get("properties", {}).items():
        here = f"{path}.{name}"
        default = "required" if name in schema.get("required", ()) else ""
        if "default" in child:
            value = child["default"]
            default = f"`{value if isinstance(value, str) else json.dumps(value)}`"
        inner = child.get("items", child)
        messages = {rule["message"]: None for part in (child, inner) for rule in part.get(VALIDATIONS, ())}
        sentences = [child.get("description", ""), *(f"<br>Rule: {message}." for message in messages)]
        what = " ".join(" ".join(sentences).split()).replace("|", "\\|")
        yield here, type_name(child) + bounds(child), default, what
        yield from rows(inner, here + "[]" if inner is not child else here)


def type_name(schema: dict[str, Any]) -> str:
    """Type of the value, as a person writes it."""
    if schema.get("x-kubernetes-int-or-string"):
        return "quantity"
    if "enum" in schema:
        return " \\| ".join(str(value) for value in schema["enum"])
    if schema["type"] == "array":
        return f"list of {type_name(schema['items'])}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"map of {type_name(schema['additionalProperties'])}"
    return str(schema.get("format", schema["type"]))


def bounds(schema: dict[str, Any]) -> str:
    """Bounds of a number, of the length of a text, or of the entries of a list or a map."""
    for least, most, unit in (
        ("minimum", "maximum", ""),
        ("minItems", "maxItems", " entries"),
        ("minProperties", "maxProperties", " entries"),
        ("minLength", "maxLength", " characters"),
    ):
        if most in schema:
            start = f"{schema[least]} to" if least in schema else "at most"
            return f", {start} {schema[most]}{unit}"
    return ""


def metrics_page() -> str:
    """Page of the metrics of both programs, with a row for each."""
    lines = [
        "# Metrics",
        "",
        "<!-- Generated from telemetry/metrics.py of both programs by `make generate`; do not edit. -->",
        "",
        "[Observe](../how-to/observe.md) shows how to use them.",
    ]
    for title, holder in PROGRAMS.items():
        lines += ["", f"## {title}", "", "| metric | type | labels | description |", "| --- | --- | --- | --- |"]
        made = [value for value in vars(holder()).values() if isinstance(value, MetricWrapperBase)]
        for metric in made:
            (family,) = metric.describe()
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels = ", ".join(f"`{label}`" for label in metric._labelnames)  # noqa: SLF001 - the client has no public accessor
            lines.append(f"| `{name}` | {family.type} | {labels} | {family.documentation} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write the files, or with --check name those that differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="Write nothing; fail if a file is stale.")
    check = parser.parse_args().check
    stale = [(path, text) for path, text in outputs() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path, text in stale:
        if check:
            print(f"stale: {path.relative_to(ROOT)}; run `make generate`", file=sys.stderr)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
