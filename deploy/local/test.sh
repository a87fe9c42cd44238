#!/usr/bin/env bash
# The test command: every phase runs, the closing table says how each ended, and the exit code is
# that of the first one that failed.
set -uo pipefail
cd "$(dirname "$0")/../.."

# Processes of tests: as many as cores; where they wait for others (nodes, browsers, brokers, Spark)
# one more, but no more than a small machine has memory for (some 2 GB each).
cores=$(getconf _NPROCESSORS_ONLN)
computing=$((cores < 8 ? cores : 8))
waiting=$((cores < 4 ? cores + 1 : 4))

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
        "$folder/bin/python" -m pytest --numprocesses "$computing" --quiet "$@" --ignore tests/unit/bench
}

phase "system packages" deploy/local/system_packages.sh gdal browser curl openssl java maven mosquitto redis prometheus || report
phase "environment" deploy/local/environment.sh .venv 3.11 requirements/dev.txt || report
phase "style, types, layers" deploy/local/lint.sh
phase "core on Python 3.12, current numpy" core_tests 3.12 tests/unit
phase "core on Python 3.13, current numpy" core_tests 3.13 tests/unit tests/property
# A file at a time, the longest first.
processes=(--numprocesses "$waiting" --dist loadfile --no-loadscope-reorder --durations 10)
folders=()
ignored=(--ignore tests/analytics --ignore tests/streams)
for folder in tests/recovery tests/cluster tests/console tests/clients tests/docs; do
    if [[ -d $folder ]]; then
        folders+=("$folder")
        ignored+=(--ignore "$folder")
    fi
done
phase "tests" .venv/bin/pytest --numprocesses "$computing" --durations 10 tests "${ignored[@]}"
phase "tests with real processes" .venv/bin/pytest "${processes[@]}" "${folders[@]}"
# A Java that lives for seconds starts sooner when it compiles little and collects simply.
export JAVA_TOOL_OPTIONS="-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
phase "tests with brokers" .venv/bin/pytest "${processes[@]}" tests/streams
phase "tests with Spark" .venv/bin/pytest "${processes[@]}" tests/analytics
report
