# Facet's make targets; `make run` and `make test` set everything up on a machine with Python 3.11, 3.12 or 3.13.
# The newest of these that works creates the venv when there is none or the lock file has changed; `make PYTHON=/path/to/python`
# names another, and replaces a venv of another version.
VENV := .venv
BIN := $(VENV)/bin
SETUP := $(VENV)/.setup-done
PEERS := .venv-peers
MODELS := .facet/real-models

ifdef PYTHON
ifneq ($(shell $(BIN)/python -V 2>/dev/null),$(shell $(PYTHON) -V 2>/dev/null))
$(SETUP): FORCE
endif
endif

.PHONY: setup models run test plans mutate check bench load chaos lock clean FORCE

setup: $(SETUP)

$(SETUP): requirements.lock pyproject.toml
	@python="$(or $(PYTHON),$$(.ci/find-python))" && .ci/create-venv $(VENV) "$$python"
	$(BIN)/pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	$(BIN)/python -m compileall -q pricing_engine data serve_app cluster
	$(BIN)/python -m pricing_engine.analysis.warmup
	touch $@

# Real models that are free to use, for the tests.
models: $(MODELS)/LICENSE

$(MODELS)/LICENSE: tests/real_models.lock | $(SETUP)
	$(BIN)/python -m tests.support.real_models

# The samples quoted by the engine alone, then the whole stack, which carries three of them as orders and stays up.
run: setup
	$(BIN)/facet samples .facet/samples --quote
	$(BIN)/facet up

# Tests without servers run in TEST_JOBS processes, the others in one (tests/conftest.py).
TEST_JOBS ?= 2
test: setup models
	$(BIN)/pytest $(if $(filter-out 1,$(TEST_JOBS)),-n $(TEST_JOBS) --dist loadscope --no-loadscope-reorder)

# The plans of all queries over a million rows; `make test` has a fifth of them.
plans: setup
	FACET_TEST_ROWS=1000000 $(BIN)/pytest tests/integration/data/test_plans.py

# Mutants of money, the lifecycle and sequencing against their unit tests, from scratch: mutmut keeps the results of former runs.
mutate: setup
	rm -rf mutants
	$(BIN)/mutmut run
	@$(BIN)/mutmut results --all true | $(BIN)/python -m tests.support.mutation_report

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

# The locked open3d has wheels for Python 3.11 alone; on another Python the table names what is left out.
$(PEERS)/.done: benchmarks/peers.lock
	@python="$$(.ci/find-python 3.11 3.12 3.13)" && .ci/create-venv $(PEERS) "$$python"
	$(PEERS)/bin/pip install --quiet --require-hashes -r benchmarks/peers.lock
	touch $@

# Renew the lock files with uv, which keeps the versions they hold; `make lock UV="uv pip compile --upgrade"` raises them.
UV ?= uv pip compile
LOCK := $(UV) --quiet --universal --python-version 3.11 --generate-hashes --no-header
lock:
	$(LOCK) --all-extras pyproject.toml -o requirements.lock >/dev/null
	$(LOCK) benchmarks/peers.in -o benchmarks/peers.lock >/dev/null

clean:
	rm -rf $(VENV) $(PEERS) .facet build mutants *.egg-info
