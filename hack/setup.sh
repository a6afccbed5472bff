#!/usr/bin/env bash
# Installs into .venv every dependency at its pinned version, checked by hash, and this project, editable.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
supported='import sys; sys.exit(sys.version_info < (3, 11))'

if ! command -v "$python" >/dev/null || ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "setup: installing python3 with venv (apt, about 20 s)"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends python3 python3-venv ca-certificates >/dev/null
  else
    echo "setup: $python with the venv module is missing. Install Python 3.11 or newer (Debian: apt install python3-venv)," >&2
    echo "       or name another interpreter: make setup PYTHON=/path/to/python3.12" >&2
    exit 1
  fi
fi
if ! "$python" -c "$supported"; then
  echo "setup: $("$python" --version) is too old: 3.11 or newer is needed. Name one: make setup PYTHON=/path/to/python3.12" >&2
  exit 1
fi
[ -x .venv/bin/python ] || "$python" -m venv .venv
echo "setup: installing pinned dependencies into .venv (about 90 s when nothing is cached)"
# Without dependencies: the file has all of them, and leaves out one that is not needed (pyproject.toml, tool.uv).
# Without compiling: most modules are never imported, and Python compiles those that are.
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps --require-hashes -r requirements/dev.txt
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
