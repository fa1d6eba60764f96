#!/usr/bin/env bash
# Server CPU per operation.  Builds the load generator, starts a server of its own, prints a table.
# Usage: tests/bench/run.sh [--data DIR] [NAME...]   (names: bulk put get changes vector)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${CC:-cc}" -std=gnu17 -O2 -o "$work/load" "$here/load.c"
"${PYTHON:-python3}" "$here/run.py" --load "$work/load" "$@"
