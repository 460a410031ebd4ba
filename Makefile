# Everything a user or developer runs; see README.md.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

# Where it is set, every start of a server would compile what it imports, which takes ten seconds.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: venv demo pilot dist changelog test bench lint docs picture events clean

venv: $(VENV)/installed

$(VENV)/installed: setup.py pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --no-compile --constraint constraints.txt --editable '.[server,scanner]'
	touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[all,test,lint,release]'
	touch $@

demo: venv
	$(BIN)/iceprod demo

pilot: dist/iceprod-pilot.pyz

# One file that runs under a bare Python 3.9 or later on any worker node.
dist/iceprod-pilot.pyz: $(wildcard grid/pilot/*.py) grid/bundle.py iceprod/transport.py iceprod/processes/launch.py
	mkdir -p dist
	$(PYTHON) -m grid.bundle $@

# All of a release, in dist/: source archive, wheels (one with the fits compiled for every level of processors that
# this machine runs), the pilot as one file, what the program is made of (SBOM), and checksums.
dist: $(VENV)/installed-test
	$(BIN)/python -m scanner.recos.building --package
	$(BIN)/python -m tools.dist dist

# The fragments of changes/ become the section of a release in CHANGELOG.md.
changelog: $(VENV)/installed-test
	$(BIN)/towncrier build --yes --version "$$($(BIN)/python -c 'from config.version import version; print(version())')"

# Ends with a table of what was left out, why, and the command that brings it in. WORKERS=0: one after the other. One
# more than there are cores, for tests wait much of their time: for pools, for leases that end, for servers that start.
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)

test: $(VENV)/installed-test
	$(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

# A minute or two of measuring; a line of figures for each run, to see what they do over time. BENCH: which ones.
BENCH ?=
BENCH_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/iceprod-bench

bench: venv
	$(BIN)/iceprod bench all --quick --out $(BENCH_DIR)/last.json --trend $(BENCH_DIR) $(BENCH)

# Public real events and official results, for the tests that compare with them (see tools/events.py).
events:
	$(PYTHON) -m tools.events

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/mypy

# The reference, written by the program from itself, beside the pages that people write.
docs: venv
	$(BIN)/python -m server.reference docs/reference

# The wings and who imports whom, drawn into docs/architecture.md from the imports themselves.
picture:
	$(PYTHON) -m tools.wings

clean:
	rm -rf $(VENV) build dist *.egg-info demo scanner/machine/built
