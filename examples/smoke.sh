#!/usr/bin/env bash
# The newcomer's first five minutes, as a check: `make up`, everything that both clients ask, `make down`.
# It uses a home and a port of its own, so that it disturbs nothing that is being served.
set -euo pipefail
cd "$(dirname "$0")/.."
BERTH_HOME=$(mktemp -d)
BERTH_PORT=${BERTH_SMOKE_PORT:-$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')}
export BERTH_HOME BERTH_PORT
trap 'make --no-print-directory down || true; rm -rf "$BERTH_HOME"' EXIT
make --no-print-directory up
export BERTH_URL="http://127.0.0.1:$BERTH_PORT/v1"
.venv/bin/python examples/openai_client.py
examples/curl.sh
