"""sentence-transformers in process, by torch on the CPU: `python -m bench.peers.sentence_transformers_bare SETTINGS`.

Answers each JSON line `{"texts": [TEXT, …]}` on stdin by one call of `encode`, which knows all texts, sorts them by
length, and runs batches of its own default size. Runs in an environment of its own.
"""

import json
import os
import sys
import time

import torch
from sentence_transformers import SentenceTransformer


def main() -> None:
    """Load, then answer until the input ends."""
    settings = json.loads(sys.argv[1])
    torch.set_num_threads(settings["threads"])
    model = SentenceTransformer(settings["folder"], device="cpu")
    model.max_seq_length = settings["longest_tokens"]
    for line in sys.stdin:
        question = json.loads(line)
        started = time.perf_counter()
        vectors = model.encode(question["texts"], convert_to_numpy=True, show_progress_bar=False)
        answer = {"texts": len(vectors), "seconds": time.perf_counter() - started}
        kept = {"vectors": vectors.tolist()} if question.get("keep") else {}
        print(json.dumps({**answer, **kept}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
