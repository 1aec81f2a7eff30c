BIN := .venv/bin
STAMP := .venv/.installed
DOCS_STAMP := .venv/.installed-docs
PYTHON312 ?= python3.12
# What runs without torch.
NUMPY_WING := tests/test_store.py tests/test_statistics.py tests/test_trace.py tests/analytic tests/estimators tests/plots \
	slt/_store.py slt/_statistics.py slt/trace.py slt/errors.py slt/analytic slt/estimators slt/plots
# What the Hessian products are held against. One of them asks for torchvision, which it needs for its examples alone.
CROSSCHECKS := curvlinops-for-pytorch backpack-for-pytorch einconv einops linear_operator opt_einsum unfoldNd
BENCHMARKS := $(sort $(wildcard benchmarks/[a-z]*.py))

.DEFAULT_GOAL := help
.PHONY: help demo check test exact smoke docs numpy-wing bench clean

help:  ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

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
	$(BIN)/pytest -n 2 -m exact

smoke: $(DOCS_STAMP)  ## The package used as a user would, the tutorials included
	$(BIN)/pytest -n 2 -m smoke

docs: $(DOCS_STAMP)  ## Build the documentation into docs/_build; a warning is an error
	rm -rf docs/_build
	$(BIN)/sphinx-build -W --keep-going -n -q -b html docs docs/_build
	@echo "Open docs/_build/index.html."

numpy-wing:  ## What needs no torch, under Python 3.12 and ArviZ 1, where that Python is installed
	@if ! $(PYTHON312) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 12))' 2>/dev/null; then \
	    echo "Python 3.12 is not installed as $(PYTHON312): nothing was tested. PYTHON312=PATH names another place."; \
	    exit 0; \
	fi; \
	set -e; \
	if ! [ .venv312/.installed -nt pyproject.toml -a .venv312/.installed -nt constraints.txt ]; then \
	    echo "Making .venv312: a minute or two the first time."; \
	    $(PYTHON312) -m venv --clear .venv312; \
	    grep -v '^arviz==' constraints.txt > .venv312/constraints.txt; \
	    .venv312/bin/python -m pip install -qq --disable-pip-version-check -c .venv312/constraints.txt \
	        'arviz>=1,<2' 'h5netcdf[h5py]' hypothesis matplotlib numpy pytest scipy xarray; \
	    .venv312/bin/python -m pip install -qq --disable-pip-version-check --no-deps -e .; \
	    touch .venv312/.installed; \
	fi; \
	.venv312/bin/python -m pytest $(NUMPY_WING)

bench: $(STAMP)  ## Run every script in benchmarks/, one after the other
ifeq ($(BENCHMARKS),)
	@echo "benchmarks/ holds no script: nothing was measured."
else
	@set -e; for script in $(BENCHMARKS); do echo "== $$script"; $(BIN)/python "$$script"; done
endif

clean:  ## Remove caches and build outputs; .venv stays
	rm -rf build dist docs/_build docs/jupyter_execute docs/tutorials .coverage
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

# What the documentation, the tutorials and cross-checks against other packages need on top.
$(DOCS_STAMP): $(STAMP)
	@echo "Installing what documentation, tutorials and cross-checks need into .venv."
	$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[dev,docs,tutorials,crosschecks]'
	$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt --no-deps $(CROSSCHECKS)
	@touch $@
