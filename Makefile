# Two commands do everything on a fresh machine: `make demo` and `make test`. Each target is one short script.
.PHONY: help demo down status test unit integration e2e check bench bar bars images plan
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F':.*## ' '/^[a-z0-9]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## bring up the local consortium, apply examples/, print what it answers and where the dashboard is
	@scripts/demo
down: ## stop the local consortium and leave the machine as it was
	@scripts/down
status: ## one screen: members, pledges, trusts, pilots, and why what is not Ready is not
	@scripts/status
test: ## check, unit, integration, e2e: what CI runs
	@scripts/test
unit: ## pure tests, seconds
	@scripts/unit
integration: ## tests against real API servers and engines
	@scripts/integration
e2e: ## the demo, a browser, and down again
	@scripts/e2e
check: ## ruff, mypy, import contracts, style gate, generated files
	@scripts/check
bench: ## every bar that needs no running demo
	@scripts/bench
bar: ## one promise, measured: make bar NAME=trade-examples
	@scripts/bar "$(NAME)"
bars: ## the bars, and what each proves
	@scripts/bar --list
plan: ## what a member would get, offline: make plan MEMBER=ca, or ARGS=--json
	@scripts/plan "$(or $(MEMBER),ca)" $(ARGS)
images: ## build the container images
	@scripts/images
