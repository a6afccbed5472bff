"""Reference of both programs: flags, and the fields of the configuration files of `tts-server`."""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from tts_operator.cli.main import run_flags, waker_flags
from tts_server.cli import parser as server_parser
from tts_server.config.schema import CONFIG_FILE, QUOTA_FILE, QuotaConfig, ServerConfig
from tts_server.config.shared_tenants import SharedTenant
from tts_server.engine_check.cli import parser as check_parser
from tts_server.model_files.cli import parser as fetch_parser

GENERATED = "<!-- Generated from {} by `make generate`; do not edit. -->"
FILES: Mapping[str, tuple[type[BaseModel], str]] = {
    CONFIG_FILE: (
        ServerConfig,
        "File that `--config` names, in JSON or YAML. A running server applies changes, except of `redis` and"
        " `storage.directory`, which need a restart.",
    ),
    QUOTA_FILE: (QuotaConfig, "File that `--quota` names, likewise. A limit that is not set is not enforced."),
    "tenants-00.json": (
        SharedTenant,
        "Files `tenants-00.json` to `tenants-15.json` in the folder `tenantsDirectory` of a pool of role Shared:"
        ' `{"tenants": {"<namespace>.<name>": {...}}}`, with these fields for each tenant. A tenant belongs to the'
        " file whose number is the first byte of the SHA-256 of its name, modulo 16. A running server applies changes"
        " to the tenants that they concern.",
    ),
}
FORMATS = {"ipvanynetwork": "network"}
"""Names of JSON schema formats for people."""
COLUMNS = ["", "| field | type | default | description |", "| --- | --- | --- | --- |"]


def operator_page() -> str:
    """Page of `tts-operator`, with a row for each flag."""
    lines = [
        "# tts-operator",
        "",
        GENERATED.format("operator/tts_operator/settings.py"),
        "",
        "The [chart](../how-to/install.md) sets these flags of `tts-operator run`, and at the end those of",
        "`tts-operator waker`, from its values. Each can also be set in the environment; the command line takes",
        "precedence. `tts-operator crds` prints the CustomResourceDefinitions.",
    ]
    for heading, group in itertools.groupby((*run_flags(), *waker_flags()), key=lambda flag: flag.group):
        lines += [
            "",
            f"## {heading}",
            "",
            "| flag | environment | default | description |",
            "| --- | --- | --- | --- |",
        ]
        for flag in group:
            default = f"`{flag.default}`" if flag.default else flag.default_text
            variables = ", ".join(f"`{variable}`" for variable in flag.variables)
            what = flag.help.replace("|", "\\|")
            lines.append(f"| `{flag.name}` | {variables} | {default} | {what} |")
    return "\n".join(lines) + "\n"


def server_page() -> str:
    """Page of `tts-server`, with a row for each flag and each field of its files."""
    lines = [
        "# tts-server",
        "",
        GENERATED.format("inference_server/tts_server/cli.py and inference_server/tts_server/config/schema.py"),
        "",
        "In a cluster the operator sets all of this from the TTSTenant. On a laptop none of it is needed.",
        "",
        "| flag | default | description |",
        "| --- | --- | --- |",
    ]
    lines += flag_rows(server_parser())
    lines += [
        "",
        "## tts-server fetch-model",
        "",
        f"{fetch_parser().description} The operator runs it as an init container for a TTSModel with `spec.source.s3`.",
        "It ends with exit code 1 after one sentence, which a condition of the TTSTenant repeats.",
        "",
        "| flag | default | description |",
        "| --- | --- | --- |",
        *flag_rows(fetch_parser()),
    ]
    lines += ["", "## tts-server check-engine", "", str(check_parser().description), ""]
    lines += ["| flag | default | description |", "| --- | --- | --- |", *flag_rows(check_parser())]
    for name, (model, what) in FILES.items():
        schema = model.model_json_schema(by_alias=True)
        lines += ["", f"## {name}", "", what, *COLUMNS]
        lines += [
            f"| `{path}` | {type_} | {default} | {text} |" for path, type_, default, text in rows(schema, schema, "")
        ]
    return "\n".join(lines) + "\n"


def flag_rows(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Row of each flag of a parser."""
    for flag in flags(parser):
        what = str(flag.help).removesuffix(" (default: %(default)s)")
        yield f"| `{flag.option_strings[-1]}` | {shown(flag.default)} | {what} |"


def flags(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Flags of a parser in the order of `--help`, without `--help` itself."""
    return (action for action in parser._actions if action.option_strings and action.dest != "help")  # noqa: SLF001 - argparse has no public accessor


def rows(root: Mapping[str, Any], schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, str, str, str]]:
    """Path, type, default and description of each field below ``schema``, in order."""
    for name, field in schema["properties"].items():
        here = f"{path}.{name}" if path else name
        members = [resolved(root, member) for member in field.get("oneOf") or field.get("anyOf") or [field]]
        members = [member for member in members if member.get("type") != "null"]
        what = field.get("description") or " Or: ".join(member.get("description", "") for member in members)
        default = "required" if name in schema.get("required", ()) else shown(field.get("default"))
        types = dict.fromkeys(kind(root, member) for member in members)
        yield here, " or ".join(types), default, " ".join(what.replace("``", "`").split()).replace("|", "\\|")
        for member in members:
            below, inner = entries(root, member)
            if "properties" in inner:
                yield from rows(root, inner, here + below)


def entries(root: Mapping[str, Any], schema: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """How the path goes on below a field, and the schema there: of a list's or a map's entries, or its own."""
    if "items" in schema:
        return "[]", resolved(root, schema["items"])
    if isinstance(schema.get("additionalProperties"), dict):
        return ".*", resolved(root, schema["additionalProperties"])
    return "", schema


def resolved(root: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Schema that a reference names; entries beside the reference override it."""
    if "$ref" not in schema:
        return schema
    found: Mapping[str, Any] = root["$defs"][schema["$ref"].rpartition("/")[2]]
    return {**found, **{name: value for name, value in schema.items() if name != "$ref"}}


def kind(root: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """Type and bounds of the value, as a person writes it."""
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return " \\| ".join(map(str, schema["enum"]))
    if "type" not in schema:
        return "any JSON value"
    if schema["type"] == "array":
        return f"list of {kind(root, resolved(root, schema['items']))}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"map of {kind(root, resolved(root, schema['additionalProperties']))}"
    form = str(schema.get("format", schema["type"]))
    return FORMATS.get(form, form) + bounds(schema)


def bounds(schema: Mapping[str, Any]) -> str:
    """Bounds of a number."""
    least, most = schema.get("minimum"), schema.get("maximum")
    above = schema.get("exclusiveMinimum")
    start = f"above {above:g}" if above is not None else None if least is None else f"from {least:g}"
    found = [start, None if most is None else f"to {most:g}"]
    return f", {' '.join(part for part in found if part)}" if any(found) else ""


def shown(default: object) -> str:
    """Default for people; empty for no value and for an object, whose fields have defaults of their own."""
    if default in (None, "") or isinstance(default, dict):
        return ""
    if isinstance(default, bool | list | tuple):
        return f"`{json.dumps(default)}`"
    return f"`{default}`"
