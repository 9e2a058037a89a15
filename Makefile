# Everything starts here: each target does all of its own set-up on a fresh clone, in .venv beside this file.
# Times are those of two cores; the first target also installs (1-5 minutes, by the network), and says so.
#   make demo         draw a birthday card and say where it is (half a minute)
#   make test-quick   the quick unit tests (under two minutes; tests of more than about two seconds are marked slow)
#   make test         all tests (twelve minutes on two cores), in JOBS=2 processes
#   make check        lint, formatting, spelling and types (one minute)
#   make docs         the documentation site, into site/ (half a minute)
#   make wheel        wheel and source distribution, into dist/ (seconds)
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
BASE   := $(VENV)/.installed
STAMP  := $(VENV)/.installed-dev
PROMPT ?= A birthday card with a cake that says "Happy Birthday"
OUT    ?= demo.png
SEED   ?= 1
JOBS   ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-quick check format docs wheel clean

help:
	@sed -n 's/^#   //p' Makefile

setup: $(STAMP)

# PIP_CONSTRAINT also reaches the isolated build environment, so nothing unpinned is ever fetched.
INSTALL = PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt

# What drawing needs; tests and lint need the rest as well.
$(BASE): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing Inkwash into $(VENV): torch is large, this takes minutes once ..."
	$(INSTALL) -e .
	@touch $(BASE)

$(STAMP): pyproject.toml constraints.txt $(BASE)
	@echo "Installing what the tests and the checks need into $(VENV) ..."
	$(INSTALL) -e '.[ocr,serve,train,rl,mcp,desk,agent,media,quant,cluster,docs,dev]'
	@touch $(STAMP)

demo: $(BASE)
	@echo 'Drawing: $(PROMPT)'
	@$(BIN)/inkwash generate '$(PROMPT)' -o '$(OUT)' --seed $(SEED) --overwrite
	@echo "The picture is here: $$(cd "$$(dirname '$(OUT)')" && pwd)/$$(basename '$(OUT)')"

# Whole files to JOBS processes of one thread each: two threads of one process wait for each other most of the time.
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

test: $(STAMP)
	$(PYTEST)

test-quick: $(STAMP)
	$(PYTEST) -q -p no:schemathesis -p no:langsmith_plugin -m "not slow and not gpu and not released" tests/test_*.py tests/unit

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build
	@echo "The site is here: $$(pwd)/site/index.html"

wheel: $(STAMP)
	$(BIN)/hatchling build -d dist

clean:
	rm -rf $(VENV) site dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
