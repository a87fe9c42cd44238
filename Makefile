# Two commands matter: `make demo` and `make test`. Both need Python 3.11 and nothing else:
# environments, locked packages and (as root) system packages are theirs to fetch.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
UV = "$$(deploy/local/uv.sh)"
COMPILE = $(UV) pip compile --quiet --no-header --generate-hashes --python-version 3.11
DATA ?=
JOBS ?= 2

.PHONY: help demo test recovery nightly lint format bench bench-analytics bench-streams lock clean environment

help:  ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /make \1\t/'

demo:  ## four nodes with weather records on this machine; DATA=folder loads its files
	@deploy/local/demo.sh $(if $(DATA),--data "$(DATA)")

test:  ## style, types, layers and every test, on all supported Pythons
	@deploy/local/test.sh

recovery: environment  ## every partition-recovery script on this machine: up to half an hour
	deploy/local/system_packages.sh network faketime
	.venv/bin/python -m tests.recovery --all

nightly: environment  ## 20,000 seeds of the simulation: some hours
	.venv/bin/python -m tests.sim --seed 1 --count 20000 --jobs $(JOBS)

environment:  ## .venv with everything that tests and benchmarks need
	@deploy/local/environment.sh .venv 3.11 requirements/dev.txt

lint: environment  ## style, types and layers only
	@deploy/local/lint.sh

format: environment  ## let ruff rewrite what it can
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

bench: environment  ## measure this machine: ours, the references and the ratio
	deploy/local/system_packages.sh java maven postgis strace
	.venv/bin/python -m bench store

bench-streams: environment  ## the figures of streams: Kafka, MQTT, Fluentd
	deploy/local/system_packages.sh java maven mosquitto
	.venv/bin/python -m bench streams

bench-analytics: environment  ## the figures of Spark and the models
	deploy/local/system_packages.sh java maven postgis
	.venv/bin/python -m bench analytics

lock:  ## resolve the requirement files anew
	$(COMPILE) requirements/bootstrap.in --universal -o requirements/bootstrap.txt
	$(COMPILE) pyproject.toml --extra geo --universal -o requirements/core.txt
	$(COMPILE) pyproject.toml --all-extras --group dev -o requirements/dev.txt \
		--build-constraints requirements/build-constraints.txt
	$(COMPILE) requirements/core-test.in -c requirements/dev.txt --universal -o requirements/core-test.txt
	for extra in streams spark chainer; do \
		$(COMPILE) pyproject.toml --extra geo --extra $$extra -c requirements/dev.txt \
			--build-constraints requirements/build-constraints.txt -o requirements/$$extra.txt; \
	done

clean:  ## remove environments, caches and the demo's data
	rm -rf .venv .venv-* .demo build dist *.egg-info bench/out
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
