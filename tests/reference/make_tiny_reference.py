"""Make tiny_encoders.json: what transformers with torch says about the encoders of tests/support/tiny_encoders.py.

Run once, in an environment of its own that has torch, transformers and safetensors:

    PYTHONPATH=tests/support python tests/reference/make_tiny_reference.py > tests/reference/tiny_encoders.json
"""

import importlib.metadata
import json
import sys
import tempfile
from pathlib import Path

import torch
from tiny_encoders import CONFIGS, MASK, input_ids, write_tiny_encoder
from transformers import AutoModel


def main() -> None:
    cases = {}
    for name, config in CONFIGS.items():
        with tempfile.TemporaryDirectory() as folder:
            write_tiny_encoder(Path(folder), config)
            model, loading = AutoModel.from_pretrained(
                folder, attn_implementation="eager", output_loading_info=True, dtype=torch.float32
            )
        missing = [key for key in loading["missing_keys"] if "pooler" not in key]
        if missing or loading["unexpected_keys"]:
            sys.exit(f"{name}: missing {missing}, unexpected {loading['unexpected_keys']}")
        with torch.no_grad():
            ids, mask = torch.tensor(input_ids(config)), torch.tensor(MASK)
            hidden = model.eval()(input_ids=ids, attention_mask=mask).last_hidden_state
        cases[name] = [[round(value, 7) for value in row] for row in hidden[mask.bool()].tolist()]
    made_with = {name: importlib.metadata.version(name) for name in ("transformers", "torch")}
    rows = ",\n".join(f'  "{name}": {json.dumps(rows)}' for name, rows in cases.items())
    print(f'{{"made_with": {json.dumps(made_with)},')
    print(f'"rows": "vectors of the tokens that the mask keeps, in order",\n"cases": {{\n{rows}\n}}}}')


if __name__ == "__main__":
    main()
