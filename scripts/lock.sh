#!/usr/bin/env bash
# Writes requirements/dev.txt: every package of every extra with its hashes and without any address,
# for Python 3.11 and newer on every platform. uv is fetched into a folder of its own.
set -euo pipefail

python=$1
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
"$python" -m pip install --quiet --disable-pip-version-check --target "$tools" uv
"$tools/bin/uv" pip compile pyproject.toml requirements/dev.in --all-extras --universal \
    --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url \
    --no-emit-find-links --quiet --output-file requirements/dev.txt
