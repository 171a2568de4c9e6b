# siskin: `make` lists the targets.
#
# Tests, clippy and smoke-run benchmarks share one profile (dev, optimised in Cargo.toml), so that the dependencies are
# compiled once for all of them.

CARGO ?= cargo
SISKIN := $(or $(CARGO_TARGET_DIR),target)/release/siskin
MINUTES ?= 2

.DEFAULT_GOAL := help
.PHONY: help build demo model test test-full bench clean check check-test lint tests docs benches

help: ## list the targets
	@echo "siskin: train a small GPT on your own text, then talk to it"
	@echo
	@sed -n 's/^\([a-z-]*\):.* ## \(.*\)/  make \1@\2/p' $(MAKEFILE_LIST) | awk -F@ '{ printf "%-18s %s\n", $$1, $$2 }'

build: check ## build the program: target/release/siskin
	$(CARGO) build --release

demo: build ## train on the bundled corpus (MINUTES=2), print completions, open the chat on a terminal
	@set -e; mkdir -p runs; out=runs/demo; n=2; \
	while [ -e "$$out" ]; do out=runs/demo-$$n; n=$$((n + 1)); done; \
	"$(SISKIN)" train corpora/stories.txt corpora/dialogues.jsonl --minutes $(MINUTES) --out "$$out"; \
	for prompt in "One sunny morning, a little" "There was once a kind" "A brave girl called"; do \
		echo; "$(SISKIN)" complete -m "$$out" -n 120 --seed 1 --temperature 0.5 --echo "$$prompt"; echo; \
	done; \
	if [ -t 0 ] && [ -t 1 ]; then echo; "$(SISKIN)" chat "$$out"; \
	else echo; echo "talk to it: $(SISKIN) chat $$out"; fi

# Steps and no minutes, so that the same bytes come out each time on the same kind of processor.
BUNDLED := runs/bundled
TALKS := corpora/dialogues.jsonl corpora/more_dialogues.jsonl.zst

model: build ## make the bundled model anew from corpora/ (within an hour): model/siskin.q8_0.gguf and its card
	"$(SISKIN)" train corpora/stories.txt $(TALKS) --tokenizer tokenizer/tokenizer.json \
		--layers 5 --width 192 --heads 6 --context 512 --batch 4 --steps 6000 --patience 100 --precision float --out $(BUNDLED)
	"$(SISKIN)" finetune $(BUNDLED) $(TALKS) --batch 4 --steps 6000 --patience 100 --precision float \
		--out $(BUNDLED)-chat
	"$(SISKIN)" eval $(BUNDLED)-chat --chat corpora/questions.jsonl --record
	mkdir -p model
	cp $(BUNDLED)-chat/model.q8_0.gguf model/siskin.q8_0.gguf
	cp $(BUNDLED)-chat/README.md $(BUNDLED)-chat/loss.svg model/

test: check-test lint tests docs benches ## all that .ci/run runs: format, clippy, tests, docs, each benchmark once

test-full: NEXTEST_FLAGS = --run-ignored all
test-full: TEST_FLAGS = -- --include-ignored
test-full: check-test lint tests docs benches ## the same with the slow tests

bench: check ## run the benchmarks
	$(CARGO) bench --bench '*'

clean: ## remove what was built; models under runs/ stay
	$(CARGO) clean

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --all-targets -- -D warnings

# nextest runs no documentation tests, so they follow on their own.
tests:
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
		set -x; $(CARGO) nextest run $(NEXTEST_FLAGS); \
	else \
		set -x; $(CARGO) test --lib --bins --tests $(TEST_FLAGS); \
	fi
	$(CARGO) test --doc

docs:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps

# `--bench '*'` and not `--benches`, which would run the library's unit tests a second time.
benches:
	@if ls benches/*.rs >/dev/null 2>&1; then set -x; $(CARGO) test --bench '*'; else echo "no benchmarks yet"; fi

check:
	@command -v $(CARGO) >/dev/null 2>&1 || \
		{ echo "cargo is missing: install Rust from https://rustup.rs and open a new terminal" >&2; exit 1; }
	@command -v cc >/dev/null 2>&1 || command -v gcc >/dev/null 2>&1 || command -v clang >/dev/null 2>&1 || \
		{ echo "a C compiler is missing: install gcc or clang (Debian and Ubuntu: sudo apt install build-essential)" >&2; exit 1; }

check-test: check
	@$(CARGO) fmt --version >/dev/null 2>&1 && $(CARGO) clippy --version >/dev/null 2>&1 || \
		{ echo "rustfmt or clippy is missing: run \`rustup component add rustfmt clippy\`" >&2; exit 1; }
