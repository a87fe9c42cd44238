#!/usr/bin/env bash
# Fetch the pinned jars of one pom into deploy/jvm/jars, once: fetch.sh kafka-3.9|kafka-4.2|spark-kafka
#
# The second call with the same pom takes no time. Prints nothing unless it has something to do.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

name=${1:-}
pom=$here/$name/pom.xml
jars=$here/jars/$name
if [[ -z $name || ! -f $pom ]]; then
    echo "zring: ${name:-nothing} is not one of: $(cd "$here" && echo */pom.xml | sed 's|/pom.xml||g')" >&2
    exit 1
fi
missing=()
command -v java >/dev/null || missing+=(java)
if ! cmp --silent "$pom" "$jars/pom.xml"; then
    command -v mvn >/dev/null || missing+=(maven)
fi
if [[ ${#missing[@]} -gt 0 ]]; then
    "$here/../local/system_packages.sh" "${missing[@]}" >&2
fi
if cmp --silent "$pom" "$jars/pom.xml"; then
    exit 0
fi
# Processes that start at the same time (tests) must not fill one folder together.
mkdir -p "$here/jars"
exec 9>"$here/jars/$name.lock"
flock 9
if cmp --silent "$pom" "$jars/pom.xml"; then
    exit 0
fi
echo "zring: fetching the jars of $name" >&2
rm -rf "$jars"
mvn --batch-mode --quiet --file "$pom" dependency:copy-dependencies -DincludeScope=runtime \
    -DoutputDirectory="$jars" >&2
cp "$pom" "$jars/pom.xml"
