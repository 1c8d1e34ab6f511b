"""A `tokenizer.json` read for engines whose own threads tokenise."""

import os
from pathlib import Path

import tokenizers

from berth_runtime.engines.protocol import LoadFailed


def read_tokenizer(path: Path) -> tokenizers.Tokenizer:
    """The tokenizer in a file; raises `LoadFailed`."""
    # Each of our threads tokenises for itself; a pool of the library's own would fight them for the cores.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    try:
        return tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the library's only class, for any damage of the file
        raise LoadFailed(f"{path.name} can't be read: {error}; export the tokenizer again") from error
