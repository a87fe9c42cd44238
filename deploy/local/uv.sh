#!/usr/bin/env bash
# Print the path of the pinned installer; the first call puts it into .venv-tools.
#
# Any Python from 3.9 does for this step; PYTHON= names one.
set -euo pipefail
cd "$(dirname "$0")/../.."

tools=.venv-tools
lock=requirements/bootstrap.txt
if ! cmp --silent "$lock" "$tools/lock.txt"; then
    python=${PYTHON:-}
    for candidate in python3.11 python3 python; do
        if [[ -z $python ]] && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 9))' 2>/dev/null; then
            python=$candidate
        fi
    done
    if [[ -z $python ]]; then
        echo "zring: found no Python; install Python 3.11, or name one: PYTHON=/path/to/python3 make …" >&2
        exit 1
    fi
    if ! "$python" -c 'import ensurepip' 2>/dev/null; then
        deploy/local/system_packages.sh venv >&2
    fi
    "$python" -m venv --clear "$tools"
    "$tools/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --requirement "$lock" >&2
    cp "$lock" "$tools/lock.txt"
fi
echo "$PWD/$tools/bin/uv"
