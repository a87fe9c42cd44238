#!/usr/bin/env bash
# Make an environment hold exactly the locked packages and this checkout:
#   environment.sh FOLDER PYTHON-VERSION LOCK…
#
# The second call with the same locks, project file and place takes no time.
set -euo pipefail
cd "$(dirname "$0")/../.."

folder=$1
version=$2
shift 2

wanted=$(cat "$@" pyproject.toml requirements/build-constraints.txt - <<<"$PWD $version $*" | cksum)
if [[ -x $folder/bin/python && $wanted == "$(cat "$folder/installed" 2>/dev/null)" ]]; then
    exit 0
fi

uv=$(deploy/local/uv.sh)
python=$(deploy/local/python.sh "$version")
echo "zring: installing $* into $folder ($("$python" --version))" >&2
if [[ $("$folder/bin/python" --version 2>/dev/null) != "Python $version."* ]]; then
    "$uv" venv --quiet --clear --no-project --python "$python" "$folder"
fi
locks=()
for lock in "$@"; do
    locks+=(--requirement "$lock")
done
constraints=(--build-constraints requirements/build-constraints.txt)
"$uv" pip install --quiet --python "$folder" --require-hashes "${constraints[@]}" "${locks[@]}"
"$uv" pip install --quiet --python "$folder" --no-deps "${constraints[@]}" --editable .
echo "$wanted" >"$folder/installed"
