"""Make model_signing.json: what OpenSSF's `model_signing` writes when it signs, by a key and with a certificate.

Run with a Python that has model_signing, as `make nightly` installs one:

    PYTHONPATH=tests/support .venv/bin/python tests/reference/make_model_signing_reference.py \
        .tools/model-signing/bin/python > tests/reference/model_signing.json
"""

import json
import sys
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from model_signing_program import ModelSigning
from signatures import a_certificate, a_key, pem_of, public_pem

FILES = {
    "config.json": '{"a": 1}\n',
    "model.safetensors": "weights",
    "nested/tökenizer file.json": "[]",
    "nested.txt": "n",
    "a.txt": "",
    "Z.txt": "z",
}
DAYS = (-1, 36500)


def main() -> None:
    key, other = a_key(1, ec.SECP384R1()), a_key(2)
    root = a_certificate("Model Root", a_key(90), "Model Root", a_key(90), authority=True, days=DAYS)
    between = a_certificate("Between", a_key(91), "Model Root", a_key(90), authority=True, days=DAYS)
    own = a_certificate("release@example.com", other, "Between", a_key(91), days=DAYS)
    with tempfile.TemporaryDirectory() as folder:
        program = ModelSigning(Path(sys.argv[1]), Path(folder))
        for name, text in FILES.items():
            program.write(name, text.encode())
        made = {
            "files": FILES,
            "key": public_pem(key),
            "signed_by_key": program.sign(key).decode(),
            "authority": pem_of(root),
            "signed_with_certificate": program.sign(other, own, between).decode(),
        }
    print(json.dumps(made, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
