#!/usr/bin/env bash
# Resolves pyproject.toml into requirements/*.txt: pinned, with hashes, without the address of a registry.
# `hack/lock.sh --upgrade` raises every pin to the newest version; otherwise pins change only if they must.
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
# The images install subsets of the tested versions: dev is resolved first and constrains the others.
lock dev --extra operator --extra server --extra espeak --extra kokoro --extra aac --extra tracing --group dev "$@"
lock bench --group bench --constraint requirements/dev.txt
lock operator --extra operator --constraint requirements/dev.txt
lock server --extra server --extra espeak --extra kokoro --extra aac --extra tracing --constraint requirements/dev.txt
# The interpreters of the engines on PyTorch: for the images' own platform, since most of it is CUDA.
for engine in engine-build cosyvoice index-tts; do
  build=()
  [[ $engine == engine-build ]] || build=(--build-constraint requirements/engine-build.txt)
  "${uv[@]}" pip compile --quiet --python-version 3.11 --python-platform x86_64-manylinux_2_28 --generate-hashes \
    --no-emit-index-url --no-emit-find-links --custom-compile-command "hack/lock.sh" -o "requirements/$engine.txt" \
    --group "pyproject.toml:$engine" "${build[@]}" "$@"
done
# Build tools of the wheel in an image, without the project's dependencies.
"${uv[@]}" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
  --custom-compile-command "hack/lock.sh" -o requirements/build.txt --group pyproject.toml:build \
  --constraint requirements/dev.txt "$@"
