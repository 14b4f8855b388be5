# Every target makes what it needs: a virtual environment in $(VENV), the package built from this tree, and the tools
# of that target. Needed on the machine: Python >= 3.10 with venv, a C++20 compiler (g++ >= 12 or clang++ >= 16), and a
# package index for pip. `make PYTHON=python3.12 ...` chooses the interpreter, `make VENV=DIR ...` the environment.

PYTHON ?= python3
VENV ?= .venv
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
PYTEST_ARGS ?=
BENCH_ARGS ?=
INSTALL_ARGS ?=
PYTEST_ENV ?=

BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --quiet --disable-pip-version-check
STAMP = $(VENV)/.stamp
SOURCES := CMakeLists.txt pyproject.toml $(shell find core src -type f ! -name '*.pyc' 2>/dev/null)
export CMAKE_BUILD_PARALLEL_LEVEL = $(JOBS)

.PHONY: help build demo test bench parity lint format stubs sanitize clean
help:
	@echo "make demo      train a small network on real handwritten digits and show it learn"
	@echo "make test      the test suite"
	@echo "make bench     speed beside PyTorch, as ratios            (installs torch)"
	@echo "make parity    the tests that compare with PyTorch        (installs torch)"
	@echo "make lint      ruff, pyright, clang-format                make format: let the formatters write"
	@echo "make stubs     write src/bulssi/_core.pyi from the built module"
	@echo "make sanitize  tests of the core built with ASan and UBSan"
	@echo "make clean     remove environments and build folders"

# A group of tools: `$(call group,test)` is the stamp that the requirements pyproject.toml lists under `test` are installed.
group = $(STAMP)-$(1)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "$(PYTHON) is older than Python 3.10; name a newer one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(STAMP)-%: pyproject.toml tools/requirements.py | $(BIN)/python
	$(BIN)/python tools/requirements.py $* > $@.txt
	$(PIP) install -r $@.txt
	@touch $@

# The build backend knows best whether this machine still lacks CMake or ninja.
$(call group,build): pyproject.toml tools/requirements.py | $(BIN)/python
	$(BIN)/python tools/requirements.py build > $@.txt
	$(PIP) install -r $@.txt
	$(BIN)/python -c 'from scikit_build_core import build; print("\n".join(build.get_requires_for_build_wheel()))' > $@.txt
	$(PIP) install -r $@.txt
	@touch $@

# Built without isolation, so that the build folder stays valid and a second build compiles only what changed.
$(STAMP)-installed: $(SOURCES) $(call group,build)
	$(PIP) install --no-build-isolation --config-settings=build-dir=build/$(patsubst .%,%,$(notdir $(VENV))) $(INSTALL_ARGS) .
	@touch $@

build: $(STAMP)-installed

demo: build $(call group,demo)
	$(BIN)/python -m bulssi demo

test: build $(call group,test)
	$(PYTEST_ENV) $(BIN)/python -m pytest $(PYTEST_ARGS)

parity: build $(call group,test) $(call group,parity)
	$(BIN)/python -m pytest -m parity $(PYTEST_ARGS)

bench: build $(call group,parity)
	$(BIN)/python -m bench $(BENCH_ARGS)

CXX_FILES = $(shell find core -name '*.h' -o -name '*.cpp')
lint: build $(call group,test) $(call group,lint)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/clang-format --dry-run -Werror $(CXX_FILES)
	$(BIN)/python -m tools.make_stubs --check

format: $(call group,lint)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CXX_FILES)

stubs: build $(call group,lint)
	$(BIN)/python -m tools.make_stubs
	$(BIN)/ruff format src/bulssi/_core.pyi

# ASan must come first in the process, and Python itself is not built with it, so both runtimes are preloaded. Leaks are
# the leak fixture's business: an interpreter never frees everything. One BLAS thread: OpenBLAS is not instrumented.
# Edge values are left to the other builds: without optimisation products are not contracted, and sin(710) loses digits.
SANITIZE_TESTS ?= tests/ops tests/autograd tests/fuzz \
  --deselect=tests/ops/test_values.py::test_edge_values_agree_with_numpy_or_scipy
CXX ?= g++
# pip learned the short `-C` late.
SANITIZE_BUILD = $(addprefix --config-settings=,cmake.define.BULSSI_SANITIZE=ON cmake.define.BULSSI_ISAS=v3 \
  cmake.build-type=None install.strip=false)
sanitize:
	$(MAKE) VENV=.venv-sanitize INSTALL_ARGS="$(SANITIZE_BUILD)" build
	$(MAKE) VENV=.venv-sanitize PYTEST_ARGS="$(SANITIZE_TESTS) $(PYTEST_ARGS)" PYTEST_ENV="$(strip $(SANITIZE_ENV))" test
SANITIZE_ENV = LD_PRELOAD='$(shell $(CXX) -print-file-name=libasan.so) $(shell $(CXX) -print-file-name=libstdc++.so)' \
  ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:max_allocation_size_mb=4096 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
  PYTHONMALLOC=malloc

clean:
	rm -rf .venv .venv-* build build-*
