"""A program that loads an ONNX encoder, computes one vector, and says when: the least cold start there is.

`python -m bench.peers.cold_onnxruntime SETTINGS` writes one line of JSON with times of the system's monotonic clock.
"""

import json
import os
import sys
import time

from bench.peers.onnxruntime_bare import Loop, Settings

IMPORTED = time.monotonic()


def main() -> None:
    """Load and compute."""
    loop = Loop(Settings(**json.loads(sys.argv[1])))
    loaded = time.monotonic()
    loop.embed(["a"])
    answered = time.monotonic()
    print(json.dumps({"imported": IMPORTED, "loaded": loaded, "answered": answered}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
