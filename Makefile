# Every target sets up what it needs by itself; `make help` lists them.
PYTHON ?= python3
BIN := .venv/bin
# A server named here must be there: the tests that need it fail instead of skipping.
REQUIRE ?=
export FLEETDX_REQUIRE := $(REQUIRE)

.PHONY: help setup servers demo test check fuzz test-slow test-faults test-tickets bench bench-azure bench-ingest bench-store bench-models bench-rules bench-backtest screenshots lock clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

setup: .venv/installed  ## build .venv with the exact versions of requirements.lock, and fleetdx in it

.venv/installed: requirements.lock pyproject.toml deploy/python-environment
	@PYTHON=$(PYTHON) deploy/python-environment
	@touch $@

servers:  ## install the Debian packages that demo and tests use, where this account may
	@deploy/debian-packages mosquitto

demo: setup servers  ## a simulated fleet, from the broker to the ticket; ends with Ctrl-C
	$(BIN)/fleetdx demo $(ARGS)

test: setup servers  ## the test suite a person waits for (tests whose server is missing skip and say which)
	$(BIN)/pytest -n 2 --dist loadfile $(ARGS)

test-slow: setup servers  ## whole programs, walks of weeks, the console in a browser, long searches by made-up input
	$(BIN)/pytest -n 2 --dist loadfile -m slow $(ARGS)

check: setup  ## style, types, layers of the architecture, documentation
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q tests/docs

fuzz: setup  ## 100,000 inputs of any bytes to each decoder, and as many rules; with N=1000000 more
	FLEETDX_FUZZ=$(or $(N),100000) $(BIN)/pytest -q -m 'not faults' tests/ingest/decoders/test_fuzz.py tests/diagnostics/test_rule_fuzz.py $(ARGS)

test-faults: setup servers  ## crashes and outages: real processes, killed
	$(BIN)/pytest -q -m faults $(ARGS)

test-tickets: setup  ## ticket connectors and faults against real servers: installs Request Tracker and Redmine where it may
	@deploy/debian-packages dbconfig-no-thanks msmtp-mta request-tracker5 rt5-standalone rt5-db-sqlite \
		redmine redmine-sqlite puma
	FLEETDX_REQUIRE=roundup,rt,redmine $(BIN)/pytest -q -m 'not faults' tests/alerts/test_connectors.py tests/alerts/test_continuation.py \
		tests/alerts/test_ticket_faults.py tests/alerts/test_polling.py tests/alerts/test_smtp.py tests/alerts/test_jira.py tests/alerts/test_servicenow.py $(ARGS)

bench-azure: setup servers  ## the walk through a public fleet's year, to real tickets
	$(BIN)/python -m benchmarks.azure_pdm $(ARGS)

bench-store: setup  ## write and read rates of the stores
	$(BIN)/python -m benchmarks.store $(ARGS)

bench-ingest: setup servers  ## what taking messages in costs, beside Telegraf
	$(BIN)/python -m benchmarks.ingest $(ARGS)

bench-models: setup  ## time to derive, fit and score; ARGS="--assets 4000 --training-days 225" fits 900,000 asset-days
	$(BIN)/python -m benchmarks.models_scale $(ARGS)

bench-rules: setup  ## time to evaluate rules on a large fleet
	$(BIN)/python -m benchmarks.rules $(ARGS)

bench-backtest: setup  ## a back-test of 4,000 assets and 2.5 million rows: time and memory
	$(BIN)/python -m benchmarks.backtest_scale $(ARGS)

bench: bench-store bench-ingest bench-models bench-rules bench-azure  ## all benchmarks

screenshots: setup  ## the README's picture, taken in headless Chromium
	@deploy/debian-packages mosquitto chromium fonts-dejavu-core fonts-noto-cjk
	$(BIN)/python -m benchmarks.screenshots $(ARGS)

lock: setup  ## resolve the newest allowed versions into requirements.lock
	$(BIN)/uv pip compile --universal --generate-hashes --no-annotate --no-header --upgrade \
		--extra cluster --extra demo --extra dev -q -o requirements.lock pyproject.toml

clean:  ## remove what the targets made
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis fleetdx-demo
