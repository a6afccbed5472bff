"""Write what is generated from the API models.

``python -m hack.generate`` writes; with ``--check`` it writes nothing and fails where a file is stale.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tts_operator.api.crd import definitions

ROOT = Path(__file__).resolve().parent.parent
HEADER = "# Generated from operator/tts_operator/api by `make generate`; do not edit.\n"


def outputs() -> Iterator[tuple[Path, str]]:
    """Every generated file and what it should hold."""
    for crd in definitions():
        text = HEADER + yaml.safe_dump(crd, sort_keys=False, allow_unicode=True, width=120)
        file = f"{crd['spec']['names']['plural']}.yaml"
        yield ROOT / "crds" / file, text
        yield ROOT / "charts" / "ttsfleet" / "files" / "crds" / file, text
        names = crd["spec"]["names"]
        yield ROOT / "docs" / "reference" / f"{names['singular']}.md", reference(crd)


def reference(crd: dict[str, Any]) -> str:
    """The page of one resource: a line for each field."""
    names, (version,) = crd["spec"]["names"], crd["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    lines = [
        f"# {names['kind']}",
        "",
        "<!-- Generated from operator/tts_operator/api by `make generate`; do not edit. -->",
        "",
        f"{schema['description']} `kubectl get {names['shortNames'][0]}`; {crd['spec']['scope'].lower()}.",
    ]
    for part in ("spec", "status"):
        lines += ["", f"## {part}", "", "| field | type | default | what |", "| --- | --- | --- | --- |"]
        lines += [
            f"| `{path}` | {type_} | {default} | {what} |"
            for path, type_, default, what in rows(schema["properties"][part], part)
        ]
    return "\n".join(lines) + "\n"


def rows(schema: dict[str, Any], path: str) -> Iterator[tuple[str, str, str, str]]:
    """Path, type, default and description of each field below ``schema``, in order."""
    for name, child in schema.get("properties", {}).items():
        here = f"{path}.{name}"
        required = "required" if name in schema.get("required", ()) else ""
        default = f"`{child['default']}`" if "default" in child else required
        rules = " ".join(f"{rule['message']}." for rule in child.get("x-kubernetes-validations", ()))
        what = (
            " ".join(part for part in (child.get("description", ""), rules) if part)
            .replace("|", "\\|")
            .replace("\n", " ")
        )
        yield here, type_name(child), default, what
        inner = child.get("items", child)
        yield from rows(inner, here + "[]" if inner is not child else here)


def type_name(schema: dict[str, Any]) -> str:
    """What a person writes there."""
    if schema.get("x-kubernetes-int-or-string"):
        return "quantity"
    if "enum" in schema:
        return " \\| ".join(str(value) for value in schema["enum"])
    if schema["type"] == "array":
        return f"list of {type_name(schema['items'])}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"map of {type_name(schema['additionalProperties'])}"
    return str(schema.get("format", schema["type"]))


def main() -> int:
    """Write the files, or with --check name those that differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a file is stale")
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
