# `make reproduce` and `make test` each do all their own set-up; `make help` lists the rest.

# The first Python from 3.11 on that can make an environment; another one by `make PYTHON=...`.
PYTHONS := python3.11 python3.12 python3.13 python3.14 python3
FITS := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(firstword $(foreach python,$(PYTHONS),$(shell \
	$(python) -c '$(FITS)' 2>/dev/null && command -v $(python))))

VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
PY_FILES := src tests benchmarks
DOCKER ?= docker
IMAGE ?= ernie-m
SMK_FILES := Snakefile workflow/rules

.PHONY: help install reproduce test test-slurm fuzz format check lint types lock image clean \
  bench-engine bench-gpu bench-corpora bench-shards bench-vocabulary bench-slurm

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 18

install: $(INSTALLED) ## make the environment in .venv from pinned versions

reproduce: $(INSTALLED) ## run the default pipeline, from download to report
	$(BIN)/snakemake --cores all

test: $(INSTALLED) ## run the tests
	$(BIN)/python -m pytest -n auto --no-loadscope-reorder

test-slurm: $(INSTALLED) ## run tests on a Slurm of two nodes that they bring up; Debian, as root
	$(BIN)/python -m pytest -m slurm -n 3 --no-loadscope-reorder -rs --durations=0 tests/slurm

fuzz: $(INSTALLED) ## read 20,000 damaged files, each in a process with limits; some minutes
	$(BIN)/python -m tests.fuzz

format: $(INSTALLED) ## rewrite Python and Snakemake files in the house style
	$(BIN)/ruff format $(PY_FILES)
	$(BIN)/ruff check --fix $(PY_FILES)
	$(BIN)/snakefmt $(SMK_FILES)

check: $(INSTALLED) ## format, lint and types, without rewriting
	$(BIN)/ruff format --check $(PY_FILES)
	$(BIN)/snakefmt --check $(SMK_FILES)
	$(MAKE) --no-print-directory lint types

lint: $(INSTALLED) ## look for mistakes in Python and Snakemake files
	$(BIN)/ruff check $(PY_FILES)
	$(BIN)/snakemake --lint

types: $(INSTALLED) ## check types
	$(BIN)/mypy

bench-engine: $(INSTALLED) ## measure the training engine beside Hugging Face's Trainer
	$(BIN)/python -m benchmarks.engine
	$(BIN)/python -m benchmarks.batches

bench-gpu: $(INSTALLED) ## measure the engine on one GPU, and hold it to the CPU: eight minutes
	$(BIN)/python -m benchmarks.gpu

bench-corpora: $(INSTALLED) ## measure filters and tokenization beside other libraries
	$(BIN)/python -m benchmarks.corpora

bench-shards: $(INSTALLED) ## take 2 GB of text to packed shards, with planted faults and a kill
	$(BIN)/python -m benchmarks.shards

bench-vocabulary: $(INSTALLED) ## train 250,000 pieces on text in 44 languages
	$(BIN)/python -m benchmarks.vocabulary

bench-slurm: $(INSTALLED) ## measure what jobs cost on Slurm, alone and in groups; Debian, as root
	$(BIN)/python -m benchmarks.slurm

# Wheels that no index has may serve too, such as a CPU build: TORCH_WHEELS='/folder/torch-*.whl'.
lock: ## resolve the dependencies of pyproject.toml anew: versions, and hashes of all their wheels
	rm -rf work/lock && $(PYTHON) -m venv work/lock
	work/lock/bin/python -m pip install --disable-pip-version-check --quiet uv==0.13.9
	work/lock/bin/uv pip compile --quiet --extra dev --universal --python-version 3.11 \
	  --generate-hashes --no-annotate --no-header --output-file work/lock/all pyproject.toml
	touch work/lock/also
	$(if $(TORCH_WHEELS),work/lock/bin/python -m pip hash $(TORCH_WHEELS) | \
	  sed -n 's/^--hash.*/    & \\/p' > work/lock/also)
	head -n 1 requirements.txt > work/lock/requirements.txt
	head -n 1 requirements-cuda.txt > work/lock/requirements-cuda.txt
	sed '/^torch==/r work/lock/also' work/lock/all | awk '/^[a-z]/ { \
	  to = "work/lock/requirements" (/^(cuda-|nvidia-|triton)/ ? "-cuda" : "") ".txt" } \
	  { print >> to }'
	mv work/lock/requirements.txt work/lock/requirements-cuda.txt . && rm -rf work/lock

image: ## build the image for containers: DOCKER=podman, IMAGE=name, BUILD='--build-arg ...'
	$(DOCKER) build --file envs/Containerfile --tag $(IMAGE) $(BUILD) .

clean: ## remove all results and work under way; finished downloads, mlflow.db and .venv stay
	if [ -d results ]; then \
	  find results -mindepth 1 -maxdepth 1 ! -name '*_download' -exec rm -rf {} +; fi
	rm -rf work build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

# The lock has all packages, so none is asked for its dependencies. Those of CUDA are for a build of
# torch that asks for them. A build that `find-links` of pip's settings has, such as one for CPU, comes
# before the index's: pip by itself would take what it knows the hash of before it looks.
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps
WANTS_CUDA := from importlib.metadata import requires; \
  raise SystemExit(not any("cuda" in need for need in requires("torch")))

# Remade when the pins or the project file change. The package is installed so that its source
# files stay in use where they are, and without its dependencies, which the pins have brought.
$(INSTALLED): requirements.txt requirements-cuda.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: no Python from 3.11 on was found on the PATH." \
	  "Install one, or name it: make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "Installing the pinned packages into $(VENV); the first time takes some minutes."
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	sed -n '/^torch==/,/[^\\]$$/p' requirements.txt > $(VENV)/torch.txt
	$(PIP_INSTALL) --no-index --require-hashes -r $(VENV)/torch.txt 2> /dev/null || true
	$(PIP_INSTALL) --require-hashes -r requirements.txt
	if $(BIN)/python -c '$(WANTS_CUDA)'; then \
	  $(PIP_INSTALL) --require-hashes -r requirements-cuda.txt; fi
	$(BIN)/python -m pip check
	$(PIP_INSTALL) --no-build-isolation --editable .
	touch $@
