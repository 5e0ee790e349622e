#!/usr/bin/env bash
# Names every missing prerequisite in one line each and exits 2 when there is one.
set -u

python=${1:-python3}
missing=0

miss() {
    printf 'missing prerequisite: %s\n' "$1" >&2
    missing=1
}

has() { command -v "$1" >/dev/null 2>&1; }

if ! has "$python"; then
    miss "Python 3.11 or newer: install it, or name one with make PYTHON=/path/to/python3"
elif ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
    miss "$python is older than Python 3.11: name a newer one with make PYTHON=/path/to/python3"
elif ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
    miss "the venv module of $python: on Debian, apt-get install python3-venv"
fi

if ! has cargo; then
    miss "cargo: install stable Rust 1.88 or newer (rustup or your distribution)"
elif ! cargo --version | awk '{ split($2, v, "."); exit !(v[1] > 1 || (v[1] == 1 && v[2] >= 88)) }'; then
    miss "$(cargo --version | cut -d' ' -f1-2) is older than 1.88: update stable Rust"
fi

if ! has cc && ! has gcc && ! has clang; then
    miss "a C compiler (cc): on Debian, apt-get install build-essential"
fi

exit $((missing * 2))
