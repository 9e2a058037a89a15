# Everything starts here: each target does all of its own set-up on a fresh clone, in .venv beside this file.
#   make demo    draw a poster with words and say where it is
#   make test    run the tests
#   make check   lint, formatting and types
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
PROMPT ?= A poster that says "HELLO"
OUT    ?= demo.png
SEED   ?= 0

.DEFAULT_GOAL := help
.PHONY: help setup demo test check format clean

help:
	@sed -n 's/^#   //p' Makefile

setup: $(STAMP)

# PIP_CONSTRAINT also reaches the isolated build environment, so nothing unpinned is ever fetched.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install -q -e '.[ocr,eval,serve,train,media,quant,cluster,dev]' -c constraints.txt
	@touch $(STAMP)

demo: $(STAMP)
	@$(BIN)/inkwash generate '$(PROMPT)' -o '$(OUT)' --seed $(SEED) --overwrite
	@echo "The picture is here: $$(cd "$$(dirname '$(OUT)')" && pwd)/$$(basename '$(OUT)')"

test: $(STAMP)
	$(BIN)/python -m pytest

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
