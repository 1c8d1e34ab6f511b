#!/usr/bin/env bash
# The same with curl, after `make up`. BERTH_URL says where Berth serves, if it is not at http://127.0.0.1:8080/v1.
set -euo pipefail
url=${BERTH_URL:-http://127.0.0.1:8080/v1}
ask() { curl --fail-with-body --silent --show-error --no-buffer --header 'content-type: application/json' "$@"; echo; }

echo '# every name that can be asked for'
ask "$url/models"

echo '# a chat'
ask "$url/chat/completions" --data '{
  "model": "smollm2",
  "messages": [{"role": "user", "content": "What is the capital of France? Answer in one sentence."}],
  "max_tokens": 40, "temperature": 0
}'

echo '# the same by its alias, as a stream of events'
ask "$url/chat/completions" --data '{
  "model": "smol",
  "messages": [{"role": "user", "content": "Say hello."}],
  "max_tokens": 20, "temperature": 0, "stream": true
}'

echo '# a completion without a chat template, by the name of the ModelRoute'
ask "$url/completions" --data '{"model": "chat", "prompt": "The sea is", "max_tokens": 16, "temperature": 0}'

echo '# vectors'
ask "$url/embeddings" --data '{"model": "minilm", "input": ["A ship lies at the quay.", "Bread is baked in an oven."]}'

echo '# a name that is not there: the answer says which is meant'
curl --silent "$url/chat/completions" --header 'content-type: application/json' \
  --data '{"model": "smolm2", "messages": [{"role": "user", "content": "Hello?"}]}'
echo
