#!/usr/bin/env bash
# Print the path of an interpreter: python.sh VERSION
#
# In this order: one that is installed, one of pyenv, one that uv downloads. Fails when none is to
# be had: a version that was not tested must not look like one that passed.
set -euo pipefail
cd "$(dirname "$0")/../.."

version=$1
uv=$(deploy/local/uv.sh)
if "$uv" python find --system --no-project --no-python-downloads "$version" 2>/dev/null; then
    exit 0
fi
for python in "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/python; do
    if [[ -x $python ]]; then
        echo "$python"
        exit 0
    fi
done
if "$uv" python install --quiet --no-bin "$version" >&2; then
    exec "$uv" python find --system --no-project "$version"
fi
echo "zring: Python $version is neither installed nor could it be downloaded; install it and try again" >&2
exit 1
