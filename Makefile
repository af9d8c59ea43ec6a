# Needs Python 3.11+ and make; everything else goes into .venv, in the versions of constraints.txt.
PYTHON ?= python3
BIN := .venv/bin
# A build of the package sets this to its own (hatch_build.py).
PY := $(BIN)/python
# One thread each: a worker a core (pytest-xdist) uses them all, and threads that spin beside it slow each other manyfold.
# Some tests start Python dozens of times: its bytecode is kept, whatever the machine's own setting.
THREADS := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=

.PHONY: demo dev test test-fast test-pythons test-lowest test-newest lock audit-web test-slow test-gpu web npm-package test-web lint types types-src types-scripts contracts check format docs docs-site licences wheel clean

demo: .venv/.installed  ## the main job on rendered faces: train, test, report, export, predict
	rm -rf mien-demo
	$(BIN)/mien demo

dev: .venv/.test  ## for work on mien: training, pages, service and their tests; no Ray, MLflow, W&B, timm or site

# Some tests look into the built page; without Node they are skipped.
test: .venv/.dev $(if $(shell command -v npm),web)  ## all tests that do not take minutes
	$(THREADS) $(BIN)/python -m pytest -n auto --dist worksteal -m "not slow"

test-fast: .venv/.test  ## the tests that a change of one file needs first, in under 90 seconds
	$(THREADS) $(BIN)/python -m pytest -n auto --dist worksteal -m "not slow" $(FAST_TESTS)
FAST_TESTS := tests/data tests/evaluation tests/checks tests/faces tests/page tests/base/test_*recipe*.py tests/base/test_files.py tests/base/test_errors.py \
	tests/test_docs.py --ignore tests/evaluation/test_seed_variance.py

test-slow: .venv/.dev  ## tests that take minutes
	$(THREADS) $(BIN)/python -m pytest -m slow

test-gpu: .venv/.dev  ## training on an NVIDIA GPU, with the torch that is installed
	$(BIN)/python -m pytest -m gpu

# What needs the core only, on other Pythons: uv takes one that is installed (pyenv shows its own only when named), or
# brings it.
PYTHONS ?= 3.12 3.13
CORE_TESTS := tests/base/test_preprocess.py tests/base/test_labels.py tests/base/test_files.py tests/base/test_images.py tests/base/test_errors.py \
	tests/data/test_kaggle_csv.py tests/faces tests/inference
test-pythons: .venv/.dev  ## the core's tests on other Pythons, without any extra
	set -e; export PYENV_VERSION="$$(pyenv versions --bare 2> /dev/null | paste -sd : -)"; for version in $(PYTHONS); do \
		$(BIN)/uv venv -q --clear --python $$version build/python-$$version; \
		$(BIN)/uv pip install -q --python build/python-$$version --require-hashes -r requirements/core.txt; \
		$(BIN)/uv pip install -q --python build/python-$$version --no-deps -e .; \
		$(THREADS) build/python-$$version/bin/python -m pytest -m "not slow" $(CORE_TESTS); \
	done

# What users have who upgrade nothing, and those who upgrade all: the core, its service and its pages. Their warnings of
# things to come are ours only at the pinned versions.
test-lowest: RESOLUTION := lowest-direct
test-newest: RESOLUTION := highest
test-lowest test-newest: .venv/.dev  ## the core's tests and every command's help, with the lowest or newest packages
	$(BIN)/uv venv -q --clear --python $(BIN)/python build/$@
	$(BIN)/uv pip install -q --python build/$@ --resolution $(RESOLUTION) --upgrade -e '.[serve,report]'
	$(BIN)/uv pip install -q --python build/$@ pytest hypothesis httpx
	build/$@/bin/python docs/make_cli_page.py --try
	$(THREADS) build/$@/bin/python -m pytest -m "not slow" -W ignore::DeprecationWarning -W ignore::PendingDeprecationWarning $(CORE_TESTS)

# The versions of constraints.txt with their digests, for all systems. constraints.txt itself has none: pip would then ask
# for a digest of every requirement, and mien's own folder has none.
lock: .venv/.dev
	$(BIN)/uv pip compile -q $(LOCK) pyproject.toml requirements/core.in -o requirements/core.txt
	$(BIN)/uv pip compile -q $(LOCK) pyproject.toml --extra serve -o requirements/serve.txt
	$(BIN)/uv pip compile -q $(LOCK) pyproject.toml $(EXTRAS:%=--extra %) -o requirements/everything.txt
LOCK := --universal --python-version 3.11.5 --generate-hashes --no-header --no-annotate -c constraints.txt
EXTRAS := all wandb mlflow scale dev

audit-web: web/node_modules/.package-lock.json  ## known faults of the page's npm packages; needs the network
	cd web && npm audit --audit-level=high

