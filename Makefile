# Everything a newcomer needs, in one virtual environment. Needs a POSIX shell and Python >= 3.11.
PYTHON ?= python3
BIN := .venv/bin
# pip is enough; uv is faster, and used where it is found.
INSTALL := $(if $(shell command -v uv),uv pip install --python $(BIN)/python,$(BIN)/python -m pip install)
# One process per core with one thread each: small networks gain nothing from more threads, and processes would compete.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

.PHONY: bench shipped submissions test check hostile docs lock dist smoke install clean

# The main job: install, fetch the weights, rebuild faces from descriptors, print the scores.
bench: .venv/.installed
	$(BIN)/faceinv bench --encoder arcface --losses id,lm,hist

# What the default attack learns, trained anew where needed, as the plugin of the attacked encoder ships it.
# A start depends on which readers there are, so each set of losses has its own regressor.
SHIPPED := plugins/arcface/src/faceinv_arcface/trained
LOSSES := --losses id --losses id,lm --losses id,hist --losses id,lm,hist
shipped: .venv/.installed
	rm -rf $(SHIPPED)
	$(BIN)/faceinv train --encoder arcface $(LOSSES) --export $(SHIPPED)

# The submissions on the leaderboard's page, made anew: the default chain, and every method at 100 steps.
SUBMISSIONS := benchmarks/results/submissions
submissions: .venv/.installed
	rm -rf runs/submissions
	$(BIN)/faceinv bench --encoder arcface --losses id,lm,hist --limit 16 --out runs/submissions/latent-adam-16
	$(BIN)/faceinv bench benchmarks/suites/methods.yaml --limit 16 --steps 100 --out runs/submissions/methods-16
	for name in latent-adam-16 methods-16; do \
		$(BIN)/faceinv submit runs/submissions/$$name --out $(SUBMISSIONS)/$$name.json || exit 1; done

# Install the test dependencies, then run the tests.
test: .venv/.tested
	$(PYTEST)

check: .venv/.checked
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile
	$(PYTEST)
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

# Hostile inputs, kills and processes on one folder: ten minutes of them with a new seed, or SIZE cases of each area.
# For example: make hostile AREAS="weights configs" SEED=7 SIZE=500
hostile: .venv/.tested
	OMP_NUM_THREADS=1 $(BIN)/python tests/hostile $(AREAS) $(SEED:%=--seed %) $(SIZE:%=--size %) $(MINUTES:%=--minutes %)

# Build the documentation; warnings are errors.
docs: .venv/.documented
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

# Source archives and wheels of the core and the plugins; each wheel is built from its source archive.
dist: .venv/.checked
	rm -rf dist
	for folder in . plugins; do $(BIN)/python -m build --no-isolation --outdir dist $$folder || exit 1; done

# Install what `make dist` built, dependencies from PyPI, and use it in an empty folder.
SMOKE := /tmp/faceinv-smoke
smoke:
	@ls dist/*.whl > /dev/null 2>&1 || { echo "dist has no wheels; build them first: make dist"; exit 1; }
	rm -rf $(SMOKE)
	$(PYTHON) -m venv $(SMOKE)/env
	$(SMOKE)/env/bin/pip install "$$(ls dist/faceinv-*.whl)[all]" dist/faceinv_plugins-*.whl
	mkdir $(SMOKE)/empty
	cd $(SMOKE)/empty && ../env/bin/faceinv --version && ../env/bin/faceinv plugins
	cd $(SMOKE)/empty && ../env/bin/faceinv --plugin ../env/lib/python3*/site-packages/faceinv/testing/toy.py \
		bench --encoder toy --critic toy.critic --generator toy-faces --dataset toy-targets --losses id \
		--limit 2 --steps 3 --pairs 200 --metric mse

# Renew the exact versions of all dependencies, for every platform, with the hashes of their files.
lock: .venv/.checked
	$(BIN)/uv pip compile requirements/checkout.txt --python-version 3.11 --universal --generate-hashes --upgrade -q \
		--no-build-isolation --no-emit-package faceinv --no-emit-package faceinv-plugins --no-emit-index-url \
		--no-annotate --custom-compile-command 'make lock' -o requirements/lock.txt

install: .venv/.installed

.venv/bin/python:
	$(PYTHON) -m venv .venv

PROJECTS := pyproject.toml plugins/pyproject.toml requirements/checkout.txt

# One build backend for all builds: pip would make an isolated environment for each of them.
.venv/.installed: .venv/bin/python $(PROJECTS)
	$(INSTALL) 'hatchling>=1.26,<2'
	$(INSTALL) --no-build-isolation -r requirements/checkout.txt
	touch $@

# Only the extras: the requirements files name the checkout again, which is already installed.
.venv/.tested: .venv/.installed requirements/test.txt
	$(INSTALL) --no-build-isolation -e '.[test,docs]'
	touch $@

.venv/.checked: .venv/.tested requirements/dev.txt
	$(INSTALL) --no-build-isolation -e '.[dev]'
	touch $@

.venv/.documented: .venv/.installed requirements/docs.txt
	$(INSTALL) --no-build-isolation -e '.[docs]'
	touch $@

clean:
	rm -rf .venv
