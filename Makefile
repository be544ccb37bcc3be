# `make demo` and `make test` set up everything they need, and leave nothing outside this folder except package caches.

.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c

VENV := .venv
BIN := $(VENV)/bin
# Ignore the settings of this machine and of parent folders, except for certificates; build tools are locked as well.
UV_SETTINGS := UV_NO_CONFIG=1 UV_SYSTEM_CERTS=1 UV_BUILD_CONSTRAINT=requirements.lock
# The caller's environment neither redirects packages nor requires hashes of the project itself, which has none.
unexport PIP_USER PIP_TARGET PIP_PREFIX PIP_ROOT UV_REQUIRE_HASHES
# Without bytecode, each of the tests' hundreds of processes would compile its packages again, which triples its CPU time.
unexport PYTHONDONTWRITEBYTECODE
UV := $(UV_SETTINGS) $(BIN)/uv
READY := $(VENV)/ready
PLUGINS := $(VENV)/plugins-ready
EMULATORS := $(patsubst tests/targets/%.txt,$(VENV)/emulators/%/ready,$(wildcard tests/targets/*.txt))
PACKAGES := $(wildcard packages/aircall-*)
PROJECTS := pyproject.toml $(PACKAGES:=/pyproject.toml)
# Without these, it writes logs to the home directory, and checks the network for a new version.
MELTANO := $(UV_SETTINGS) XDG_STATE_HOME="$(CURDIR)/.meltano/state" MELTANO_CLI_DISABLE_VERSION_CHECK=true \
	MELTANO_SEND_ANONYMOUS_USAGE_STATS=false MELTANO_CLI_LOG_LEVEL=warning $(BIN)/meltano

# Python up to 3.12 reads the paths of packages in the locale's encoding, and could not even start.
ifneq ($(shell case "$$PWD" in (*[!\ -~]*) locale charmap ;; (*) echo UTF-8 ;; esac),UTF-8)
$(error The name of this folder needs a UTF-8 locale: set LC_ALL=C.UTF-8)
endif

# The newest Python that works, also for dbt; run it, since a name on the PATH may be a shim that does not work.
FIND_PYTHON := for python in $${PYTHON:-} python3.13 python3.12 python3.11 python3.14 python3; do \
	if "$$python" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null; \
	then echo "$$python"; exit; fi; done

.PHONY: help
help: ## List the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

.PHONY: demo
demo: $(PLUGINS) ## Load a made-up company into DuckDB through Meltano, twice, and show the result
	@$(BIN)/python -m examples.demo

.PHONY: picture
picture: $(READY) ## Take the documentation's screenshot of the demo's HTML report, with this machine's Chromium
	@$(BIN)/python -m docs.picture

.PHONY: demo-customers
demo-customers: $(PLUGINS) ## Load three made-up customers, one of which fails, with Dagster, until Ctrl-C
	@$(BIN)/python -m examples.customers

# A selection of fast tests for each part of the tap.
QUICK := $(addprefix tests/,test_docs.py test_errors.py test_sdk.py test_settings.py http/test_addresses.py \
	http/test_decoding.py http/test_limiter.py inbox/test_deliveries.py reading/test_clock.py reading/test_cursors.py \
	reading/test_conform.py reading/test_later.py reading/test_times.py reading/test_walks.py \
	streams/custom/test_definitions.py streams/inbox/test_merging.py \
	streams/test_directory.py streams/test_schemas.py)

.PHONY: check
check: $(READY) style ## Check style and types, and run the fast tests, within a minute
	@$(BIN)/python -m pytest -n 2 -q $(QUICK) $(ARGS)

# By file, to make each module's fixtures once; in order, since files with few tests, which xdist would run last, are long.
.PHONY: test
test: $(PLUGINS) $(EMULATORS) ## Run all tests except the slow ones, with real targets
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

.PHONY: soak
soak: $(PLUGINS) $(EMULATORS) ## Run all tests, including slow ones, and random ones many times more; takes hours
	@$(BIN)/python -m pytest -n 2 -m "" $(ARGS)

# Each has its own environment; `compat-sdk` uses the newest pre-release of singer-sdk. A pyenv command such as
# python3.12 works only if that version is selected. Meltano always installs the newest versions for the tap, so
# `make test` already runs tests/targets with those.
COMPAT := .compat
TRIED := $(filter-out %-customers,$(PACKAGES))
# Not their parents: pytest collects what `testpaths` names, whatever is ignored above it.
NEEDS_INSTALL := tests/targets $(wildcard packages/aircall-customers/tests/* packages/target-*/tests/*)
COMPAT_PYTHONS := $(addprefix compat-3.,11 12 13 14)
compat-lowest: RESOLUTION := lowest-direct
compat-highest: RESOLUTION := highest
compat-sdk: RESOLUTION := highest
compat-sdk: CONSTRAINT := singer-sdk>=0.55.0a0

.PHONY: compat
compat: compat-lowest compat-highest compat-sdk compat-dbt $(COMPAT_PYTHONS) ## Run the tests on all Pythons of this machine, and with the lowest and highest versions

.PHONY: compat-lowest compat-highest compat-sdk
compat-lowest compat-highest compat-sdk: compat-%: $(READY)
	@echo "Testing with the $* versions ..."
	@$(UV) venv --quiet --clear --python $(BIN)/python $(COMPAT)/$*
	@echo '$(CONSTRAINT)' | $(UV) pip compile --quiet pyproject.toml $(TRIED:=/pyproject.toml) --constraint - --all-extras \
		--resolution $(RESOLUTION) --upgrade --no-emit-index-url \
		--python $(COMPAT)/$*/bin/python --output-file $(COMPAT)/$*/requirements.txt >/dev/null
	@$(UV) pip install --quiet --python $(COMPAT)/$*/bin/python -r $(COMPAT)/$*/requirements.txt --group test
	@$(UV) pip install --quiet --python $(COMPAT)/$*/bin/python --no-deps --editable . $(TRIED:%=--editable %)
	@$(COMPAT)/$*/bin/python -m pytest -n 2 $(NEEDS_INSTALL:%=--ignore %) $(ARGS)

# The loaders stay. The optional parser of dbt-core 1.12 is downloaded from elsewhere, as is all of dbt 2; without it,
# dbt uses its usual parser.
.PHONY: compat-dbt
compat-dbt: DBT := $(COMPAT)/dbt/utilities/dbt-duckdb/venv
compat-dbt: $(PLUGINS)
	@echo "Testing the models with the newest dbt and DuckDB ..."
	@$(UV) venv --quiet --clear --python $(BIN)/python $(DBT)
	@echo "dbt-core-experimental-parser; sys_platform == 'none'" | $(UV) pip install --quiet --python $(DBT)/bin/python \
		--override - dbt-core dbt-duckdb dbt-postgres duckdb
	@ln -sfn $(CURDIR)/.meltano/loaders $(COMPAT)/dbt/loaders
	@MELTANO_SYS_DIR_ROOT=$(CURDIR)/$(COMPAT)/dbt $(BIN)/python -m pytest -n 2 tests/targets/test_models.py \
		-k "DuckDB or PostgreSQL or text_columns" $(ARGS)

.PHONY: $(COMPAT_PYTHONS)
$(COMPAT_PYTHONS): compat-%:
	@python=$$(PYENV_VERSION=$* python$* -c 'import sys; print(sys.executable)' 2>/dev/null || true); \
	if [ -z "$$python" ]; then echo "Python $*: not on this machine, skipped."; exit; fi; \
	echo "Testing on Python $* ..."; \
	$(MAKE) --no-print-directory test PYTHON="$$python" VENV=$(COMPAT)/$* MELTANO_SYS_DIR_ROOT="$(CURDIR)/$(COMPAT)/$*/meltano"

.PHONY: bench
bench: $(READY) ## Measure CPU time against a plain SDK tap, memory, and the requests of a day
	@$(BIN)/python -m benchmarks.cpu
	@$(BIN)/python -m benchmarks.memory
	@$(BIN)/python -m benchmarks.day

.PHONY: style
style: $(READY)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo >$(VENV)/imports.log || { cat $(VENV)/imports.log; exit 1; }

.PHONY: lint
lint: style ## Check style, types, dependencies and documentation
	@for folder in . $(PACKAGES); do (cd $$folder && $(CURDIR)/$(BIN)/deptry .); done
	@$(MAKE) --no-print-directory docs

.PHONY: docs
docs: $(READY) ## Build the documentation into docs/site; fail on broken links
	@$(BIN)/python -m sphinx --quiet --nitpicky --fail-on-warning --keep-going -b html docs docs/site

.PHONY: generate
generate: $(READY) ## Regenerate the parts of the documentation, meltano.yml and tests/snapshot.json that come from the code
	@$(BIN)/python -m docs.generate
	@$(BIN)/python -m tests.catalogs

.PHONY: format
format: $(READY) ## Format the code
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

.PHONY: install
install: $(PLUGINS) $(EMULATORS) ## Set everything up in this folder

.PHONY: lock
lock: $(READY) ## Lock the newest versions of all dependencies
	@$(UV) pip compile $(PROJECTS) --universal --python-version 3.11 --all-extras --group dev --upgrade \
		--generate-hashes --no-emit-index-url --custom-compile-command 'make lock' --quiet -o requirements.lock

.PHONY: audit
audit: $(READY) ## Check the locked versions for known vulnerabilities, over the network
	@$(BIN)/pip-audit --requirement requirements.lock --require-hashes --disable-pip --strict --progress-spinner off

.PHONY: build
build: $(READY) ## Build the package into dist/ with the locked tools
	@rm -rf dist
	@$(BIN)/python -m build --no-isolation
	@$(BIN)/python -m twine check --strict dist/*

.PHONY: clean
clean: ## Remove everything that the other commands created
	@rm -rf $(VENV) $(COMPAT) .meltano demo-data docs/site .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(READY): requirements.lock $(PROJECTS)
	@python=$$($(FIND_PYTHON)); \
	if [ -z "$$python" ]; then echo "tap-aircall needs Python 3.11 to 3.14 with its venv module; none was found." >&2; exit 1; fi; \
	if ! { mkdir -p $(VENV) && touch $(VENV)/.writable; } 2>/dev/null; then \
		echo "This folder is not writable: $$PWD" >&2; exit 1; fi; \
	if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then echo "Setting up with $$("$$python" --version) ..."; "$$python" -m venv $(VENV); fi
	@sed -n '/^uv==/,/[^\]$$/p' requirements.lock >$(VENV)/uv.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $(VENV)/uv.txt \
		2>$(VENV)/pip.log || { cat $(VENV)/pip.log >&2; exit 1; }
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable . $(PACKAGES:%=--editable %)
	@touch $@

$(PLUGINS): $(READY) meltano.yml $(wildcard packages/target-*/pyproject.toml)
	@echo "Installing the targets and dbt ..."
	@$(MELTANO) install --force >$(VENV)/meltano.log 2>&1 || { tail -20 $(VENV)/meltano.log >&2; exit 1; }
	@touch $@

$(EMULATORS): $(VENV)/emulators/%/ready: tests/targets/%.txt $(READY)
	@echo "Installing the requirements of the tests of $* ..."
	@$(UV) venv --quiet --clear --python $(BIN)/python $(@D)
	@$(UV) pip install --quiet --python $(@D)/bin/python -r $<
	@touch $@
