# make env   the environment (.venv) with everything the tests need; a second run reinstalls nothing
# make test  environment, lint, types, tests
# make demo  environment, encoder weights, a real photograph segmented and a real video followed
#            (IMAGE=path, VIDEO=path for your own)
# make coverage  all tests, and which lines none of them runs; fails below the floor in pyproject.toml
# make browser  onnxruntime-web by npm, for examples/browser and its tests, which skip without it
# make docs  environment, and the documentation as a site: site/index.html
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: env test test-fast coverage lint demo browser docs clean

env: $(VENV)/.made

$(VENV)/.made: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

# Some tests at a time: each computes in one thread.
test: lint
	$(BIN)/pytest -n logical --maxprocesses 4 --dist worksteal

test-fast: env
	$(BIN)/pytest -m "not slow"

coverage: env
	$(BIN)/pytest --cov --cov-report=term

demo: env
	$(BIN)/python tools/demo.py $(if $(IMAGE),--image "$(IMAGE)") $(if $(VIDEO),--video "$(VIDEO)")

browser:
	npm install --prefix examples/browser --ignore-scripts --no-package-lock --no-audit --no-fund

docs: env
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@echo "open site/index.html, or, to search in it: $(BIN)/python -m http.server -d site"

clean:
	rm -rf $(VENV) out site
