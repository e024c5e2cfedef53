# Both commands set up .venv by themselves. PYTHON is any Python from 3.11 on.
PYTHON ?= python3
BIN := .venv/bin

# JAX for the GPU that is there: CUDA 13 needs a driver from 580 on. For a TPU: make train EXTRAS=dev,tpu
DRIVER := $(shell nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null | head -1 | cut -d. -f1)
EXTRAS ?= dev$(if $(DRIVER),$(shell [ $(DRIVER) -ge 580 ] && echo ,cuda || echo ,cuda12))

# The allocator keeps large blocks, which XLA's CPU backend asks for at every step.
FAST_MALLOC := glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=30000000000

.PHONY: train test lint format

train: .venv/.installed
	GLIBC_TUNABLES=$(FAST_MALLOC) $(BIN)/python train.py --config=configs/digits.py --workdir=runs/digits

test: .venv/.installed lint
	$(BIN)/python -m pytest

lint: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.venv/.installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[$(EXTRAS)]'
	touch $@
