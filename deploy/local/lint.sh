#!/usr/bin/env bash
# Style, types and layers. Every check runs, so that one look shows everything there is to mend.
set -uo pipefail
cd "$(dirname "$0")/../.."

failed=0
.venv/bin/ruff check || failed=1
.venv/bin/ruff format --check || failed=1
.venv/bin/mypy || failed=1
.venv/bin/lint-imports || failed=1
exit "$failed"
