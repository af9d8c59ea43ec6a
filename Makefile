# Needs Python 3.11+ and make; everything else goes into .venv, in the versions of constraints.txt.
PYTHON ?= python3
BIN := .venv/bin
# One thread each: tests that spin on both cores slow each other manyfold.
THREADS := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

.PHONY: demo test test-slow test-network test-gpu web test-web lint types contracts check format docs wheel clean

demo: .venv/.installed  ## the main job on rendered faces: train, test, report, export, predict
	$(BIN)/mien demo

test: .venv/.dev  ## all tests that need neither hours nor the network
	$(THREADS) $(BIN)/python -m pytest -m "not slow and not network"

test-slow: .venv/.dev  ## tests that take minutes
	$(THREADS) $(BIN)/python -m pytest -m slow

test-network: .venv/.dev
	$(BIN)/python -m pytest -m network

test-gpu: .venv/.dev  ## training on an NVIDIA GPU, with the torch that is installed
	$(BIN)/python -m pytest -m gpu

# What the browser page reads faces with. Beside it onnxruntime's notices of the software inside it, which its Python
# package has and the page's has not.
MODEL ?= fast-int8
web: .venv/.installed web/node_modules/.package-lock.json  ## the browser page, into src/mien/serve/static; needs Node 20.19+
	cd web && npm run --silent build -- --logLevel warn
	cp "$$($(BIN)/python -c 'import onnxruntime; print(onnxruntime.__path__[0])')/ThirdPartyNotices.txt" \
		src/mien/serve/static/onnxruntime-notices.txt
	$(BIN)/mien web build src/mien/serve/static --model $(MODEL)

test-web: web .venv/.dev  ## the page in a real browser; needs Chromium
	cd web && npm test --silent

lint: .venv/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: .venv/.dev
	$(BIN)/mypy

contracts: .venv/.dev  ## imports go down only
	$(BIN)/lint-imports

check: lint types contracts test

format: .venv/.dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: .venv/.dev  ## docs/cli.md, generated from the command line's own help
	$(BIN)/python docs/make_cli_page.py

wheel: web .venv/.dev  ## with the browser page inside
	rm -f dist/mien-*.whl
	$(BIN)/python -m pip wheel -q --no-deps -w dist .
	$(BIN)/python release/check_wheel.py dist/mien-*.whl

clean:
	rm -rf .venv build dist web/node_modules src/mien/serve/static .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

web/node_modules/.package-lock.json: web/package.json web/package-lock.json
	cd web && npm ci --silent --ignore-scripts
	touch $@

.venv/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[train,report,serve]'
	touch $@

.venv/.dev: .venv/.installed
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[all,dev]'
	# timm wants torchvision, and beside the CPU build of torch each one that names this torch fails to import. This old
	# one names another torch and imports, with a warning: hence --no-deps, and a folder of its own that only tests of
	# timm look into (tests/conftest.py). Without it, from Python 3.12 on, they are skipped. Users have the pair that
	# belongs together: pip install 'mien[timm]'.
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt --no-deps --upgrade \
		--target .venv/timm timm "torchvision==0.16.2; python_version < '3.12'"
	touch $@
