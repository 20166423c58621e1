# `make run` and `make test` need nothing but Python 3.11+ (with venv) and make.

PYTHON ?= python3
BIN := .venv/bin
# A file's tests stay in one process, with the servers that they share. One process more than there are cores, for the
# waiting in tests; more only crowd the browsers.
SHARED := --numprocesses $(shell expr $$(nproc) + 1) --maxprocesses 4 --dist loadfile --no-loadscope-reorder
# Modules are compiled when they are first imported: most never are, and a first page waits for no more than it needs.
# And only then: whoever wants no such files elsewhere would wait for it at every start.
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --no-compile
unexport PYTHONDONTWRITEBYTECODE
CATALOGUES := $(wildcard templates/locale/*/LC_MESSAGES/kodgate.po)

.PHONY: run test setup lint audit attack fuzz bench faults lighthouse translations lock

run: .venv/run
	@exec $(BIN)/kodgate run

# As a server runs it: by a user who can't write here, so that all is compiled before.
setup: .venv/run
	$(BIN)/python -m compileall -q -j 0 .venv/lib gateway web bot

test: .venv/fuzz
	@$(BIN)/python tests/needs.py
	$(BIN)/pytest $(SHARED)

lint: .venv/test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

# Known vulnerabilities of what is locked. Needs pip-audit and its data over the network: where either is missing it fails and
# says so, and only an old list has been asked.
audit: .venv/test
	$(BIN)/python -m tests.audit

# What anybody may send, for as many minutes: the parsers steered by coverage where atheris can be installed, then any order of
# verbs, Bot API updates, and requests over bare sockets. What led somewhere new is kept in var/fuzz, and the next run begins there.
MINUTES ?= 60
fuzz: .venv/fuzz
	$(BIN)/python -m tests.fuzzing $(MINUTES)

# WRITE=1 writes docs/performance.md as well.
bench: .venv/test
	$(BIN)/python -m bench $(if $(WRITE),--write)

# Honest logins while everything that can go wrong does: some ten minutes on a quiet machine. ARGS="--help" tells more.
faults: .venv/test
	$(BIN)/python -m tests.faults $(ARGS)

# Every threat of docs/security.md against processes of its own, on loopback: some ten minutes. Fails where anything gets through.
attack: .venv/test
	$(BIN)/python -m tests.attack

# Needs npm and Chromium; fails where a score is below 98.
lighthouse: .venv/test
	$(BIN)/python -m bench.lighthouse

.venv/run: requirements.lock pyproject.toml $(CATALOGUES)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Kodgate needs Python 3.11 or newer; name one with make PYTHON=python3.11"; exit 2; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv || { rm -rf .venv; echo "Python's venv is missing: apt-get install python3-venv"; exit 2; }
	$(INSTALL) --require-hashes -r requirements.lock
	$(INSTALL) --no-deps --no-build-isolation --editable .
	$(BIN)/pybabel --quiet compile --domain kodgate --directory templates/locale
	@touch $@

.venv/test: .venv/run requirements-dev.lock
	$(INSTALL) --require-hashes -r requirements-dev.lock
	@touch $@

.venv/fuzz: .venv/test requirements-fuzz.lock
	@$(INSTALL) --require-hashes --only-binary :all: -r requirements-fuzz.lock || \
	  echo "atheris has no wheel for this Python or machine: make fuzz has hypothesis alone"
	@touch $@

# After changing a text: collects it into the catalogues, where its translation is then written. Their heads stay as they are:
# Babel would put the time into each, and places for names that nobody fills in.
translations: .venv/run
	$(BIN)/pybabel --quiet extract --mapping babel.cfg --keyword N_ --no-location --no-wrap --sort-output --omit-header --output templates/locale/kodgate.pot .
	@for catalogue in $(CATALOGUES); do \
	  lang=$$(basename $${catalogue%/LC_MESSAGES/*}) && head=$$(sed '/^$$/q' $$catalogue) && \
	  $(BIN)/pybabel --quiet update --locale $$lang --input-file templates/locale/kodgate.pot --output-file $$catalogue --no-wrap --omit-header --no-fuzzy-matching --ignore-obsolete && \
	  body=$$(cat $$catalogue) && printf '%s\n\n%s\n' "$$head" "$$body" > $$catalogue || exit 1; \
	done

# After changing a dependency: needs pip-tools.
lock:
	pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-emit-index-url --no-emit-find-links --no-header --output-file requirements.lock pyproject.toml
	pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-emit-index-url --no-emit-find-links --no-header --extra dev --constraint requirements.lock --output-file requirements-dev.lock pyproject.toml
