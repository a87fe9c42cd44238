#!/usr/bin/env bash
# The demo: demo.sh [OPTION…], the options of zring demo.
#
# ZRING_DEMO_EXIT=1 makes it leave when it has shown everything, instead of staying up.
set -euo pipefail
cd "$(dirname "$0")/../.."

environment=.venv
if [[ ! -e .venv/installed ]]; then
    environment=.venv-demo
    deploy/local/environment.sh "$environment" 3.11 requirements/core.txt
fi
exec "$environment/bin/zring" demo "$@"
