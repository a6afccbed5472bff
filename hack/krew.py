"""Makes what krew (https://krew.sigs.k8s.io) installs `kubectl tts` from: an archive and its manifest.

    python -m hack.krew --wheel dist/ttsfleet-0.1.0-py3-none-any.whl --url https://example.com/tts.tar.gz --out dist

The archive has the project's wheel and a launcher. At its first use the launcher makes a virtual environment in the
user's cache and installs the wheel with its dependencies there.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import sys
import tarfile
import tomllib
from pathlib import Path
from typing import Any

import yaml

from tts_operator.cli.commands import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
ARCHIVE, MANIFEST = "kubectl-tts.tar.gz", "tts.yaml"
LAUNCHER = "kubectl-tts"
PLATFORMS = (("linux", "amd64"), ("linux", "arm64"), ("darwin", "amd64"), ("darwin", "arm64"))
SHORT = "See, call and change text-to-speech tenants"
MOST_SHORT = 50
"""Characters of krew's short description."""
SCRIPT = """#!/bin/sh
# Runs kubectl tts from a virtual environment in the user's cache, which the first use makes.
set -eu
here=$(cd "$(dirname "$(readlink "$0" || echo "$0")")" && pwd -P)
home="${XDG_CACHE_HOME:-$HOME/.cache}/kubectl-tts/@DIGEST@"
if [ ! -x "$home/bin/python" ]; then
  command -v python3 >/dev/null || { echo "kubectl tts needs Python 3.11 or newer: install python3" >&2; exit 1; }
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "kubectl tts needs Python 3.11 or newer; python3 is $(python3 --version 2>&1)" >&2; exit 1; }
  draft="$home.$$"
  echo "kubectl tts: installing its Python packages in $home (once)" >&2
  mkdir -p "$(dirname "$home")"
  python3 -m venv "$draft" && "$draft/bin/python" -m pip install -q "$here/@WHEEL@[operator]" || {
    rm -rf "$draft"; exit 1; }
  mv "$draft" "$home" 2>/dev/null || rm -rf "$draft"
fi
exec "$home/bin/python" -c 'from tts_operator.cli.start import kubectl_tts; raise SystemExit(kubectl_tts())' "$@"
"""


def archive(wheel: Path) -> bytes:
    """Archive with the launcher and the wheel; the same wheel gives the same bytes."""
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()[:12]
    script = SCRIPT.replace("@DIGEST@", digest).replace("@WHEEL@", wheel.name)
    files = {LAUNCHER: (script.encode(), 0o755), wheel.name: (wheel.read_bytes(), 0o644)}
    files["LICENSE"] = ((ROOT / "LICENSE").read_bytes(), 0o644)
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as writer:
        for name, (content, mode) in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), mode
            writer.addfile(member, io.BytesIO(content))
    return gzip.compress(tar.getvalue(), mtime=0)


def manifest(version: str, url: str, digest: str) -> dict[str, Any]:
    """Manifest for krew's index."""
    commands = "\n".join(f"- {command.name}: {command.help}" for command in COMMANDS)
    return {
        "apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
        "kind": "Plugin",
        "metadata": {"name": "tts"},
        "spec": {
            "version": f"v{version}",
            "homepage": url.rpartition("/")[0],
            "shortDescription": SHORT,
            "description": f"Commands for TTS Fleet, an operator of text-to-speech endpoints:\n\n{commands}\n",
            "caveats": "It needs Python 3.11 or newer, and installs its Python packages at the first use.\n",
            "platforms": [
                {
                    "selector": {"matchLabels": {"os": system, "arch": architecture}},
                    "uri": url,
                    "sha256": digest,
                    "bin": LAUNCHER,
                    "files": [{"from": "*", "to": "."}],
                }
                for system, architecture in PLATFORMS
            ],
        },
    }


def main() -> int:
    """Write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path, required=True, help="Wheel of this project.")
    parser.add_argument("--url", required=True, help="Address at which the archive will be.")
    parser.add_argument("--out", type=Path, required=True, help="Folder for the archive and the manifest.")
    options = parser.parse_args()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    content = archive(options.wheel)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / ARCHIVE).write_bytes(content)
    written = manifest(project["version"], options.url, hashlib.sha256(content).hexdigest())
    text = yaml.safe_dump(written, sort_keys=False, allow_unicode=True, width=120)
    (options.out / MANIFEST).write_text(text, encoding="utf-8")
    print(f"{options.out / ARCHIVE}\n{options.out / MANIFEST}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
