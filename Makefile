# Two commands do everything: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
PAIRS ?= ../shared/pairs
LOT ?= ../shared/lot

.PHONY: demo test test-deep lint bench clean

demo: .venv/ready  ## render a lot, measure it on a Dask cluster, say where the report is
	$(BIN)/residue demo

test: .venv/ready lint  ## everything that must hold before a change lands
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-deep: .venv/ready  ## the heavy sweeps as well
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "deep or not deep"

lint: .venv/ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/ready  ## accuracy against truth; speed of every way against the floors, held by limits
	$(BIN)/python -m benchmarks.accuracy --pairs $(PAIRS) --lot $(LOT)
	$(BIN)/python -m benchmarks.speed

venv: .venv/ready

.venv/ready: requirements.lock pyproject.toml hatch_build.py $(wildcard residue_batch/kernels/*.[ch] residue_batch/kernels/*.p[yx][xi])
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch .venv/ready

clean:
	rm -rf .venv build dist runs demo .pytest_cache .mypy_cache .ruff_cache
