# Facet's make targets; `make run` and `make test` set everything up on a machine with Python 3.11 or later.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
SETUP := $(VENV)/.setup-done
PEERS := .venv-peers

.PHONY: setup run test check bench load chaos clean

setup: $(SETUP)

$(SETUP): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	$(BIN)/python -m compileall -q pricing_engine data serve_app cluster
	$(BIN)/python -m pricing_engine.analysis.warmup
	touch $@

# The samples quoted by the engine alone, then the whole stack, which carries three of them as orders and stays up.
run: setup
	$(BIN)/facet samples .facet/samples --quote
	$(BIN)/facet up

test: setup
	$(BIN)/pytest

# Locust's users against the stack of this folder, or one started for the test.
USERS ?= 20
SECONDS ?= 120
load: setup
	$(BIN)/python -m benchmarks.load --users $(USERS) --seconds $(SECONDS)

# Five minutes of the readers' fuzzer. Faults at random: 500 jobs on a cluster under kills, then ten minutes of orders through
# all services under kills, outages, hangs and full disks. FACET_CHAOS_SEED repeats a run (each has a new seed, which it prints), FACET_CHAOS_S sets its length.
chaos: setup
	FACET_CHAOS=long $(BIN)/pytest -s tests/badinput/test_fuzz_loaders.py tests/chaos

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m cluster.check_yaml ray-cluster.yaml ray-cluster.local.yaml cluster/manifests/*.yaml

bench: setup $(PEERS)/.done
	$(BIN)/python -m benchmarks.engine --peers $(PEERS)/bin/python $(if $(TWEAKER),--tweaker $(TWEAKER))
	$(BIN)/python -m benchmarks.worst_cases
	$(BIN)/python -m benchmarks.limits
	$(BIN)/python -m benchmarks.distributed
	$(BIN)/python -m benchmarks.outbox
	$(BIN)/python -m benchmarks.services

$(PEERS)/.done: benchmarks/peers.lock
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet --require-hashes -r benchmarks/peers.lock
	touch $@

clean:
	rm -rf $(VENV) $(PEERS) .facet build *.egg-info
