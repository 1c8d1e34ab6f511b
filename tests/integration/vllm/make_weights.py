"""Make safetensors of a GGUF file: `VLLM_PYTHON make_weights.py GGUF FOLDER`. It runs in vLLM's environment.

transformers dequantises what it reads; what remembers the quantisation is taken off, or the result could not be saved.
"""

import sys
from pathlib import Path

from transformers import AutoModelForCausalLM, AutoTokenizer


def main() -> None:
    """Read, forget the quantisation, write."""
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    model = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name)
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(target)
    AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name).save_pretrained(target)


if __name__ == "__main__":
    main()
