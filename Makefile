# Seven words do everything. Each makes the virtual environment that it needs, and nothing outside this folder.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

# What compiles the native core. With these in the environment pip needs no other one to build in, and an unchanged
# file is not compiled again.
TOOLS   := scikit-build-core nanobind cmake ninja
CORE    := CMakeLists.txt $(wildcard native/*)
# Where C++ for Python compiles at all, a core that does not is an error; elsewhere the layer runs on torch.
INCLUDE  = $$($(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("include"))')
export BILSTM_REQUIRE_NATIVE ?= $(shell $(CXX) -x c++ -fsyntax-only -include Python.h -I "$(INCLUDE)" /dev/null 2>/dev/null && echo 1)

# Others of benchmarks/README.md want data that is not in the repository.
BENCH := layer memory tracing training ctc boston accuracy serving without_torch scaling streaming

.PHONY: demo check test slow bench docs clean
.DEFAULT_GOAL := demo

demo: $(VENV)/demo        ## train the classic model on the Boston housing table
	$(BIN)/bilstm demo

check: $(VENV)/dev        ## style, types, architecture
	$(BIN)/ruff check src tests benchmarks examples
	$(BIN)/ruff format --check src tests benchmarks examples
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_architecture.py

# Two processes with one thread each are quicker than one with two, and need 6 GB of memory; JOBS=0 runs all in one.
JOBS   ?= 2
PYTEST  = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal

test: check               ## all checks, and all tests that take seconds
	$(PYTEST)

slow: $(VENV)/dev         ## the tests that take longer: killed processes, memory, compilers, whole builds
	$(PYTEST) -m slow

bench: $(VENV)/dev        ## the benchmarks that need no data; takes hours, wants a quiet machine. STORE=--store keeps the results
	@for one in $(BENCH); do echo "== $$one"; $(BIN)/python benchmarks/$$one.py $(STORE) || exit 1; done

docs: $(VENV)/docs        ## the documentation as a site in build/site; a broken link is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build
	@echo "open build/site/index.html"

clean:
	rm -rf $(VENV) build dist src/bilstm/_native*.so .mypy_cache .ruff_cache .pytest_cache .hypothesis

# the environment is as new as the files that describe it, and as what is compiled into it
$(VENV)/demo: pyproject.toml constraints.txt $(CORE)
	@echo "installing into $(VENV) (torch is large, once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) $(TOOLS)
	@$(PIP) --no-build-isolation -e .
	@touch $@

$(VENV)/dev: $(VENV)/demo
	@$(PIP) --use-pep517 seqeval  # published as source; what builds it is in no environment but an isolated one
	@$(PIP) --no-build-isolation -e ".[dev]"
	@touch $@

$(VENV)/docs: $(VENV)/demo
	@$(PIP) --no-build-isolation -e ".[docs]"
	@touch $@
