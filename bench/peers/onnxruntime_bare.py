"""The peer of our runtime for embeddings: the best loop over onnxruntime that one would write by hand.

`python -m bench.peers.onnxruntime_bare SETTINGS` answers each JSON line `{"texts": [TEXT, …]}` on stdin. It knows all
texts beforehand, which a server never does: it tokenises them in one call, sorts all of them by length, longest first
(so that little is padded and no long batch is left for the end), cuts them into batches of so many tokens, and runs the
batches on one session from as many threads as there are cores, each run with one thread of its own. Threads and batch
size are the fastest of those tried: 384 tokens fit the core's cache, 1,024 cost some per cent more, one text at a time
a third more. The vectors stay numpy arrays; with `"keep"` the answer carries them, for the check that both sides
compute the same.
"""

import json
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import onnxruntime
from tokenizers import Encoding, Tokenizer

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What both sides are started with; `batch_tokens` counts padding; the runtime chooses its own."""

    graph: str
    tokenizer: str
    threads: int
    batch_tokens: int
    longest_tokens: int

    def as_argument(self) -> str:
        """The one argument of this program."""
        return json.dumps(asdict(self))


class Loop:
    """A session, a tokenizer and the threads over them."""

    def __init__(self, settings: Settings) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(settings.graph, options, providers=["CPUExecutionProvider"])
        self._inputs = {each.name for each in self._session.get_inputs()}
        self._outputs = [each.name for each in self._session.get_outputs()]
        self._tokenizer = Tokenizer.from_file(settings.tokenizer)
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(settings.longest_tokens)
        self._batch_tokens = settings.batch_tokens
        self._threads = ThreadPoolExecutor(settings.threads)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One vector of length 1 for each text, in their order."""
        encodings = self._tokenizer.encode_batch_fast(list(texts))
        batches = cut_batches([len(each.ids) for each in encodings], self._batch_tokens)
        rows = list(self._threads.map(lambda batch: self._run([encodings[index] for index in batch]), batches))
        vectors = np.empty((len(texts), rows[0].shape[1] if rows else 0), dtype=np.float32)
        for batch, found in zip(batches, rows, strict=True):
            vectors[batch] = found
        return vectors

    def _run(self, encodings: Sequence[Encoding]) -> Vectors:
        longest = max(len(each.ids) for each in encodings)
        ids = np.zeros((len(encodings), longest), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, each in enumerate(encodings):
            ids[row, : len(each.ids)] = each.ids
            mask[row, : len(each.ids)] = 1
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        wanted = {name: values for name, values in feed.items() if name in self._inputs}
        if "sentence_embedding" in self._outputs:
            return np.asarray(self._session.run(["sentence_embedding"], wanted)[0])
        return _pool(np.asarray(self._session.run(self._outputs[:1], wanted)[0]), mask)


def cut_batches(lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Indices by falling length, in batches whose padded size stays within `batch_tokens` (one text always fits)."""
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        if batches and (len(batches[-1]) + 1) * lengths[batches[-1][0]] <= batch_tokens:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def _pool(hidden: Vectors, mask: npt.NDArray[np.int64]) -> Vectors:
    """Mean over the tokens that are not padding, then L2 normalisation."""
    summed = np.einsum("btd,bt->bd", hidden, mask.astype(np.float32))
    return np.asarray(summed / np.linalg.norm(summed, axis=1, keepdims=True))


def main() -> None:
    loop = Loop(Settings(**json.loads(sys.argv[1])))
    for line in sys.stdin:
        question = json.loads(line)
        started = time.perf_counter()
        vectors = loop.embed(question["texts"])
        answer = {"texts": len(vectors), "seconds": time.perf_counter() - started}
        kept = {"vectors": vectors.tolist()} if question.get("keep") else {}
        print(json.dumps({**answer, **kept}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
