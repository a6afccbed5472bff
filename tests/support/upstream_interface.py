"""Describes what the engines call of CosyVoice and IndexTTS, from sources: signatures, bases, what a method yields.

`python -m tests.support.upstream_interface COSYVOICE_CHECKOUT INDEX_TTS_CHECKOUT` compares checkouts with the record in
`fake_upstream/interface.json`; `--write` records them anew. Nothing of the projects is imported.
"""

import argparse
import ast
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

FAKE = Path(__file__).parent / "fake_upstream"
RECORD = FAKE / "interface.json"

Wanted = Mapping[str, Mapping[str, tuple[str, ...]]]
"""Methods by class and file."""

SPEAKING = ("inference_sft", "inference_zero_shot", "inference_cross_lingual")
COSYVOICE: Wanted = {
    "cosyvoice/cli/cosyvoice.py": {
        "CosyVoice": ("__init__", "list_available_spks", "add_zero_shot_spk", *SPEAKING),
        "CosyVoice2": ("__init__", "inference_instruct2"),
        "CosyVoice3": ("__init__",),
    },
    "cosyvoice/cli/model.py": {
        "CosyVoiceModel": ("__init__", "llm_job", "tts"),
        "CosyVoice2Model": ("__init__",),
    },
    "cosyvoice/utils/file_utils.py": {"": ("load_wav",)},
}
INDEX_TTS: Wanted = {
    "indextts/infer.py": {"IndexTTS": ("__init__", "_set_gr_progress", "infer")},
    "indextts/infer_v2.py": {"IndexTTS2": ("__init__", "_set_gr_progress", "infer")},
    "indextts/infer_v2_5.py": {"IndexTTS2": ("__init__", "_set_gr_progress", "infer")},
}
PROJECTS: Mapping[str, tuple[str, Wanted]] = {
    "CosyVoice": ("github.com/FunAudioLLM/CosyVoice", COSYVOICE),
    "IndexTTS": ("github.com/index-tts/index-tts", INDEX_TTS),
}
# The packages of PyPI: other people's, made from older code.
COSYVOICE2_EU: Wanted = {
    "cosyvoice/cli/cosyvoice.py": {
        "CosyVoice": ("__init__", "list_available_spks", "add_zero_shot_spk", *SPEAKING),
        "CosyVoice2": ("__init__", "inference_instruct2"),
    },
    "cosyvoice/cli/model.py": {"CosyVoiceModel": ("llm_job", "tts"), "CosyVoice2Model": ()},
    "cosyvoice/utils/file_utils.py": {"": ("load_wav",)},
}
INDEXTTS2_INFERENCE: Wanted = {"indextts/infer_v2.py": {"IndexTTS2": ("__init__", "infer")}}
PACKAGES: Mapping[str, Wanted] = {
    "cosyvoice2-eu": COSYVOICE2_EU,
    "indextts2-inference": INDEXTTS2_INFERENCE,
}


def describe(root: Path, wanted: Wanted) -> dict[str, Any]:
    """Describe classes and methods by file; the empty class name stands for functions of the module."""
    return {
        file: {
            name: _described(ast.parse((root / file).read_text("utf-8")), name, methods)
            for name, methods in classes.items()
        }
        for file, classes in wanted.items()
    }


def digests(root: Path, wanted: Wanted) -> dict[str, str]:
    """SHA-256 of each file."""
    return {file: hashlib.sha256((root / file).read_bytes()).hexdigest() for file in wanted}


def signatures(described: Any) -> Any:
    """Leave out what differs between upstream and a fake: what is yielded, and which state there is."""
    if isinstance(described, dict):
        return {key: signatures(value) for key, value in described.items() if key not in {"yields", "threads", "state"}}
    return described


def _described(module: ast.Module, class_name: str, methods: tuple[str, ...]) -> dict[str, Any]:
    scope: ast.Module | ast.ClassDef = module
    described: dict[str, Any] = {}
    if class_name:
        scope = next(node for node in module.body if isinstance(node, ast.ClassDef) and node.name == class_name)
        described["bases"] = [ast.unparse(base) for base in scope.bases]
        described["state"] = sorted(set(_attributes(scope)))
    functions = {node.name: node for node in scope.body if isinstance(node, ast.FunctionDef)}
    described["methods"] = {name: _method(functions[name]) for name in methods}
    return described


def _method(function: ast.FunctionDef) -> dict[str, Any]:
    arguments = function.args
    names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
    defaults = [ast.unparse(default) for default in arguments.defaults]
    required = len(names) - len(defaults)
    found: dict[str, Any] = {"required": names[:required]}
    # Defaults that are tensors or devices are upstream's own; whether there is one is what callers depend on.
    found["optional"] = names[required:]
    found["further"] = arguments.kwarg is not None
    yields = [node.value for node in ast.walk(function) if isinstance(node, ast.Yield) and node.value is not None]
    if yields:
        found["yields"] = sorted({ast.unparse(value) for value in yields})
    threads = [node for node in ast.walk(function) if _is_thread(node)]
    if threads:
        found["threads"] = sorted(ast.unparse(node) for node in threads)
    return found


def _is_thread(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "threading.Thread"


def _attributes(scope: ast.ClassDef) -> Iterator[str]:
    for node in ast.walk(scope):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
            yield node.attr


def _commit(checkout: Path) -> str:
    """Commit of a checkout; the empty string if it is a copy without history."""
    found = subprocess.run(
        ["git", "-C", str(checkout), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    return found.stdout.strip()


def main(arguments: list[str]) -> int:
    """Compare or record. Returns 1 if a checkout differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cosyvoice", type=Path)
    parser.add_argument("index_tts", type=Path)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--commits", nargs=2, default=["", ""], help="commits of copies without history")
    parser.add_argument("--packages", type=Path, help="folder with the unpacked packages of PyPI, by name")
    options = parser.parse_args(arguments)
    record: dict[str, Any] = {
        name: {
            "repository": repository,
            "commit": commit or _commit(checkout),
            "files": digests(checkout, wanted),
            "interface": describe(checkout, wanted),
        }
        for (name, (repository, wanted)), checkout, commit in zip(
            PROJECTS.items(), (options.cosyvoice, options.index_tts), options.commits, strict=True
        )
    }
    recorded = json.loads(RECORD.read_text("utf-8")) if RECORD.exists() else {}
    if options.packages is not None:
        record["packages"] = {
            name: {
                "files": digests(options.packages / name, wanted),
                "interface": describe(options.packages / name, wanted),
            }
            for name, wanted in PACKAGES.items()
        }
    elif "packages" in recorded:
        record["packages"] = recorded["packages"]
    if options.write:
        RECORD.write_text(json.dumps(record, indent=1, ensure_ascii=False, sort_keys=True) + "\n", "utf-8")
        return 0
    differences = [
        f"{name} {file}: " + ("changed" if recorded[name]["interface"][file] != described else "only its text differs")
        for name in PROJECTS
        for file, described in record[name]["interface"].items()
        if recorded[name]["files"][file] != record[name]["files"][file]
    ]
    print("\n".join(differences) or "as recorded")
    return int(any("changed" in line for line in differences))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
