# make mini [SEEDS=n]   the whole paper in miniature, with a report
# make test             all tests this machine can run
# make bench            benchmarks, as ratios within one run
# make .venv            installation only
# make lint             ruff, snakefmt and snakemake --lint

PYTHON ?= python3
BIN := .venv/bin
SEEDS ?=

# The first SEEDS seeds of the miniature (1, 2, …); all of them when SEEDS is empty.
comma := ,
empty :=
space := $(empty) $(empty)
FIRST_SEEDS := $(if $(SEEDS),--config 'seeds=[$(subst $(space),$(comma),$(shell seq 1 $(SEEDS)))]')
MINI := $(BIN)/snakemake --profile profiles/mini --max-jobs-per-timespan 1000/10s --quiet host reason

export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: mini test explore bench lint

# The miniature is for CPUs, also where there are GPUs.
mini: export CUDA_VISIBLE_DEVICES :=
mini: .venv
	$(MINI) $(FIRST_SEEDS)
	$(MINI) $(FIRST_SEEDS) --report results/mini/report.html
	$(BIN)/python scripts/print_table.py results/mini/metrics/main_table.csv

.venv: .venv/installed

.venv/installed: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps summac==0.0.4
	touch $@

.venv/installed-test: .venv/installed requirements-test.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements-test.lock
	touch $@

# Two processes: one computes while SLURM's tests, in the other, mostly wait.
test: .venv/installed-test
	$(BIN)/pytest --numprocesses 2 --no-loadscope-reorder

# The property tests with new examples each time.
explore: .venv/installed-test
	$(BIN)/pytest --numprocesses 2 -m hypothesis --hypothesis-profile=explore

bench: .venv/installed-test
	$(BIN)/pytest tests/bench --benchmarks --capture=no

lint: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check scripts tests
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint
