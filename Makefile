PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: install demo test test-peers check bench clean
.DEFAULT_GOAL := demo

# The stamp is written last, so an installation that failed half-way is tried again.
$(STAMP): pyproject.toml constraints.txt | .venv/pyvenv.cfg
	@echo "Installing into .venv. The first time takes some minutes: torch alone is about 200 MB."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

.venv/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "firsthand needs Python 3.11 or newer; '$(PYTHON)' is missing or older." \
			"Name one that will do, for example: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -f $@; \
		echo "'$(PYTHON) -m venv' could not make .venv. Some systems package it apart: install python3-venv," \
			"or name another Python: make PYTHON=... $(MAKECMDGOALS)" >&2; exit 1; }

install: $(STAMP) ## make .venv and install what constraints.txt pins; a second call does nothing

demo: install ## train a GPT on Shakespeare's plays and look at it (at most 5 minutes)
	@$(BIN)/firsthand demo

test: install ## the whole test suite
	@$(BIN)/python -m pytest -n 2 --dist worksteal

test-peers: install ## what llama.cpp makes of our files; compiles it first, for about ten minutes on two cores
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,peers]'
	@$(BIN)/python -m pytest -n 0 -s tests/peers

check: install ## lint, format, types, import contract, README tree
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n 0 tests/house

bench: install ## every speed claim of the README, beside its peer
	@$(BIN)/firsthand bench

clean: ## remove what was built; keeps runs/
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
