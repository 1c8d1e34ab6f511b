"""What llama.cpp says of a model alone, and with itself as its draft: `draft_child PATH`, a process that ends hard.

Prints a JSON list: for each start, the text and the figures of each prompt. llama.cpp can hang when it is unloaded.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from berth_api.artifact import Artifact, Format, Task
from berth_runtime.engines.llamacpp_draft import read_draft
from berth_runtime.engines.llamacpp_server import start_server
from berth_runtime.engines.llamacpp_settings import plan_llamacpp
from berth_runtime.engines.protocol import DraftSettings, EngineSettings
from berth_store.detect import DetectedModel
from berth_store.headers.gguf import read_gguf

PROMPTS = ("The sea is", "def fibonacci(n):")
TOKENS = 12


def say(weights: Path, draft: DraftSettings | None) -> list[dict[str, Any]]:
    """The likeliest words after each prompt."""
    header = read_gguf(weights)
    settings = EngineSettings(
        model=DetectedModel(Artifact(format=Format.GGUF, task=Task.COMPLETION), weights.parent, (weights,)),
        name="m",
        task=Task.COMPLETION,
        threads=1,
        memory_bytes=1 << 30,
        context_length=256,
        parallel_sequences=1,
        draft=draft,
    )
    server, _ = start_server(settings, header, plan_llamacpp(settings, header, read_draft(settings, header)))
    answers = (
        server.handle_completions({"prompt": prompt, "max_tokens": TOKENS, "temperature": 0}) for prompt in PROMPTS
    )
    return [
        {
            "text": answer["choices"][0]["text"],
            "drafted": answer["timings"].get("draft_n", 0),
            "accepted": answer["timings"].get("draft_n_accepted", 0),
        }
        for answer in answers
    ]


if __name__ == "__main__":
    path = Path(sys.argv[1])
    print(json.dumps([say(path, None), say(path, DraftSettings(path, 3, 0.0))]), flush=True)
    os._exit(0)
