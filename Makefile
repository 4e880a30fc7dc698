# make demo and make test set up all that they need.
PYTHONS ?= 3.13 3.12
STAMPS  := $(PYTHONS:%=.venv/%/.installed)
FIRST   := $(firstword $(PYTHONS))
SOURCES := $(shell find src native examples -type f -name '*.py' -o -type f -name '*.[ch]' -o -type f -name '*.sql' -o -type f -name '*.pyi' -o -type f -path 'examples/*.json') pyproject.toml setup.py MANIFEST.in
# Test processes side by side, each with processes of its own.
WORKERS ?= 2
PYTEST_ARGS ?=
DEMO_ARGS ?=

.PHONY: demo test lint native-check newer fuzz transparency dev clean

demo: .venv/$(FIRST)/.installed
	.venv/$(FIRST)/bin/aftertrace demo $(DEMO_ARGS)

test: $(STAMPS) lint native-check
	@for v in $(PYTHONS); do \
		echo "== tests on Python $$v"; .venv/$$v/bin/python -P -m pytest -q -n $(WORKERS) --dist worksteal -m "not alone" $(PYTEST_ARGS) || [ $$? = 5 ] || exit 1; \
		echo "== and those that need the machine for themselves"; .venv/$$v/bin/python -P -m pytest -q -m alone $(PYTEST_ARGS) || [ $$? = 5 ] || exit 1; \
	done

lint: .venv/$(FIRST)/.linters
	.venv/$(FIRST)/bin/ruff check .
	.venv/$(FIRST)/bin/ruff format --check .
	.venv/$(FIRST)/bin/mypy
	PYTHONPATH=src .venv/$(FIRST)/bin/lint-imports

# The recorder's own tests under AddressSanitizer + UBSan, and under Valgrind.
native-check: .venv/$(FIRST)/.installed
	WORKERS=$(WORKERS) sh tests/native/check.sh .venv/$(FIRST)/bin/python

# The ring's reader under libFuzzer (clang): make fuzz FUZZ_SECONDS=900. What it finds goes to tests/fuzz/found, which native-check plays.
FUZZ_SECONDS ?= 60
fuzz: .venv/$(FIRST)/.installed
	mkdir -p build/fuzz/inputs build/fuzz/work tests/fuzz/found
	.venv/$(FIRST)/bin/python -P tests/fuzz/corpus.py build/fuzz/inputs
	clang -std=gnu11 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -Inative tests/fuzz/reader_fuzz.c -o build/fuzz/reader
	build/fuzz/reader -max_total_time=$(FUZZ_SECONDS) -max_len=200000 -timeout=10 -artifact_prefix=tests/fuzz/found/ build/fuzz/work build/fuzz/inputs

# The test suites of well-known packages, bare and recorded: PACKAGES="click flask" for some; some 40 minutes for all.
transparency: .venv/$(FIRST)/.installed
	nice -n 10 .venv/$(FIRST)/bin/python -m transparency $(TRANSPARENCY_ARGS) $(PACKAGES)

# The recorder's tests on a Python that CI does not have, unpacked from Debian's newest suite; says so when it cannot be had.
newer:
	.ci/try-newer 3.14

# The package is installed as its users install it, not in place: the tests test the wheel.
.venv/%/.installed: $(SOURCES)
	@test -x .venv/$*/bin/python || python$* -m venv .venv/$*
	.venv/$*/bin/python -m pip install -q --disable-pip-version-check '.[test]'
	@touch $@

.venv/%/.linters: .venv/%/.installed
	.venv/$*/bin/python -m pip install -q --disable-pip-version-check '.[lint]'
	@touch $@

# In place, for work on it.
dev:
	@test -x .venv/dev/bin/python || python$(FIRST) -m venv .venv/dev
	.venv/dev/bin/python -m pip install -q --disable-pip-version-check -e '.[test,lint]'

clean:
	rm -rf .venv build dist src/*.egg-info src/aftertrace/*.so
