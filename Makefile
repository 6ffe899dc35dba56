# Python 3.11, git and make are all that has to be there.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export DO_NOT_TRACK := 1

.PHONY: demo ui web pictures results peers litert lm remote docs audit test test-all coverage setup lint lock clean
.DEFAULT_GOAL := demo

setup: $(VENV)/.installed

$(VENV)/.installed: requirements.lock pyproject.toml
	@echo "Setting up .venv: about 3 minutes and 7 GB of disk, once"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(BIN)/python -m pip check --disable-pip-version-check
	@touch $@

# The whole chain of the params.yaml in use; what is up to date is not run again.
demo: setup
	bigfoot check
	dvc repro
	bigfoot table
	bigfoot track

# Prefect and MLflow on loopback, the deployments registered, a worker that runs them; ctrl-C stops all of it.
ui: setup
	python -m flows.ui

# Publishes the comparison on disk: results/PROFILE, RESULTS.md and README's tables.
results: setup
	bigfoot results

# What the schemes peer-ctranslate2, peer-sherpa-onnx, peer-executorch and peer-litert need: docs/peers.md.
peers: setup $(VENV)/.peers-installed

$(VENV)/.peers-installed: requirements-peers.lock $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-peers.lock
	$(BIN)/python -m pip check --disable-pip-version-check
	@touch $@

# The converter of the scheme peer-litert, in an environment of its own inside .venv: docs/deploy.md.
litert: peers $(VENV)/litert/.installed

$(VENV)/litert/.installed: requirements-litert.lock $(VENV)/.installed
	$(PYTHON) -m venv $(VENV)/litert
	$(VENV)/litert/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-litert.lock
	$(VENV)/litert/bin/python -m pip check --disable-pip-version-check
	@touch $@

# What language models and hot words need: docs/decoding.md.
lm: setup $(VENV)/.lm-installed

$(VENV)/.lm-installed: requirements-lm.lock $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-lm.lock
	$(BIN)/python -m pip check --disable-pip-version-check
	@touch $@

# The page that recognizes in a browser, as static files in web/; needs npm (Node.js 20 or newer) for the runtime inside it.
web: setup node_modules/.installed
	bigfoot web

# The pictures in docs/pictures, of the last run and its servers; needs chromium.
pictures: web
	python -m pipeline.lab.pictures

node_modules/.installed: package-lock.json
	npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

# What DVC and MLflow need for S3 and PostgreSQL: docs/remotes.md, docs/mlflow.md.
remote: setup $(VENV)/.remote-installed

$(VENV)/.remote-installed: requirements-remote.lock $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-remote.lock
	$(BIN)/python -m pip check --disable-pip-version-check
	@touch $@

# The documentation as a site in site/; a link that leads nowhere ends it.
docs: setup $(VENV)/.docs-installed
	mkdocs build --strict

$(VENV)/.docs-installed: requirements-docs.lock $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-docs.lock
	$(BIN)/python -m pip check --disable-pip-version-check
	@touch $@

# Licenses of what the locks install, known vulnerabilities of its versions (needs the network), and its list as .bigfoot/sbom.json.
audit: setup $(VENV)/.audit-installed
	python -m pipeline.lab.licenses
	mkdir -p .bigfoot
	cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --output-reproducible --output-file .bigfoot/sbom.json
	for lock in requirements*.lock; do echo $$lock; pip-audit --disable-pip --require-hashes --requirement $$lock || exit 1; done
	npm audit

$(VENV)/.audit-installed: requirements-audit.lock $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-audit.lock
	$(BIN)/python -m pip check --disable-pip-version-check
	@touch $@

# Files in the order of their names: xdist would begin with those of many tests and end with the longest, the chain.
test: setup
	pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# The same tests, and which lines of pipeline/ and flows/ they leave out.
coverage: setup
	mkdir -p .bigfoot/coverage
	pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder --cov

# With what the tests of S3, PostgreSQL, the peers and language models need.
test-all: remote peers litert lm
	pytest -m "" --timeout 3600

lint: setup
	ruff check .
	ruff format --check .
	lint-imports
	mypy pipeline flows

# Renews the versions in all locks within pyproject.toml's and package.json's bounds; needs uv and npm. The locks of extras hold what
# those need, in the main lock's versions where it has them; lm wants a newer glibc, litert an environment of its own, with the same
# PyTorch. package-lock.json is that of `make web`.
lock:
	uv pip compile pyproject.toml --extra synthetic --extra media --extra test --generate-hashes --no-emit-index-url --no-annotate \
		--python-version 3.11 --python-platform x86_64-manylinux_2_28 --custom-compile-command "make lock" -o requirements.lock
	grep -o '^torch==[0-9.]*' requirements.lock > requirements.torch
	for extra in peers remote docs audit lm litert; do \
	$(PYTHON) -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['$$extra'])" \
		| tr ' ' '\n' | uv pip compile - --constraint requirements.$$([ $$extra = litert ] && echo torch || echo lock) --generate-hashes --no-emit-index-url --no-annotate \
		--python-version 3.11 --python-platform x86_64-manylinux_$$([ $$extra = lm ] && echo 2_35 || echo 2_28) \
		--custom-compile-command "make lock" -o requirements-$$extra.lock || exit 1; done
	rm requirements.torch
	npm update --package-lock-only --omit-lockfile-registry-resolved --ignore-scripts --no-audit --no-fund

clean:
	rm -rf $(VENV) .bigfoot node_modules web
