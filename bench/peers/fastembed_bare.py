"""fastembed in process, over our ONNX file: `python -m bench.peers.fastembed_bare SETTINGS`.

Answers each JSON line `{"texts": [TEXT, …]}` on stdin by one call of `embed`, in batches of its own default size unless
the settings name one. It knows the model by no name, so it is told of it as a custom one. Runs in an environment of its
own.
"""

import json
import os
import sys
import time

import numpy as np
from fastembed import TextEmbedding
from fastembed.common.model_description import ModelSource, PoolingType

NAME = "bench/minilm"


def main() -> None:
    """Load, then answer until the input ends."""
    settings = json.loads(sys.argv[1])
    TextEmbedding.add_custom_model(
        model=NAME,
        pooling=PoolingType.MEAN,
        normalization=True,
        sources=ModelSource(hf=NAME),
        dim=settings["dimensions"],
        model_file="model.onnx",
    )
    model = TextEmbedding(NAME, specific_model_path=settings["folder"], threads=settings["threads"])
    for line in sys.stdin:
        question = json.loads(line)
        started = time.perf_counter()
        vectors = np.stack(list(model.embed(question["texts"], batch_size=settings["batch_texts"])))
        answer = {"texts": len(vectors), "seconds": time.perf_counter() - started}
        kept = {"vectors": vectors.tolist()} if question.get("keep") else {}
        print(json.dumps({**answer, **kept}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
