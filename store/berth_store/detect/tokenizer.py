"""`required_tokenizer`: the tokenizer of a model that works on the numbers of tokens."""

from pathlib import Path

from berth_api.errors import UnsupportedModel
from berth_store.detect.folder import ModelFolder

TOKENIZER_FILE = "tokenizer.json"


def required_tokenizer(folder: ModelFolder, name: str) -> Path:
    """The folder's `tokenizer.json`; UnsupportedModel if the model `name` lacks it."""
    tokenizer = folder.file(TOKENIZER_FILE)
    if tokenizer is None:
        raise UnsupportedModel(
            f"{folder.root} has no {TOKENIZER_FILE}, and {name} works on token numbers; put its {TOKENIZER_FILE} there"
        )
    return tokenizer
