# Every routine task, set-up included; `make` alone lists them. ARGS reaches the command: make test ARGS="-k spool"

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo demo-kafka test check bench vendor clean
export PIP_DISABLE_PIP_VERSION_CHECK := 1

BIN := .venv/bin
READY := .venv/.ready
ARGS :=

# A verdict is an answer: only 2 (usage) and 4 (could not measure) are failures of a demo.
VERDICT_IS_FINE = || { status=$$?; case $$status in 1 | 3) ;; *) exit $$status ;; esac; }

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY) ## two models on 160,000 real flights, through a folder: report, verdict, SQL
	$(BIN)/gnomon demo $(ARGS) $(VERDICT_IS_FINE)

demo-kafka: $(READY) ## the same through a real Apache Kafka broker, started for it
	bash tests/system.sh java maven
	$(BIN)/python tests/kafka/broker.py run -- $(BIN)/gnomon demo --kafka $(ARGS) $(VERDICT_IS_FINE)

# Without these programs the tests that need them are skipped, or fail under CI=true.
test: $(READY) ## all tests, with a real broker and a real browser
	bash tests/system.sh java maven chromium || true
	$(BIN)/pytest $(ARGS)

check: $(READY) ## format, lint, types, and the rules of the house
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -q tests/test_house.py

bench: $(READY) ## every benchmark
	bash tests/system.sh java maven
	for file in $(sort $(wildcard bench/*.py)); do echo "== $$file"; $(BIN)/python "$$file" $(ARGS); done

vendor: $(READY) ## renew the plotly bundle that reports carry; needs npm
	$(BIN)/python -m gnomon_reports.vendor_plotly

clean: ## remove all that these targets made
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist gnomon-demo* tests/kafka/target
	find . -name __pycache__ -prune -exec rm -rf {} +

$(READY): pyproject.toml
	@echo "Setting up .venv, once: about 400 MB of packages"
	python=$$(bash tests/system.sh python); "$$python" -m venv .venv
	$(BIN)/pip install -q -e '.[dev]'
	touch $@
