# Headroom: every task is one target. `make` alone lists them.
PYTHON ?= python3.11
PYTHON312 ?= python3.12
HOURS ?= 1000
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed-from-lock

.DEFAULT_GOAL := help
.PHONY: help setup demo test check conformance fuzz openapi api-fuzz client serve screens simulate chaos take-overs soak single-sign-on format lock clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(STAMP): requirements.lock
	@command -v $(PYTHON) >/dev/null || { echo "Headroom needs Python 3.11 as '$(PYTHON)'. Another name: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "This Python cannot make environments: apt-get install python3-venv"; exit 1; }
	@echo "Installing about 1 GB of wheels into $(VENV), from hashes, once (1 to 3 minutes)."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@printf '#!/bin/sh\nPYTHONPATH="%s" exec "%s/python" -m derms.cli "$$@"\n' "$(CURDIR)" "$(CURDIR)/$(BIN)" > $(BIN)/headroom
	@chmod +x $(BIN)/headroom
	@touch $@

setup: $(STAMP)  ## make the environment from the hashed lock file

demo: setup  ## the main job, end to end: study, offer, agreement, five runs of the peak day, report
	@mkdir -p var
	@$(BIN)/python manage.py migrate --verbosity 0
	@$(BIN)/python manage.py demo --json var/demo.json --html var/demo.html $(DEMO_ARGS)

serve: setup  ## all processes; pages at http://127.0.0.1:8000
	@$(BIN)/python manage.py migrate --verbosity 0
	@$(BIN)/python manage.py serve

check: setup  ## format, lint, types, import contracts, settings, migrations
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python manage.py check
	@$(BIN)/python manage.py makemigrations --check --dry-run

test: setup  ## every test; what is skipped is named at the end, with the reason
	@$(BIN)/python -m pytest -n auto --dist loadfile $(TEST_ARGS)

conformance: setup  ## IEEE 2030.5: the 61 server procedures of cactus, a table in var/conformance (needs Python 3.12 and the kit)
	@PYTHON312=$(PYTHON312) $(BIN)/python tests/conformance/run.py $(CONFORMANCE_ARGS)

fuzz: setup  ## long campaigns: 100,000 mutated feeder models, 100,000 wounded IEEE 2030.5 documents and requests
	@HEADROOM_FUZZ=100000 $(BIN)/python -m pytest -q tests/unit/test_dss_text.py -k mutations
	@PYTHONPATH=. $(BIN)/python tests/conformance/fuzz.py $(FUZZ_ARGS)

screens: setup  ## the manual's pictures, taken anew by the browser tests
	@mkdir -p templates/static/screens
	@HEADROOM_SCREENS=$(CURDIR)/templates/static/screens $(BIN)/python -m pytest -q tests/browser/test_planning_desk.py

simulate: setup  ## the control room in virtual time under faults: HOURS=1000 by default, planted bugs too; table and JSON
	@PYTHONPATH=. DJANGO_SETTINGS_MODULE=derms.settings $(BIN)/python -m tests.simulation --hours $(HOURS) --bugs \
		--json var/simulation.json $(SIMULATE_ARGS)

chaos: setup  ## real faults on real processes for 45 minutes (root, PostgreSQL, iproute2, nftables, faketime); table and JSON
	@PYTHONPATH=. DJANGO_SETTINGS_MODULE=derms.settings $(BIN)/python -m tests.chaos --json var/chaos.json $(CHAOS_ARGS)

take-overs: setup  ## 100 kill -9 and 100 SIGSTOP of the leading control process, in turn: seconds to the next leader's first cycle
	@PYTHONPATH=. DJANGO_SETTINGS_MODULE=derms.settings $(BIN)/python -m tests.chaos --take-overs 200 --minutes 120 \
		--json var/take-overs.json $(CHAOS_ARGS)

soak: setup  ## half an hour without a fault on real processes: missed cycles, growth of memory (root, as chaos)
	@PYTHONPATH=. DJANGO_SETTINGS_MODULE=derms.settings $(BIN)/python -m tests.chaos --soak 30 --json var/soak.json $(CHAOS_ARGS)

single-sign-on: setup  ## sign-in through a real OpenID provider, each in processes of its own
	@HEADROOM_SINGLE_SIGN_ON=1 $(BIN)/python -m pytest -q tests/identity

format: setup  ## let ruff format and mend what it can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock:  ## make the lock file anew (needs uv)
	uv pip compile pyproject.toml --extra redis --extra dev --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-annotate --no-header --quiet -o requirements.lock

clean:  ## remove what the program made (database, reports, caches); keeps the environment
	rm -rf var .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

openapi: setup  ## write the API's OpenAPI document anew (templates/docs/openapi.yaml)
	@$(BIN)/python manage.py spectacular --validate --fail-on-warn --file templates/docs/openapi.yaml

api-fuzz: setup  ## long campaign: thousands of generated calls against the API's own schema (schemathesis)
	@HEADROOM_API_CASES=100 $(BIN)/python -m pytest -q tests/app/test_api_schema.py -k generated

client: setup  ## a typed Python client from the API's document, in var/headroom_client
	@mkdir -p var
	@$(BIN)/openapi-python-client generate --path templates/docs/openapi.yaml --output-path var/headroom_client --meta none \
		--overwrite --config tests/api/client.yaml
