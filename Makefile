# `make` lists what there is to do. Everything works on a fresh clone: the environment .venv is made when it is missing.

BIN := .venv/bin
PYTEST := $(BIN)/pytest

.DEFAULT_GOAL := help
.PHONY: help demo test check bench docs soak format lint slow repeat

help:
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)$$/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name what; do printf '  make %-8s %s\n' "$$name" "$$what"; done

demo: $(BIN)/concerted ## watch a fleet at work while parts of it are killed (under a minute)
	$(BIN)/concerted demo

test: $(PYTEST) $(BIN)/concerted ## the fast tests (a minute or two)
	$(PYTEST) -n auto

check: lint test slow repeat ## the whole truth: lint, types, imports, all tests, every Python found

bench: $(BIN)/concerted ## measure what we claim, beside others, and report ratios
	@$(BIN)/python bench/peers.py --install
	@for script in $(filter-out bench/peers.py,$(wildcard bench/*.py)); do echo "== $$script"; $(BIN)/python "$$script" || exit 1; done

docs: $(PYTEST) $(BIN)/concerted ## run every code block of the README and the docs
	$(PYTEST) tests/test_docs.py -m "e2e or not e2e"

soak: $(PYTEST) $(BIN)/concerted ## look an hour for failures of consensus, and for the bugs that are planted into it
	$(BIN)/concerted simulate consensus --seeds 10000..10000 --for 45m
	$(BIN)/concerted simulate decide --seeds 10000..10000 --for 5m
	$(PYTEST) -m seeds tests/mutants --search

format: $(PYTEST) ## put the code into its one format and order of imports
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The parts of `check`.

lint: $(PYTEST)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Most of these wait for other processes, so there is one more at a time than there are cores, and each takes the next test
# when it is free: a share given out beforehand would leave one with all that takes long.
slow: $(PYTEST) $(BIN)/concerted
	$(PYTEST) -n 3 --maxschedchunk=1 -m "crash or seeds or e2e or exams"

# The order of a set must never decide an outcome; nor may the version of Python. In `test` and `slow` every process
# hashes under a seed of its own; each other Python repeats the fast tests under a known one, and where there is no other
# Python, this one repeats the rules. What starts processes, kills them or plays many seeds is not repeated: it runs the
# same rules.
repeat: $(PYTEST) $(BIN)/concerted
	tools/test-other-pythons

$(PYTEST) $(BIN)/concerted:
	python3 -m venv .venv
	$(BIN)/pip install -q -c constraints.txt -e '.[test]'
