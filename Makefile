# Two commands matter: `make run` (the default line, raw rows to GGUF) and `make test`.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PIP_ARGS ?=
export CMAKE_BUILD_PARALLEL_LEVEL ?= $(shell nproc 2>/dev/null || echo 2)

.PHONY: run setup setup-dev test lint types ui matrix seeds bench-trainers bench-overhead claims plan-benchmark clean

run: setup
	$(BIN)/kt run

setup: $(VENV)/.installed
setup-dev: $(VENV)/.installed-dev

$(VENV)/.created:
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.installed: $(VENV)/.created pyproject.toml constraints.txt
	$(BIN)/pip install $(PIP_ARGS) -c constraints.txt -e .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.created pyproject.toml constraints.txt
	$(BIN)/pip install $(PIP_ARGS) -c constraints.txt -e '.[dev]'
	touch $@ $(VENV)/.installed

test: setup-dev lint types
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 --dist loadfile

lint: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup-dev
	$(BIN)/mypy

ui: setup
	$(BIN)/kt ui

matrix: setup-dev
	$(BIN)/python -m benchmarks.matrix

seeds: setup
	$(BIN)/python -m benchmarks.seeds $(BENCH_ARGS)

bench-trainers: setup
	$(BIN)/python -m benchmarks.trainers $(BENCH_ARGS)

bench-overhead: setup
	$(BIN)/python -m benchmarks.overhead $(BENCH_ARGS)

claims: setup
	$(BIN)/python -m benchmarks.claims $(BENCH_ARGS)

plan-benchmark: setup-dev
	$(BIN)/python -m benchmarks.plan

clean:
	rm -rf build *.egg-info
