#!/usr/bin/env bash
# Rerank, classification and pictures with curl, for Models of those tasks. BERTH_URL says where Berth serves, if it is not
# at http://127.0.0.1:8080/v1; RERANKER, CLASSIFIER and DETECTOR are the names of the Models, PICTURE is a file.
set -euo pipefail
url=${BERTH_URL:-http://127.0.0.1:8080/v1}
ask() { curl --fail-with-body --silent --show-error --header 'content-type: application/json' "$@"; echo; }

echo '# the documents that answer a query best'
ask "$url/rerank" --data '{
  "model": "'"${RERANKER:-reranker}"'",
  "query": "Where do ships lie?",
  "documents": ["Bread is baked in an oven.", "Ships lie at the quay.", "A quay is made of stone."],
  "top_n": 2, "return_documents": true
}'

echo '# what each text is'
ask "$url/classify" --data '{"model": "'"${CLASSIFIER:-sentiment}"'", "input": ["What a day!", "It broke at once."]}'

# A picture is too long for an argument, so the body comes through a pipe.
if [ -n "${PICTURE:-}" ]; then
  echo '# what is in a picture, and where'
  printf '{"model": "%s", "threshold": 0.5, "image": "%s"}' "${DETECTOR:-detector}" "$(base64 <"$PICTURE" | tr -d '\n')" |
    ask "$url/images/detect" --data @-
fi
