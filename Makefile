# Every target makes what it needs first: .venv with the locked requirements, then the extension
# built into it. Stamps lie inside .venv, so deleting .venv is a clean start.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= python3
FUZZ_SECONDS ?= 60
BENCH_ARGS ?=
CONTENDERS_ARGS ?=
ABUSE_ARGS ?=
HONESTY_ARGS ?=
ROLLING_ARGS ?=
MEMBERSHIP_ARGS ?=
ZEEBE_ARGS ?=
SIM_ARGS ?=
CARGO_FUZZ_VERSION := 0.13.2

VENV := .venv
BIN := $(VENV)/bin
VENV_STAMP := $(VENV)/.stamp-requirements
BUILD_STAMP := $(VENV)/.stamp-extension
TOOLS := target/tools
DOCS := docs/_build
INTEROP := target/interop

RUST_SOURCES := $(shell find rust -path rust/fuzz -prune -o \( -name '*.rs' -o -name Cargo.toml \) -print 2>/dev/null)
FUZZ_TARGETS = $(patsubst rust/fuzz/fuzz_targets/%.rs,%,$(wildcard rust/fuzz/fuzz_targets/*.rs))

.PHONY: help prerequisites interop build bench contenders zeebe honesty rolling abuse sim membership test lint docs fuzz lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

prerequisites:
	@scripts/prerequisites.sh $(PYTHON)

$(VENV_STAMP): requirements/dev.txt
	@scripts/prerequisites.sh $(PYTHON)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	touch $@

$(BUILD_STAMP): $(VENV_STAMP) Cargo.toml Cargo.lock pyproject.toml $(RUST_SOURCES)
	@scripts/prerequisites.sh $(PYTHON)
	VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/maturin develop --release --locked --quiet
	cargo build --release --locked --quiet -p ztransport-load
	touch $@

build: $(BUILD_STAMP) ## create .venv and build the extension and the load generator into it

bench: build ## measure what encryption costs, in the process and at proxies (at most 6 minutes)
	$(BIN)/ztransport bench run $(BENCH_ARGS)

contenders: build ## measure ztransport beside what Python users would pick instead
	$(BIN)/python -m bench.contenders $(CONTENDERS_ARGS)

zeebe: build interop ## measure ztransport beside a real Zeebe's messaging (4 minutes)
	$(BIN)/python -m bench.zeebe $(ZEEBE_ARGS)

honesty: build ## run the experiments with known answers on the suite itself, and print their table
	$(BIN)/python -m bench.honesty $(HONESTY_ARGS)

rolling: build ## change a cluster under load, certificates and from plaintext to TLS, and print its table
	$(BIN)/python -m bench.rolling $(ROLLING_ARGS)

abuse: build ## run the wall-clock abuse cases and print their table
	$(BIN)/python -m bench.abuse $(ABUSE_ARGS)

sim: build ## table and curves of the kept simulation record; SIM_ARGS="--run RECORD" measures again
	cargo build --locked --quiet -p ztransport-sim
	cargo build --release --locked --quiet -p ztransport-sim
	$(BIN)/python -m bench.sim $(SIM_ARGS)

membership: build ## the kept comparison with kinship; MEMBERSHIP_ARGS="--run RECORD" measures (10 minutes)
	$(BIN)/python -m bench.membership $(MEMBERSHIP_ARGS)

# Without a JDK or a registry it says so, and the tests that need it are skipped.
interop:
	@scripts/interop.sh $(INTEROP)

test: build interop ## Rust and Python tests; the first time they fetch a real Zeebe to talk to
	cargo test --workspace --locked --quiet
	$(BIN)/python -m pytest

lint: build ## formatting, lints, types, the stub and the rules of the house
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --strict python tests bench
	$(BIN)/python -m mypy.stubtest ztransport._ztransport
	$(BIN)/python -m pytest --quiet tests/test_house*.py

docs: build ## the pages of the Rust crates and of the Python package
	RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --no-deps --locked --quiet
	$(BIN)/pdoc --output-directory $(DOCS) ztransport
	@echo "Rust pages in target/doc, Python pages in $(DOCS)"

$(TOOLS)/bin/cargo-fuzz:
	cargo install --quiet --locked --root $(TOOLS) --version $(CARGO_FUZZ_VERSION) cargo-fuzz

# What fuzzing finds on the way goes below target; the kept corpus only seeds it.
fuzz: prerequisites $(TOOLS)/bin/cargo-fuzz ## fuzz every door for FUZZ_SECONDS (default 60); needs a C++ compiler
	@test -n "$(FUZZ_TARGETS)" || { echo "no fuzz target in rust/fuzz/fuzz_targets" >&2; exit 2; }
	@for target in $(FUZZ_TARGETS); do \
	    echo "fuzzing $$target for $(FUZZ_SECONDS) s"; \
	    mkdir -p target/fuzz/$$target; \
	    RUSTC_BOOTSTRAP=1 PATH="$(abspath $(TOOLS))/bin:$$PATH" cargo fuzz run --fuzz-dir rust/fuzz -s none $$target \
	        target/fuzz/$$target rust/fuzz/corpus/$$target \
	        -- -max_total_time=$(FUZZ_SECONDS) -max_len=65536 -print_final_stats=1; \
	done

lock: $(VENV_STAMP) ## write requirements/dev.txt again from pyproject.toml and requirements/dev.in
	scripts/lock.sh $(BIN)/python

clean: ## remove what make created
	cargo clean --quiet
	rm -rf $(VENV) $(DOCS) results .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find python bench tests -name __pycache__ -prune -exec rm -rf {} +
	rm -f python/ztransport/_ztransport.*.so
