#!/usr/bin/env bash
# The test command: every phase runs, the closing table says how each ended, and the exit code is
# that of the first one that failed.
set -uo pipefail
cd "$(dirname "$0")/../.."

# Processes of tests: one more than cores, because they wait for disks and for each other; where they
# have processes of their own (nodes, browsers, brokers, Spark), no more than a small machine has
# memory for: some 2 GB each.
cores=$(getconf _NPROCESSORS_ONLN)
many=$((cores < 8 ? cores + 1 : 8))
few=$((cores < 4 ? cores + 1 : 4))

first_failure=0
summary=()

phase() {
    local name=$1 start=$SECONDS code=0
    shift
    printf '\n== %s\n' "$name"
    "$@" || code=$?
    summary+=("$(printf '%-40s %4d s  %s' "$name" $((SECONDS - start)) "$([[ $code -eq 0 ]] && echo passed || echo "FAILED ($code)")")")
    if [[ $code -ne 0 && $first_failure -eq 0 ]]; then
        first_failure=$code
    fi
    return "$code"
}

report() {
    printf '\n== summary\n'
    printf '%s\n' "${summary[@]}"
    exit "$first_failure"
}

# Python with current numpy: what people install. The pinned numpy of the main environment is the
# last one that Chainer accepts. Benchmarks are measured in the main environment only.
core_tests() {
    local version=$1 folder=.venv-$1
    shift
    deploy/local/environment.sh "$folder" "$version" requirements/core.txt requirements/core-test.txt &&
        "$folder/bin/python" -m pytest --numprocesses "$many" --quiet "$@" --ignore tests/unit/bench
}

phase "system packages" deploy/local/system_packages.sh gdal browser curl openssl java maven mosquitto redis prometheus || report
phase "environment" deploy/local/environment.sh .venv 3.11 requirements/dev.txt || report
phase "style, types, layers" deploy/local/lint.sh
# Between the oldest and the newest Python: without what kills and damages stores, slow and the same
# on every Python.
phase "core on Python 3.12, current numpy" core_tests 3.12 tests/unit \
    --ignore tests/unit/node/storage/test_crash.py --ignore tests/unit/node/storage/test_damage.py
phase "core on Python 3.13, current numpy" core_tests 3.13 tests/unit tests/property
# A file at a time, the longest first.
processes=(--numprocesses "$few" --dist loadfile --no-loadscope-reorder --durations 10)
folders=()
ignored=(--ignore tests/analytics --ignore tests/streams)
for folder in tests/recovery tests/cluster tests/console tests/clients tests/docs; do
    if [[ -d $folder ]]; then
        folders+=("$folder")
        ignored+=(--ignore "$folder")
    fi
done
phase "tests" .venv/bin/pytest --numprocesses "$many" --durations 10 tests "${ignored[@]}"
phase "tests with real processes" .venv/bin/pytest "${processes[@]}" "${folders[@]}"
# A Java that lives for seconds starts sooner when it compiles little and collects simply.
export JAVA_TOOL_OPTIONS="-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
phase "tests with brokers" .venv/bin/pytest "${processes[@]}" tests/streams
phase "tests with Spark" .venv/bin/pytest "${processes[@]}" tests/analytics
report
