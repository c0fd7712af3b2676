# Five words do everything. Each makes the virtual environment that it needs, and nothing outside this folder.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo check test bench clean
.DEFAULT_GOAL := demo

demo: $(VENV)/demo        ## train the classic model on the Boston housing table
	$(BIN)/bilstm demo

check: $(VENV)/dev        ## style, types, architecture
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_architecture.py

test: check               ## all checks and all tests
	$(BIN)/python -m pytest

bench: $(VENV)/dev        ## the benchmarks; takes minutes, wants a quiet machine
	$(BIN)/python benchmarks/layer.py
	$(BIN)/python benchmarks/boston.py
	$(BIN)/python benchmarks/accuracy.py

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

# the environment is as new as the files that describe it
$(VENV)/demo: pyproject.toml constraints.txt
	@echo "installing into $(VENV) (once; torch is large)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) -e .
	@touch $@

$(VENV)/dev: $(VENV)/demo
	@$(PIP) -e ".[dev]"
	@touch $@
