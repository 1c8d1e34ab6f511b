"""Put the quick start's two models into the local store: `python -m examples.quickstart.prepare`, run by `make up`.

Safe to repeat: what is there from the same weights, made by the same conversion, is left alone.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from examples.quickstart.weights import PackagedWeights, find_minilm, find_smollm2

from berth_api.errors import BerthError
from berth_cli.failure import exit_code_of, failure_block
from berth_store.convert.encoder import CONVERSION, convert_encoder
from berth_store.home import default_home
from berth_store.local import Store
from berth_store.package import package
from berth_store.packing import Extras
from berth_store.reference import Reference


@dataclass(frozen=True)
class Model:
    """One model: where its weights are found, and what has to be made of them before they are packaged."""

    reference: Reference
    find: Callable[[], PackagedWeights]
    to_onnx: bool = False


MODELS = (
    Model(Reference.parse("localhost/smollm2:135m-instruct-q4_1"), find_smollm2),
    Model(Reference.parse("localhost/minilm:l6-v2"), find_minilm, to_onnx=True),
)


def prepare(home: Path) -> None:
    """Package what is missing or made of other weights; says on stdout what it does."""
    store, memory = Store(home / "store"), home / "quickstart.json"
    known = _read(memory)
    for model in MODELS:
        weights = model.find()
        made_of = f"{weights.digest} {CONVERSION}" if model.to_onnx else weights.digest
        here = store.resolve(model.reference)
        if here is not None and known.get(str(model.reference)) == {"digest": here, "madeOf": made_of}:
            print(f"{model.reference} is in the local store")
            continue
        started = time.monotonic()
        print(f"{model.reference}: packaging {weights.size_bytes / 1e6:.0f} MB ...", flush=True)
        digest = _package(store, model, weights)
        known[str(model.reference)] = {"digest": digest, "madeOf": made_of}
        _write(memory, known)
        print(f"{model.reference} is in the local store after {time.monotonic() - started:.1f} s")


def _package(store: Store, model: Model, weights: PackagedWeights) -> str:
    if not model.to_onnx:
        return package(store, weights.path, model.reference, extras=Extras(weights.licenses))
    with tempfile.TemporaryDirectory(prefix="berth-onnx-") as folder:
        print(f"{model.reference}: converting to ONNX ...", flush=True)
        convert_encoder(weights.path, Path(folder))
        return package(store, Path(folder), model.reference, extras=Extras(weights.licenses))


def _read(memory: Path) -> dict[str, object]:
    """What was packaged of what; nothing if that is not known for certain."""
    try:
        known = json.loads(memory.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _write(memory: Path, known: dict[str, object]) -> None:
    partial = memory.with_suffix(".partial")
    partial.write_text(json.dumps(known, indent=1))
    os.replace(partial, memory)


def main() -> None:
    """Prepare the default home; an error is one block on stderr, as that of `berth` is."""
    try:
        prepare(default_home())
    except (BerthError, OSError) as error:
        print(failure_block(error), file=sys.stderr)
        sys.exit(exit_code_of(error))


if __name__ == "__main__":
    main()
