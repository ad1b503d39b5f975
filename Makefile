# Everything a newcomer needs: `make demo` and `make test`. Both set up .venv first.
PYTHON ?= python3
JOBS ?= 2
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet -c constraints.txt

.PHONY: help venv demo test test-slow test-faults test-real-size lint bench bench-gpu bench-presets bench-terms docs clean

help:
	@echo "make demo    learn 'sunglasses' from 60 biased portraits, report in demo/"
	@echo "make test    run the tests"
	@echo "make test-slow    run the slow tests: notebooks, wheels, new packages, recorded bits, several processes"
	@echo "make test-faults    kill trainings in every stage, and give 5,000 malformed inputs to every reader"
	@echo "make test-real-size    two steps of Stable Diffusion 1.5 and SDXL at their real size, random weights"
	@echo "make lint    ruff, mypy, import-linter, codespell"
	@echo "make bench   time and memory of a training step, also beside diffusers' own"
	@echo "make bench-gpu    steps of the two real models on a CUDA GPU, beside the dry run's estimate"
	@echo "make bench-presets    the same of every preset"
	@echo "make bench-terms    gradients of the terms of spf-paper, and where enhancements lead"
	@echo "make docs    build the documentation in site/, with Zensical and with MkDocs"
	@echo "make venv    only create .venv with the pinned dependencies"

venv: .venv/.installed

demo: venv
	$(BIN)/spf demo --out demo

test: venv
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile

test-slow: .venv/.installed-docs
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow -n $(JOBS) --dist loadfile

test-faults: venv
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -s tests/faults/kills.py tests/faults/stages.py tests/faults/malformed.py

test-real-size: venv
	$(BIN)/python -m pytest -s tests/real_size/real_size.py

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

bench: venv
	$(BIN)/python tests/bench/step_cost.py
	$(BIN)/python tests/bench/against_diffusers.py

bench-gpu: venv
	$(BIN)/python tests/real_size/on_gpu.py
	$(BIN)/python tests/bench/against_diffusers.py --device cuda --model sd15 --batch 4

bench-presets: venv
	$(BIN)/python tests/bench/preset_cost.py

bench-terms: venv
	$(BIN)/python tests/bench/terms.py

docs: .venv/.installed-docs
	$(BIN)/python -m docs.generators
	$(BIN)/zensical build --strict
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf .venv .cache site docs/.generated .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "spf needs Python 3.11 or newer; name one with: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 2; }
	$(PYTHON) -m venv .venv

# torch comes first: the largest download, and the one whose build a user may have chosen beforehand.
.venv/.installed: constraints.txt pyproject.toml | .venv/bin/python
	@echo "Installing into .venv (a few minutes, once)"
	$(PIP) torch==$$(sed -n 's/^torch==//p' constraints.txt)
	$(PIP) -e '.[dev]'
	@touch $@

.venv/.installed-docs: .venv/.installed
	$(PIP) -e '.[docs]'
	@touch $@
