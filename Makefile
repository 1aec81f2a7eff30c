BIN := .venv/bin
STAMP := .venv/.installed
BENCHMARKS := $(sort $(wildcard benchmarks/*.py))

.DEFAULT_GOAL := help
.PHONY: help demo check test exact smoke bench clean

help:  ## Print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-6s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(STAMP)  ## Follow the LLC of two small networks over training, on real digits
	$(BIN)/slt demo

check: $(STAMP)  ## Lint, format, types, import contracts: seconds
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/basedpyright
	$(BIN)/lint-imports

test: check  ## What every change must pass: check, fast tests, doctests
	$(BIN)/pytest -n 2

exact: $(STAMP)  ## The statistical suite against exact answers: slow
	$(BIN)/pytest -n 2 -m exact tests/exact

smoke: $(STAMP)  ## The package used as a user would
	$(BIN)/pytest -m smoke

bench: $(STAMP)  ## Run every script in benchmarks/, one after the other
ifeq ($(BENCHMARKS),)
	@echo "benchmarks/ holds no script: nothing was measured."
else
	@set -e; for script in $(BENCHMARKS); do echo "== $$script"; $(BIN)/python "$$script"; done
endif

clean:  ## Remove caches and build outputs; .venv stays
	rm -rf build dist docs/_build docs/jupyter_execute .coverage
	rm -rf .hypothesis .import_linter_cache .pytest_cache .ruff_cache
	find . -path ./.venv -prune -o -type d -name __pycache__ -exec rm -rf {} +

# The environment that every target runs in: made once, renewed when either file changes.
$(STAMP): pyproject.toml constraints.txt
	@if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	    for python in python3.11 python3; do \
	        if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then break; fi; \
	        python=; \
	    done; \
	    if [ -z "$$python" ]; then echo "slt needs Python 3.11 or later, as python3.11 or python3." >&2; exit 1; fi; \
	    echo "Making .venv with $$python."; \
	    $$python -m venv --clear .venv; \
	fi
	@echo "Installing slt and its tools into .venv: a few minutes the first time."
	$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