# The model that the browser page classifies with. The notices of the software inside onnxruntime come from its Python
# package, because its npm package has none.
MODEL ?= fast-int8
web: .venv/.core web/node_modules/.package-lock.json web/build/onnxruntime.wasm.xz  ## the browser page, into src/mien/serve/static; needs Node 20.19+
	cd web && npm run --silent build -- --logLevel warn
	cp "$$($(PY) -c 'import onnxruntime; print(onnxruntime.__path__[0])')/ThirdPartyNotices.txt" \
		src/mien/serve/static/onnxruntime-notices.txt
	PYTHONPATH="src:$$PYTHONPATH" $(PY) -m mien web build src/mien/serve/static --model $(MODEL)

npm-package: web  ## the page's engine for pages of others, into web/build
	cd web && MIEN_PYTHON=$(abspath $(PY)) npm run --silent package && npm pack --silent --pack-destination build ./build/package

test-web: web .venv/.dev  ## the page in a real browser; needs Chromium
	cd web && npm test --silent

lint: .venv/.test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/python docs/check_words.py
	$(BIN)/python docs/check_size.py

# Strict for what ships. The scripts that no test runs are held to calls and names that exist.
SCRIPTS := web/tests web/scripts benchmarks docs release examples
types: types-src types-scripts
types-src: .venv/.dev
	$(BIN)/mypy
types-scripts: .venv/.dev
	$(BIN)/mypy --config-file= --cache-dir=.mypy_cache/scripts --check-untyped-defs --ignore-missing-imports $(SCRIPTS)

contracts: .venv/.test  ## imports go down only
	$(BIN)/lint-imports

check: lint types contracts test

format: .venv/.test
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: .venv/.dev  ## docs/cli.md from the command line's own help, docs/api/ from docstrings, sizes into ARCHITECTURE.md
	$(BIN)/python docs/make_cli_page.py
	$(BIN)/python docs/make_api_pages.py
	$(BIN)/python docs/check_size.py --write

docs-site: .venv/.dev  ## the site, into build/site; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

licences: .venv/.dev  ## the licence of each package that is installed here
	$(BIN)/pip-licenses --from=mixed --format=markdown

# Two builds of one commit give the same bytes: times in the archives are the commit's.
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2> /dev/null || echo 315532800)

wheel: web .venv/.dev  ## sdist and wheel with the browser page inside, and the list of what they need (SBOM)
	rm -f dist/mien-*
	$(BIN)/python -m build --no-isolation --outdir dist .
	$(BIN)/python release/check_wheel.py dist/mien-*.whl
	$(BIN)/cyclonedx-py requirements requirements/core.txt --output-reproducible -o dist/mien.cdx.json

clean:
	rm -rf .venv build dist web/node_modules web/build src/mien/serve/static .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

web/build/onnxruntime.wasm.xz: web/scripts/pack_runtime.py web/node_modules/.package-lock.json .venv/.core
	$(PY) $< web/node_modules/onnxruntime-web $@

web/node_modules/.package-lock.json: web/package.json web/package-lock.json
	cd web && npm ci --silent --ignore-scripts
	touch $@

# uv takes a sixth of pip's time. It does not read pip's settings, so what they say of indexes is handed on.
PIP_SAYS = $${UV_$(1)-$${PIP_$(2)-$$($(BIN)/pip config get global.$(3) 2> /dev/null)}}
INSTALL = UV_DEFAULT_INDEX="$(call PIP_SAYS,DEFAULT_INDEX,INDEX_URL,index-url)" UV_INDEX="$(call PIP_SAYS,INDEX,EXTRA_INDEX_URL,extra-index-url)" \
	UV_FIND_LINKS="$(call PIP_SAYS,FIND_LINKS,FIND_LINKS,find-links)" UV_INDEX_STRATEGY=unsafe-best-match \
	$(BIN)/uv pip install -q --python $(BIN)/python -c constraints.txt

$(BIN)/uv:
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt uv

# What the page and the npm package are built with: no torch.
.venv/.core: pyproject.toml constraints.txt | $(BIN)/uv
	$(INSTALL) -e . onnx
	touch $@

.venv/.installed: .venv/.core
	@echo "Installing mien and torch into .venv, 1 GB or, with CUDA, several: this takes minutes."
	$(INSTALL) -e '.[train,report,serve]'
	touch $@

.venv/.test: .venv/.installed
	$(INSTALL) -e '.[train,report,audit,sklearn,serve,video,pandas,test]'
	touch $@

# Everything at once: each step resolves and builds anew.
.venv/.dev: .venv/.core
	$(INSTALL) -e '.[all,wandb,mlflow,scale,dev]'
	# timm wants torchvision, and beside the CPU build of torch each one that names this torch fails to import. This old
	# one names another torch and imports, with a warning: hence --no-deps, and a folder of its own that only tests of
	# timm look into (tests/conftest.py). Without it, from Python 3.12 on, they are skipped. Users have the pair that
	# belongs together: pip install 'mien[timm]'.
	$(INSTALL) --no-deps --upgrade \
		--target .venv/timm timm "torchvision==0.16.2; python_version < '3.12'"
	touch .venv/.installed .venv/.test $@
