# Each target sets up .venv first. `make` alone lists the targets.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PYTEST := OMP_NUM_THREADS=1 $(PY) -m pytest -q -n auto --maxprocesses 4 --dist loadfile

SOAK :=  # options of benchmarks/soak.py, such as SOAK='--share 0.05'

.PHONY: help setup test test-slow soak gpu demo notebooks clean

help:
	@echo 'make setup      install the package and its tools into $(VENV)'
	@echo 'make test       ruff, and all tests but the slow ones'
	@echo 'make test-slow  the slow tests, which take minutes'
	@echo 'make soak       attack it for an hour: kills, mutated files, full disks; prints a table of the results'
	@echo 'make gpu        on a machine with a GPU: the tests that need one, and the GPU benchmark, in eight minutes'
	@echo 'make demo       draw data, train on it, score, detect: the results are in demo/'
	@echo 'make notebooks  run notebooks/ in place, so that their outputs are up to date'
	@echo 'make clean      delete $(VENV) and demo/'

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml setup.py
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade pip
	$(PY) -m pip install --quiet --editable '.[dev]'
	touch $@

test: setup
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PYTEST)

test-slow: setup
	$(PYTEST) -m slow

soak: setup
	OMP_NUM_THREADS=1 $(PY) benchmarks/soak.py $(SOAK)

# A failed test does not keep the benchmark from running.
gpu: setup
	status=0; $(PY) -m pytest -q -m gpu || status=1; \
	$(PY) benchmarks/gpu.py --out out/gpu.md --profile || status=1; exit $$status

demo: setup
	PY=$(PY) sh tools/demo.sh demo

notebooks: setup
	PATH=$(abspath $(VENV)/bin):$$PATH $(PY) notebooks/execute.py

clean:
	rm -rf $(VENV) demo
