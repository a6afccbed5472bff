#!/usr/bin/env bash
# Resolves pyproject.toml into requirements/*.txt: pinned, with hashes, without any registry's address.
# `hack/lock.sh --upgrade` moves every pin to its newest version; without it, pins stay where they can.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=(.venv/bin/python -m uv)
"${uv[@]}" --version >/dev/null 2>&1 || .venv/bin/python -m pip install --quiet uv
lock() {
  local out=$1
  shift
  "${uv[@]}" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
    --no-emit-find-links --custom-compile-command "hack/lock.sh" -o "requirements/$out.txt" pyproject.toml "$@"
}
# The two images install subsets of what the tests ran with: dev is resolved first and constrains them.
lock dev --extra operator --extra server --extra espeak --extra aac --extra tracing --group dev "$@"
lock bench --group bench --constraint requirements/dev.txt
lock operator --extra operator --constraint requirements/dev.txt
lock server --extra server --extra espeak --extra aac --extra tracing --constraint requirements/dev.txt
# What builds the wheel inside an image, and nothing of the project.
"${uv[@]}" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
  --custom-compile-command "hack/lock.sh" -o requirements/build.txt --group pyproject.toml:build \
  --constraint requirements/dev.txt "$@"
