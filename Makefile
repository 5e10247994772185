# Each target is a line; the variables are the same for every target that takes them.
INVENTORY ?= local
SCENARIO ?= paper
REPETITIONS ?=
DATASET ?= synthetic
SEED ?= 1
RESULTS ?= results
RUN ?=
RUNS ?=
ARCH ?=
PINS ?=
ROLE ?=
VERBOSE ?=
ASK_BECOME_PASS ?=
ALLOW_MISSING ?=

PYTHON := .venv/bin/python
TASKS := $(if $(filter-out 0,$(VERBOSE)),--verbose) $(if $(filter-out 0,$(ASK_BECOME_PASS)),--ask-become-pass)
# Recipes read variables from the environment, as $$NAME: make would put the value into the command, for the shell to
# evaluate. What comes from the environment is not evaluated at all.
export INVENTORY SCENARIO REPETITIONS DATASET SEED RESULTS RUN RUNS ARCH PINS
NODES := --inventory "$$INVENTORY" $(TASKS)
WHAT := --scenario "$$SCENARIO"
OF_RUN := $${RUN:+"$$RUN"}
IN := --results "$$RESULTS"
# An option only where its variable is set by the user: a run that is resumed keeps its own and refuses others.
given = $(if $(filter file,$(origin $(1))),,$(2) "$$$(1)")
# The end of a test run: the 15 slowest tests; pytest's -ra then names what was skipped, with reasons. What hangs is named
# with its traces before CI's own limit ends everything without a word.
LAST_LINES := --durations=15 --durations-min=0.1 --timeout=1500
# One process for the tests that judge links, another for the others beside it; three took as long and disturbed links.
BESIDE := --numprocesses=2 --dist=loadgroup

.DEFAULT_GOAL := help
.PHONY: help setup check preflight provision verify experiment collect report compare reset test test-long test-unit test-pythons lint lint-python lint-ansible bench image clean-image artifacts lock

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "Variables: INVENTORY=$$INVENTORY SCENARIO=$$SCENARIO REPETITIONS=$${REPETITIONS:-20} DATASET=$$DATASET SEED=$$SEED RESULTS=$$RESULTS RUN=<run id> RUNS=<run ids, blanks between them> ARCH=<amd64, arm64 or all> PINS=<file with SHA-256 of artifacts of your own> ROLE=<folder of tests/roles or tests> VERBOSE=<1: print every Ansible task> ASK_BECOME_PASS=<1: ask once for the nodes' sudo password> ALLOW_MISSING=<1: provision the nodes that answer>"

setup: ## install what is missing: .venv, Debian packages
	@sh setup.sh testbed "$$INVENTORY"

check: setup ## say what an experiment will do: who sends what to whom and when; touch no node
	@$(PYTHON) -m experiments check $(WHAT) --inventory "$$INVENTORY" --dataset "$$DATASET" --seed "$$SEED"

preflight: setup ## say what stands in the way on all nodes, as one table; change nothing
	@$(PYTHON) -m experiments preflight $(NODES) $(WHAT)

provision: setup ## make the nodes and deploy the function
	@$(PYTHON) -m experiments provision $(NODES) $(WHAT) $(if $(filter-out 0,$(ALLOW_MISSING)),--allow-missing)

verify: setup ## shape the links, measure them, clear them
	@$(PYTHON) -m experiments verify $(NODES) $(WHAT)

experiment: setup ## run the whole experiment and write report.html
	@$(PYTHON) -m experiments experiment $(TASKS) $(call given,INVENTORY,--inventory) $(call given,SCENARIO,--scenario) $(call given,DATASET,--dataset) $(call given,SEED,--seed) $(IN) $${REPETITIONS:+--repetitions "$$REPETITIONS"} $${RUN:+--run "$$RUN"}

collect: setup ## fetch a run's raw records from the base stations
	@$(PYTHON) -m collect pull $(OF_RUN) $(TASKS) $(call given,INVENTORY,--inventory) $(IN)

report: setup ## analyse a run's records and write report.html
	@$(PYTHON) -m collect report $(OF_RUN) $(IN)

compare: setup ## compare runs of the same scenarios: RUNS="<run id> <run id> ..."
	@$(PYTHON) -m collect compare $${RUNS:?is empty: name two runs or more, RUNS='<run id> <run id>'} $(IN)

reset: setup ## remove everything faasbed created on the nodes
	@$(PYTHON) -m experiments reset $(NODES)

test: ## test what this machine can test, save what is long by nature
	@sh setup.sh dev
	@$(PYTHON) -m pytest -m "not long" $(BESIDE) $(LAST_LINES)

test-long: ## test what is long by nature: all of it, or a folder's (ROLE=netem, ROLE=app)
	@sh setup.sh dev
	@$(PYTHON) -m pytest -m long $(LAST_LINES) $(if $(ROLE),$(or $(wildcard tests/roles/$(ROLE) tests/$(ROLE)),$(error there are no tests of "$(ROLE)": ROLE is a folder of tests/roles or tests))) \
	  || [ $$? -eq 5 ] # pytest's word for: no such test there

test-unit: ## test what needs neither root nor nodes nor Debian packages
	@sh setup.sh unit
	@$(PYTHON) -m pytest -m "not lab and not long" $(BESIDE) $(LAST_LINES)

test-pythons: ## test-unit on the other supported Pythons that are installed
	@sh setup.sh unit
	@.ci/pythons

lint: ## ruff, mypy, import rules, words, yamllint and, beside them, ansible-lint
	@sh setup.sh dev
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=line lint-python lint-ansible

lint-python:
	@echo "ruff, mypy, import-linter, yamllint; ansible-lint beside them (about a minute)"
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy
	@.venv/bin/lint-imports --no-logo
	@$(PYTHON) -m docs.variables --check
	@$(PYTHON) -m docs.scenarios --check
	@$(PYTHON) -m docs.faults --check
	@$(PYTHON) -m docs.words
	@.venv/bin/yamllint --strict .

lint-ansible:
	@PATH="$(CURDIR)/.venv/bin:$$PATH" .venv/bin/ansible-lint

bench: ## measure how true intervals and links are, the function against plain scikit-learn, the load driver, a large report, and many nodes
	@sh setup.sh dev
	@$(PYTHON) -m benchmarks.coverage
	@$(PYTHON) -m benchmarks.runs
	@$(PYTHON) -m benchmarks.steady
	@$(PYTHON) -m benchmarks.scale
	@$(PYTHON) -m benchmarks.driver
	@$(PYTHON) -m benchmarks.function
	@$(PYTHON) -m benchmarks.links
	@$(PYTHON) -m benchmarks.nodes

image: ## build the function's image as an OCI archive
	@sh setup.sh dev
	@$(PYTHON) -m app.image

clean-image: ## remove the function's image, its archive, and the base that the build brought
	@sh setup.sh dev
	@$(PYTHON) -m app.image --remove

artifacts: ## download and verify what a cluster is made of: k3s, Knative, images
	@sh setup.sh testbed artifacts
	@$(PYTHON) -m artifacts download --arch "$$ARCH" $${PINS:+--pins "$$PINS"}

lock: ## renew the locks of the requirements, with hashes
	@sh setup.sh dev
	@for name in app/requirements requirements/node requirements/testbed requirements/parquet requirements/dev requirements/bbc; do \
	  CUSTOM_COMPILE_COMMAND="make lock" .venv/bin/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras \
	    --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --output-file $$name.txt $$name.in || exit 1; done
