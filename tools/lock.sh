#!/bin/sh
# Resolve the pinned, hashed requirement files. They name no registry: docs/adr/0008-locked-requirements.md.
set -eu
cd "$(dirname "$0")/.."
uv=.venv/bin/uv
compile() {
    output=$1
    shift
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --no-annotate \
        --custom-compile-command "make lock" --output-file "requirements/$output" "$@"
}
compile bootstrap.txt requirements/bootstrap.in
compile runtime.txt pyproject.toml
compile dev.txt pyproject.toml --all-extras --group dev --constraint requirements/runtime.txt
compile bench.txt pyproject.toml --all-extras --group bench --constraint requirements/dev.txt
