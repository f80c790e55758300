# Everything here does its own set-up. `make demo` and `make test` need nothing but Python 3.11+, make and a package index.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MARK := $(VENV)/.installed
LOCK = $(BIN)/uv pip compile pyproject.toml --constraint .lock --universal --python-version 3.11 --generate-hashes --no-annotate --quiet \
	--custom-compile-command 'make lock'

# Each job is a process of its own: without compiled modules each would compile the portal again, whatever this is set to outside.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help native demo demo-lake portal test lint types war bench bench-queue bench-transfer bench-convert bench-lake bench-upload bench-spark lock clean

help:            ## show this
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 20

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(MARK)-%: requirements-%.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

native: | $(BIN)/python   ## the converter's kernel, if there is a C++ compiler; everything works without it, slower
	-@$(BIN)/python -m portal.native.build

demo: $(MARK)-demo native   ## the whole chain on real data, in the cloud in a box, proved and printed
	$(BIN)/python -m embedded.demo

demo-lake: $(MARK)-demo $(MARK)-lake native   ## the lakehouse on real data: Hive, Iceberg, Azure and Snowflake in the box, one chain, counted everywhere
	$(BIN)/python -m embedded.demo_lake

portal: $(MARK)-demo native   ## the portal in the browser: box (unless .env names real clouds), worker and launcher
	$(BIN)/python -m embedded.portal

lint: $(MARK)-test     ## style
	$(BIN)/ruff check .

types: $(MARK)-test    ## types
	$(BIN)/mypy

test: lint types native   ## lint, types and every test, three files at a time: many wait more than they work
	$(BIN)/python tests/browser.py
	$(BIN)/python tests/azcopy.py
	$(BIN)/python tests/duckdb_azure.py
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder

war: $(MARK)-test native   ## a thousand jobs under five hundred kills, ten thousand files through the chain: nothing lost, nothing done twice
	$(BIN)/python -m tests.war
	$(BIN)/python -m tests.chain

bench: $(MARK)-test native   ## the benchmarks, side by side with their peers
	$(BIN)/python -m bench

bench-queue: $(MARK)-bench native   ## the queue beside huey, persist-queue, litequeue and RQ: how fast, how safe, what it costs
	$(BIN)/python -m bench.queue

bench-transfer: $(MARK)-test native   ## the mover beside rclone, AzCopy and the SDKs: how fast, at what cost, and what a second run does again
	$(BIN)/python -m bench.transfer

bench-upload: $(MARK)-bench native   ## the uploader beside aws s3 cp, rclone and s5cmd: small files and large ones, start-up told apart
	$(BIN)/python -m bench.upload

bench-lake: $(MARK)-bench native   ## our migration of Iceberg tables beside Spark's rewrite_table_path and a copy, and who gets deletes right
	$(BIN)/python -m bench.lake

bench-convert: $(MARK)-bench native   ## the converter beside DuckDB, polars, pyarrow and pandas: how fast, how large, and whose values are right
	$(BIN)/python -m bench.convert

bench-spark: $(MARK)-test native   ## copies and listings on a Spark cluster of one executor and of two, far from the stores and near them
	$(BIN)/python -m bench.spark

lock: $(MARK)-test     ## compile the requirement files from pyproject.toml, all against one resolution
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --quiet --output-file .lock
	$(LOCK) --output-file requirements.txt
	$(LOCK) --extra demo --output-file requirements-demo.txt
	$(LOCK) --extra demo --extra lake --extra test --output-file requirements-test.txt
	$(LOCK) --extra test --extra demo --extra lake --extra bench --output-file requirements-bench.txt
	$(LOCK) --extra lake --output-file requirements-lake.txt
	rm .lock

clean:           ## remove the environment, caches and the demo's state
	rm -rf $(VENV) .demo .demo-lake .portal .mypy_cache .ruff_cache .hypothesis portal/native/built
