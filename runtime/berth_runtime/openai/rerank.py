"""`/v1/rerank`, in the form that Cohere, Jina and vLLM share; pure.

    {"model", "query", "documents": ["text" or {"text"}, …], "top_n"?, "return_documents"?}
    → {"id", "model", "results": [{"index", "relevance_score", "document"?: {"text"}}, …], "usage"}, best first

Where they differ: documents come back only if asked for, as with Cohere (Jina sends them unless told not to, vLLM
always); `top_n: 0` means all, as vLLM's own clients send it. Cohere's `meta` is left out: it says what was billed.
Sources: docs.cohere.com/reference/rerank, api.jina.ai/redoc, vllm/entrypoints/pooling/scoring/protocol.py.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from berth_runtime.engines.protocol import Rows
from berth_runtime.openai.answers import read_matrix, render_body, render_usage
from berth_runtime.openai.checks import WHO_ASKS, Field, always, boolean, described, inert, integer, unserved
from berth_runtime.openai.errors import refuse
from berth_runtime.openai.prompts import read_list, read_text

MAX_DOCUMENTS: Final = 2048

FIELDS: Final[Mapping[str, Field]] = {
    **WHO_ASKS,
    "top_n": always(described(integer(0, absent=(0,)), "How many of the best come back; all, if 0 or left out.")),
    "return_documents": always(described(boolean(), "Whether each result has its document; false, if left out.")),
    "priority": inert(),  # Cohere's and vLLM's: who is served first where many wait
    "max_tokens_per_doc": unserved(4096),  # Cohere's default
    "max_chunks_per_doc": unserved(),
    "rank_fields": unserved(["text"]),
    "relevant_spans": unserved(),
    "return_embeddings": unserved(False),
    "truncation": unserved(),
    "truncate_prompt_tokens": unserved(),
    "instruction": unserved(""),
    "mm_processor_kwargs": unserved({}),
    "use_activation": unserved(True),  # scores are from 0 to 1
    "activation": unserved(True),
    "softmax": unserved(True),
}


def read_query(value: object) -> str:
    """The text that documents are compared with; raises `ApiError`."""
    return read_text(value, "query")


def read_documents(value: object) -> tuple[str, ...]:
    """The documents' texts; raises `ApiError` with the wrong one's index."""
    documents = read_list(value, "documents", most=MAX_DOCUMENTS)
    return tuple(_read_document(document, f"documents[{index}]") for index, document in enumerate(documents))


def _read_document(document: object, path: str) -> str:
    if not isinstance(document, dict):
        return read_text(document, path)
    if "text" not in document and {"image", "content"} & set(document):
        raise refuse(f"'{path}' is no text; this model takes only texts.", param=path, code="unsupported_content")
    return read_text(document.get("text"), f"{path}.text")


def render_rerank(
    result: Rows, documents: Sequence[str], *, answer_id: str, model: str, top_n: int | None, return_documents: bool
) -> bytes:
    """The answer, from a score for each document; of equal scores the earlier document comes first."""
    scores = read_matrix(result, rows=len(documents), columns=1)[:, 0]
    results: list[dict[str, Any]] = [
        {"index": index, "relevance_score": scores[index]}
        for index in np.argsort(-scores, kind="stable")[:top_n].tolist()
    ]
    if return_documents:
        for each in results:
            each["document"] = {"text": documents[each["index"]]}
    usage = render_usage(result.prompt_tokens)
    return render_body({"id": answer_id, "model": model, "results": results, "usage": usage})
