#!/usr/bin/env bash
# Print the path of an interpreter: python.sh VERSION
#
# In this order: the system's, one that is on the path, one of pyenv, one that uv downloads. The
# system's comes first because distributions build with profiles; what is compiled by hand mostly is
# not, and runs Python code a quarter slower. Fails when none is to be had: a version that was not
# tested must not look like one that passed.
set -euo pipefail
cd "$(dirname "$0")/../.."

version=$1
if [[ -x /usr/bin/python$version ]]; then
    echo "/usr/bin/python$version"
    exit 0
fi
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
