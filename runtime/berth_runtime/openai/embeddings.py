"""The answer of `/v1/embeddings`, from the engine's float32 rows; pure."""

import base64
from typing import Any

import numpy as np
import orjson

from berth_runtime.engines.protocol import Rows


def render_embeddings(result: Rows, *, model: str, encoding_format: str) -> bytes:
    """OpenAI's list: numbers, or base64 of little-endian float32, which clients decode faster."""
    body = {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": embedding}
            for index, embedding in enumerate(_embeddings(result, encoding_format))
        ],
        "model": model,
        "usage": {"prompt_tokens": result.prompt_tokens, "total_tokens": result.prompt_tokens},
    }
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)


def cut_embeddings(result: Rows, dimensions: int) -> Rows:
    """The first numbers of each vector, made a vector of length 1 again: what Matryoshka models are trained for."""
    cut = np.frombuffer(result.values, dtype="<f4").reshape(-1, result.columns)[:, :dimensions]
    lengths = np.linalg.norm(cut, axis=1, keepdims=True)
    unit = np.divide(cut, lengths, out=np.zeros_like(cut), where=lengths > 0)
    return Rows(unit.tobytes(), dimensions, result.prompt_tokens)


def _embeddings(result: Rows, encoding_format: str) -> list[Any]:
    row_bytes = 4 * result.columns
    rows = range(0, len(result.values), row_bytes)
    if encoding_format == "base64":
        return [base64.b64encode(result.values[at : at + row_bytes]).decode("ascii") for at in rows]
    return list(np.frombuffer(result.values, dtype="<f4").reshape(-1, result.columns))
