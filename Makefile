# Everything a newcomer needs: `make demo`, `make test`. Each target does its own set-up; second runs are instant.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory
# Our modules lie here uncompiled. Where the environment says that Python writes nothing down, as in many containers,
# each of the hundreds of processes of a demo or a test run would compile them anew: a fifth of what its start costs.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
PYTEST := $(BIN)/python -m pytest
GUARDS := PYTHONPATH=tests $(PYTEST) -p guards

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  \033[1m%-18s\033[0m %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(READY): requirements/dev.txt pyproject.toml
	@PYTHON=$(PYTHON) deploy/bootstrap python
	@touch $@

.PHONY: broker
broker: $(READY)
	@deploy/bootstrap broker

.PHONY: demo
demo: broker ## Start everything on loopback, show the whole promise step by step, stop everything
	@$(BIN)/preklic demo

.PHONY: up
up: broker ## Keep the whole stack running and print its addresses, until Ctrl-C
	@$(BIN)/preklic up

# What only tests use. Where they cannot be installed, the tests that need them are skipped; in CI those fail.
.PHONY: extras
extras: $(READY)
	@deploy/bootstrap browser
	@deploy/bootstrap postfix
	@deploy/bootstrap checks

.PHONY: test
test: broker extras ## Run the whole test suite on a real RabbitMQ, MongoDB, Postfix, SMTP sink and Chromium
	@deploy/parts $(PYTEST)

.PHONY: faults
faults: broker ## Break everything at random, race 100,000 mails with their withdrawals, look every job up by its id, play the game days (95 minutes)
	@PYTHONPATH=tests $(BIN)/python -m faults.driver
	@PYTHONPATH=tests $(BIN)/python -m faults.gameday all

.PHONY: faults-gameday
faults-gameday: broker ## A bad template, a dead relay, a stop of everything: a script follows the runbook word for word (15 minutes)
	@PYTHONPATH=tests $(BIN)/python -m faults.gameday all

.PHONY: faults-kills
faults-kills: broker ## Kill the send worker 20 times in 20,000 sends, then look every job up by its id (minutes)
	@PYTHONPATH=tests $(BIN)/python -m faults.kill_run

.PHONY: faults-rolling
faults-rolling: broker ## Restart every worker ten times under full load, then look every job up by its id (minutes)
	@PYTHONPATH=tests $(BIN)/python -m faults.rolling

.PHONY: faults-campaign
faults-campaign: broker ## One campaign to 1,000,000 people, its fan-out killed ten times (minutes with --drain, as here)
	@PYTHONPATH=tests $(BIN)/python -m faults.campaign_run --drain

.PHONY: ledger-changes
ledger-changes: broker ## Change 10,000 bits of the ledger and of bundles, kill 100 sequencers: all found, nothing lost (minutes)
	@LEDGER_CHANGES=10000 SEQUENCER_KILLS=100 $(PYTEST) tests/services/test_ledger_changes.py tests/faults/test_sequencer_kills.py

.PHONY: faults-selftest
faults-selftest: broker ## Plant bugs in scratch copies and see the fault runs find each
	@PYTHONPATH=tests $(BIN)/python -m faults.selftest

.PHONY: effect
effect: broker ## Measure one-click to closed gate: idle, loaded, behind full queues, broker down (minutes)
	@PYTHONPATH=tests $(BIN)/python -m faults.effect

.PHONY: test-rabbitmq4
test-rabbitmq4: broker extras ## Run the tests on real services on RabbitMQ 4 (Debian trixie in a folder; needs root)
	@deploy/bootstrap rabbitmq4
	@RABBITMQ_ROOT=$(CURDIR)/.run/trixie $(PYTEST) tests/services tests/faults

.PHONY: attacks
attacks: $(READY) ## List the attacks, each with the tests that answer it
	@$(GUARDS) --collect-only --list-marks attack || [ $$? -eq 5 ] # 5: nothing ran, as meant

.PHONY: attacks-selftest
attacks-selftest: broker extras ## Switch each attack's guard off and see its tests fail
	@$(GUARDS) --guards-off attack

.PHONY: clauses
clauses: $(READY) ## List the clauses of the policy, each with the tests that show it
	@$(GUARDS) --collect-only --list-marks clause || [ $$? -eq 5 ]

.PHONY: clauses-selftest
clauses-selftest: broker extras ## Switch each clause's guard off and see its tests fail
	@$(GUARDS) --guards-off clause

.PHONY: pictures
pictures: $(READY) ## Make the pictures of the public pages in docs/pages anew
	@deploy/bootstrap browser
	@$(BIN)/python -m preklic_stack.screenshots

.venv-bench/.ready: requirements/bench.txt
	@$(PYTHON) -m venv .venv-bench
	@.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

.PHONY: bench
bench: broker .venv-bench/.ready ## Measure ours beside Celery, dramatiq, FastStream and raw clients (25 minutes)
	@PYTHONPATH=tests $(BIN)/python -m bench --json bench.json --chart docs/speed.svg
	@PYTHONPATH=tests $(BIN)/python -m faults.campaign_run --people 100000 --kills 0 --drain

.PHONY: bench-quick
bench-quick: broker .venv-bench/.ready ## The same in 90 s: shows that it runs, its figures are rough
	@PYTHONPATH=tests $(BIN)/python -m bench --quick --json bench.json

.PHONY: lint
lint: $(READY) ## Check style, formatting, import contracts and shell scripts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/lint-imports --no-cache >/dev/null || $(BIN)/lint-imports --no-cache
	@if command -v shellcheck >/dev/null; then shellcheck deploy/bootstrap deploy/parts .ci/run; fi

.PHONY: types
types: $(READY) ## Check types with mypy --strict and pyright
	@$(BIN)/mypy
	@$(BIN)/pyright

.PHONY: lock
lock: $(READY) ## Renew requirements/*.txt from pyproject.toml
	@deploy/lock
