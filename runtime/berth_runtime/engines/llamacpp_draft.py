"""A draft model that guesses tokens ahead of the model, which checks several at once. For `engines.llamacpp`.

What is said stays the model's own: a guess that it would not have said is dropped. llama.cpp compares the vocabularies
word by word when it loads; what headers tell is compared here, so that the reason can be said.
"""

from typing import Final

from berth_api.errors import UnsupportedModel
from berth_runtime.engines.protocol import EngineSettings, LoadFailed
from berth_store.headers.gguf import GgufHeader, read_gguf

# llama.cpp's own bounds, in its common/speculative.cpp: some makers pad one of two vocabularies.
MAX_DIFFERENCE: Final = 128
_REMEDY: Final = "take a small model of the same family"
_SAME: Final = ("tokenizer.ggml.model", "tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id")


def read_draft(settings: EngineSettings, header: GgufHeader) -> GgufHeader | None:
    """The draft model's header, if there is one and it can guess for the model; `LoadFailed` says why it can't."""
    if settings.draft is None:
        return None
    name = settings.draft.weights.name
    try:
        draft = read_gguf(settings.draft.weights)
    except UnsupportedModel as error:
        raise LoadFailed(f"the draft model can't be read: {error}") from error
    different = [key for key in _SAME if draft.metadata.get(key) != header.metadata.get(key)]
    if different:
        how = _difference(different[0], draft, header)
        raise LoadFailed(f"the draft model {name} has another vocabulary than the model ({how}); {_REMEDY}")
    sizes = draft.vocabulary_size or 0, header.vocabulary_size or 0
    if abs(sizes[0] - sizes[1]) > MAX_DIFFERENCE:
        raise LoadFailed(
            f"the draft model {name} has a vocabulary of {sizes[0]:,} tokens, and the model one of {sizes[1]:,}; "
            f"{_REMEDY}"
        )
    return draft


def _difference(key: str, draft: GgufHeader, header: GgufHeader) -> str:
    return f"{key} is {draft.metadata.get(key)} and {header.metadata.get(key)}"
