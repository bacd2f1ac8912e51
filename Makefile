# The habits of this project. `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help run test test-faults unit bench bench-full bench-stages bench-instructions fuzz lint deny schemathesis web stack down status reset

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z.-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## build and run everything in one process; ^C ends it
	@scripts/run

test: ## all checks and all tests, on the real parts
	@scripts/test

test-faults: ## every fault at length, which restarts the stack (FAULT_SEED, FAULT_CASES)
	@scripts/test-faults

unit: ## the tests that need no stack
	cargo test --workspace --locked --lib --bins

bench: ## the stages side by side with what they are measured against (BENCH_ARGS): bench-results/bench-report.md
	@scripts/bench $(BENCH_ARGS)

bench-full: ## the same at length, with up to 10 million events: an hour and a half
	@scripts/bench --full $(BENCH_ARGS)

bench-stages: ## what an event costs in each pure stage, by criterion
	cargo bench --package benches --bench stages --locked

bench-instructions: ## how many instructions an event takes in them, by callgrind
	@scripts/bench-instructions

fuzz: ## feed every parser of foreign input with hostile bytes, FUZZ_SECONDS (60) each
	@scripts/fuzz

lint: ## format, clippy, scripts and deployment files
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	@scripts/lint

deny: ## licenses, sources and advisories of the dependencies
	@scripts/deny

schemathesis: ## generated requests to a running gateway (FLOWMETER_TOKEN, FLOWMETER_OPENAPI)
	@scripts/schemathesis

web: ## build the dashboard page anew (query-api/web/dist), with Node.js
	cd query-api/web && npm ci --no-audit --no-fund && npm run build

stack: ## bring up Kafka, the schema registry, TimescaleDB and Redis
	@scripts/stack up

down: ## stop them; data stays
	@scripts/stack down

status: ## say what is up
	@scripts/stack status

reset: ## stop them and delete their data
	@scripts/stack reset

.env: ## make the secrets that docker compose needs
	@scripts/make-env
