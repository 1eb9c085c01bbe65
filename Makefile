# make demo: everything from nothing to a paid pool.  make test: everything and the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# llama.cpp's AMX tiles die of a general protection fault when GCC 12 compiles them; without them
# a machine that has AMX also computes the same bits as one that has AVX-512 alone.
ifneq ($(shell grep -s -m1 -o amx_tile /proc/cpuinfo),)
NO_AMX := -march=native -mno-amx-tile -mno-amx-int8 -mno-amx-bf16
export CMAKE_ARGS ?= -DGGML_NATIVE=OFF "-DCMAKE_C_FLAGS=$(NO_AMX)" "-DCMAKE_CXX_FLAGS=$(NO_AMX)"
endif

.PHONY: setup demo test test-slow lint format bench clean help

help:
	@echo "make setup   make .venv and install (the first time compiles llama.cpp: about 4 minutes)"
	@echo "make demo    pull two models and run a funded pool from mint to payout"
	@echo "make test    the tests; make test-slow runs those that take minutes"
	@echo "make lint    ruff, mypy, import-linter"
	@echo "make bench   the bus's figures of BENCHMARKS.md; its other scripts print the rest"

setup: $(READY)

$(READY): pyproject.toml constraints.txt scripts/check_python.py
	@$(PYTHON) scripts/check_python.py
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing. llama.cpp is compiled for this machine: about 4 minutes on 2 cores the first time."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $(READY)

demo: setup
	@$(BIN)/benchpool model pull smollm2-135m
	@$(BIN)/benchpool model pull gemma-3-270m
	@$(BIN)/benchpool demo

test: setup
	@$(BIN)/benchpool model pull smollm2-135m
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

test-slow: setup
	@$(BIN)/benchpool model pull smollm2-135m
	@$(BIN)/benchpool model pull gemma-3-270m
	@$(BIN)/python -m pytest -m slow

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: setup
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: setup
	@$(BIN)/python benchmarks/bench_bus.py

clean:
	rm -rf $(VENV) .benchpool .benchpool-demo .mypy_cache .ruff_cache .pytest_cache .hypothesis
