"""Make minilm.json: what sentence-transformers with torch says about the texts below, to compare our engine with.

Run once, in an environment of its own that has torch, with the folder of the weights that the quick start uses:

    pip install torch sentence-transformers
    python make_minilm_reference.py FOLDER > minilm.json
"""

import base64
import hashlib
import importlib.metadata
import json
import sys
from pathlib import Path

from sentence_transformers import SentenceTransformer

LONG = "The harbour master wrote down every ship that came in, its cargo, its crew and the weather of the day. "

TEXTS = {
    "empty": "",
    "one letter": "a",
    "short": "Berth serves models.",
    "case and punctuation": "HELLO, World!!! (it's 5:30 p.m.) -- isn't it?",
    "accents": "Crème brûlée à la façade, Ångström, naïve señor, Žižek",
    "chinese and japanese": "港口管理着所有的船只。東京の港は広いです。",
    "arabic and hebrew": "السفينة في الميناء. הספינה בנמל.",
    "emoji": "🚢⚓ The ship 👩‍👩‍👧‍👦 arrives 🇩🇪🎉",
    "unknown word": "x" * 150,
    "control characters": "tab\tnewline\nnull\u0000 zero\u200bwidth  \u00a0  spaces",
    "code": "def add(a: int, b: int) -> int:\n    return a + b  # 2 + 2 == 4",
    "medium": LONG * 3,
    "longest that fits": "ship " * 254,
    "one too many": "ship " * 255,
    "more than 512 tokens": LONG * 30,
}


def main() -> None:
    folder = Path(sys.argv[1])
    model = SentenceTransformer(str(folder), device="cpu")
    cases = []
    for name, text in TEXTS.items():
        vector = model.encode([text], convert_to_numpy=True, normalize_embeddings=False)[0]
        cases.append(
            {
                "name": name,
                "text": text,
                "tokens": len(model.tokenizer(text, truncation=False, verbose=False)["input_ids"]),
                "vector": base64.b64encode(vector.astype("<f4").tobytes()).decode(),
            }
        )
    report = {
        "made_with": {
            name: importlib.metadata.version(name) for name in ("sentence-transformers", "transformers", "torch")
        },
        "model_safetensors_sha256": hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
        "max_tokens": model.max_seq_length,
        "vectors": "base64 of little-endian float32; texts beyond max_tokens are truncated to it",
        "cases": cases,
    }
    json.dump(report, sys.stdout, ensure_ascii=True, indent=1)
    print()


if __name__ == "__main__":
    main()
