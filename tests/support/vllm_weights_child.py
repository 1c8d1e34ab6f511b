"""Runs in vLLM's environment, with transformers and without vLLM itself.

    python vllm_weights_child.py write GGUF FOLDER      safetensors of a GGUF file, with its tokenizer
    python vllm_weights_child.py answer FOLDER          greedy answers of those, for the JSON list on stdin

A question is `{"chat": TEXT, "tokens": N}` or `{"prompt": TEXT, "tokens": N}`; the answers are a JSON list of texts.
transformers dequantises what it reads; what remembers the quantisation is taken off, or the result could not be saved.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def main() -> None:
    """Do what is asked."""
    verb, *places = sys.argv[1:]
    match verb:
        case "write":
            write(Path(places[0]), Path(places[1]))
        case "answer":
            json.dump(answer(Path(places[0]), json.load(sys.stdin)), sys.stdout)


def write(source: Path, target: Path) -> None:
    """Read, forget the quantisation, write."""
    model = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name)
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(target)
    AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name).save_pretrained(target)


def answer(folder: Path, questions: list[dict[str, Any]]) -> list[str]:
    """What the model says, each time the likeliest token."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    found = []
    for question in questions:
        text = question.get("prompt")
        if text is None:
            messages = [{"role": "user", "content": question["chat"]}]
            text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        asked = tokenizer(text, return_tensors="pt")
        with torch.inference_mode():
            said = model.generate(**asked, max_new_tokens=question["tokens"], do_sample=False)
        found.append(tokenizer.decode(said[0, asked["input_ids"].shape[1] :], skip_special_tokens=True))
    return found


if __name__ == "__main__":
    main()
