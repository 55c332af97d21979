# make demo: a made-up country mapped from end to end.  make test, make test-slow: the tests.  All create .venv if it is not there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# uv does not read pip's settings; hand on those that say where wheels lie.
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
export UV_EXTRA_INDEX_URL ?= $(PIP_EXTRA_INDEX_URL)
INSTALL := $(shell command -v uv >/dev/null 2>&1 && echo "uv pip install --python $(BIN)/python" || echo "$(BIN)/python -m pip install --disable-pip-version-check")
QUIET := --quiet
# Two processes, each with whole files, which share what they set up; in the order of tests/conftest.py.
SIDE_BY_SIDE := --numprocesses 2 --dist loadfile --no-loadscope-reorder

.PHONY: demo test test-slow lint types install services constraints clean

demo: install
	$(BIN)/furrow demo --root furrow-demo

test: install
	$(BIN)/pytest $(SIDE_BY_SIDE) -m 'not slow'

# The longest: whole runs, clusters that lose workers, trainings that are killed. All of them, or those of some files:
# make test-slow TESTS=tests/test_run.py
test-slow: install
	$(BIN)/pytest $(SIDE_BY_SIDE) -m slow $(TESTS)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "furrow needs Python 3.11 or newer; give one with: make PYTHON=python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@# Without an NVIDIA GPU the CUDA build of torch is gigabytes for nothing: look before installing.
	@if ! command -v nvidia-smi >/dev/null 2>&1 && $(INSTALL) --dry-run -c constraints.txt torch 2>&1 | grep -q 'nvidia[-_]'; then \
	  echo "This machine has no NVIDIA GPU, but pip would take the CUDA build of torch, gigabytes of it."; \
	  echo "Install torch's CPU build first, as README.md says under 'Which build of PyTorch', and give the same command again."; exit 1; fi
	$(INSTALL) $(QUIET) -c constraints.txt -e '.[dev]'
	@touch $@

# What tests of the STAC API and of GDAL need besides Debian's packages (infra/README.md); they skip, and say so, without it.
services:
	infra/services/install_stac_api.sh .services/stac-api
	infra/services/install_gdal.sh .services/gdal

# Pin what is installed in .venv now, for example after a change of pyproject.toml and a `pip install -e '.[dev]'`.
constraints:
	@{ echo '# Every package that a fresh install takes, so that tomorrow it is what it is today. Made with `make constraints`.'; \
	  $(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu//' | sort -f; } > constraints.txt

clean:
	rm -rf $(VENV) furrow-demo
